"""The colours of figures, diagrams and tokens, which read on a white page and on a dark one alike.

A picture can't know the page that it stands on: JupyterLab and GitHub have themes of their own, and what a browser says
of light and dark is the system's. So no picture has a background, and each colour lies between white and black. Used by
`plots.py`, `diagrams.py` and `token_views.py`.
"""

from __future__ import annotations

INK = "#787878"
"""Of what is written and of lines: its contrast is 4.3 to 1 both with white and with #111, JupyterLab's dark, and no
colour has more of both. The formula is WCAG 2.1's, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

BLUE, ORANGE, GREEN, PINK, VIOLET = "#3b82f6", "#d97706", "#059669", "#db2777", "#8b5cf6"
SERIES = (BLUE, ORANGE, GREEN, PINK, VIOLET)
"""Of bars, points and frames, in this order: at least 3 to 1 with both, which is WCAG's least for what is not text."""

FAINT = "1a"
"""Behind one of these as #rrggbbaa: a fill of 10 %, on which the page's own text stays readable."""
