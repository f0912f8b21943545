"""What every form has: work in the background, one job at a time, a line that says how it went, and its code on show.

Called by the other modules of this package.
"""

from __future__ import annotations

import base64
import html
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from .. import neighbours, sdk
from ..errors import GradientError, one_sentence
from ..language import _
from .comms import keep_order

if TYPE_CHECKING:
    from gradientai import Gradient

WIDE = {"width": "98%"}  # not a Layout: one that is shared would be closed with the first form
OWN_WIDTH = {"description_width": "initial"}
PICTURES = Path(__file__).parent / "pictures"  # of each form, under its class's name; tests/browser/pictures.py

# Colours come from JupyterLab's theme, so that light and dark are both readable; elsewhere the page's own are kept.
STYLE = """<style>
.gradient-form { border: 1px solid var(--jp-border-color1, #bbb); border-radius: 6px; padding: 10px; }
.gradient-form .gradient-form { border: none; padding: 0; }
.gradient-form :is(h4, p, pre) { margin: 4px 0; color: var(--jp-ui-font-color1, inherit); line-height: 1.4; }
.gradient-form .gradient-code { background: var(--jp-layout-color2, transparent); padding: 8px; overflow-x: auto;
  font-family: var(--jp-code-font-family, monospace); font-size: 12px; user-select: all; }
.gradient-form code { background: var(--jp-layout-color2, transparent); padding: 0 3px;
  font-family: var(--jp-code-font-family, monospace); color: inherit; }
.gradient-form .gradient-alert { border-left: 4px solid var(--jp-error-color1, #c62828); padding-left: 8px; }
.gradient-form .gradient-cards { display: flex; flex-wrap: wrap; gap: 8px; color: var(--jp-ui-font-color1, inherit); }
.gradient-form .gradient-card { flex: 1 1 220px; max-width: 420px; border: 1px solid var(--jp-border-color1, #bbb);
  border-radius: 4px; padding: 8px; line-height: 1.4; overflow-wrap: anywhere; white-space: pre-wrap; }
.gradient-form .gradient-quiet { color: var(--jp-ui-font-color2, inherit); font-size: 12px; }
.gradient-form table { border-collapse: collapse; color: var(--jp-ui-font-color1, inherit); line-height: 1.4; }
.gradient-form :is(th, td) { border: 1px solid var(--jp-border-color1, #bbb); padding: 4px 8px; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; white-space: pre-wrap; }
</style>"""

_by_cell: dict[str, tuple[str, list[Form]]] = {}  # cell id: the run of that cell, and the forms that it made


class Form(widgets.VBox):
    """A box of widgets whose buttons start work in the background, one job at a time.

    Args:
        gradient: the client that the form calls, or None while there is none.
    """

    seen: ClassVar[str] = ""
    """What the form's picture shows, for those who can't see it."""

    def __init__(self, gradient: Gradient | None = None) -> None:
        keep_order()
        self.gradient = gradient
        self._working = threading.Lock()
        self._buttons: Sequence[widgets.Widget] = ()  # those that start work: disabled while some runs
        self._style = widgets.HTML(STYLE, layout=widgets.Layout(display="none"))
        self._status = widgets.HTML()
        super().__init__()
        self.add_class("gradient-form")
        _close_earlier_run(self)

    def __repr__(self) -> str:
        return _("{name}: run this cell to show the form", name=type(self).__name__)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The form itself, and for a page that can't have it, on GitHub or before the cell has run, what it is like."""
        still = self._still()
        bundle = {**super()._repr_mimebundle_(**kwargs), "text/plain": repr(self)}
        return {**bundle, "text/html": still} if still else bundle

    def _still(self) -> str:
        """The form's picture and the way to the form, as HTML; nothing while there is no picture."""
        file = PICTURES / f"{type(self).__name__}.png"
        if not file.is_file():
            return ""
        png, alt = base64.b64encode(file.read_bytes()).decode("ascii"), html.escape(_(self.seen))
        return f'<img alt="{alt}" src="data:image/png;base64,{png}"><p>{escaped(repr(self))}</p>'

    def wait(self, seconds: float = 60) -> Any:
        """Waits until a click's work has ended, for code that follows the form.

        Args:
            seconds: how long at the most.

        Returns:
            The form's `.value`.
        """
        if self._working.acquire(timeout=seconds):
            self._working.release()
        return self.value

    @property
    def value(self) -> Any:
        """What the form was filled in for."""
        return None

    def close(self) -> None:
        """Takes the form off the page, and its widgets out of memory."""
        for child in self.children:
            _close(child)
        super().close()

    def _show(self, *children: widgets.Widget) -> None:
        self.children = [self._style, *children]

    def _start(self, doing: str, work: Callable[[], str]) -> None:
        """Runs work in the background and says in the form how it went; does nothing while other work runs.

        Args:
            doing: what is being done, said while it runs.
            work: what to do; returns the sentence to end with.
        """
        if not self._working.acquire(blocking=False):
            return
        self._disable(True)
        self._say(doing)
        threading.Thread(target=self._work, args=(work,), daemon=True).start()

    def _work(self, work: Callable[[], str]) -> None:
        try:
            with one_sentence(self._url()), neighbours.watched(self._say_also, self._url() if self.gradient else None):
                self._say(work())
        except GradientError as error:  # ours: one sentence each
            self._say(str(error), alert=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said in the form and the form stays usable
            self._say(_("That did not work ({name}): {error}", name=type(error).__name__, error=error), alert=True)
        finally:
            self._disable(False)
            self._working.release()

    def _say_also(self, sentence: str) -> None:
        """Adds a sentence to what is being done."""
        self._status.value += f'<p role="status">{escaped(sentence[:1].upper() + sentence[1:])}.</p>'

    def _url(self) -> str:
        return _("the endpoint") if self.gradient is None else sdk.url_of(self.gradient)

    def _disable(self, disabled: bool) -> None:
        for button in self._buttons:
            button.disabled = disabled

    def _say(self, sentence: str, alert: bool = False) -> None:
        """Shows a sentence; screen readers speak it, an alert at once."""
        self._status.value = as_alert(sentence) if alert else f'<p role="status">{with_code(sentence)}</p>'


class CodeView(widgets.VBox):
    """A button that shows the code which a form stands for, and keeps it up to date.

    Args:
        write: gives the code for what the form says now.
        watched: the widgets that the code depends on.
    """

    def __init__(self, write: Callable[[], str], watched: Sequence[widgets.Widget]) -> None:
        self._write = write
        self._button = widgets.ToggleButton(
            description=_("Show code"), tooltip=_("The lines that this form stands for")
        )
        self._text = widgets.HTML()
        self._button.observe(lambda change: self.refresh(), "value")
        for widget in watched:
            widget.observe(lambda change: self.refresh(), "value")
        super().__init__([self._button])

    def refresh(self) -> None:
        """Writes the code anew, if it is on show."""
        self._button.description = _("Hide code") if self._button.value else _("Show code")
        if self._button.value:
            try:
                code = self._write()
            except ValueError as error:
                code = f"# {error}"
            label = html.escape(_("Code"))
            self._text.value = f'<pre class="gradient-code" tabindex="0" aria-label="{label}">{html.escape(code)}</pre>'
        self.children = [self._button, self._text] if self._button.value else [self._button]


def escaped(text: str) -> str:
    """Text as HTML: nothing in it is markup, and lone surrogates, which no browser takes, are replaced."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8")).replace("\n", "<br>")


def with_code(text: str) -> str:
    """Text as HTML like `escaped`, in which what stands between two backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))


def as_alert(sentence: str) -> str:
    """A sentence about what is wrong, as HTML that screen readers speak at once."""
    return f'<p role="alert" class="gradient-alert">{with_code(sentence)}</p>'


def wrapped(*children: widgets.Widget) -> widgets.HBox:
    """Widgets side by side, on a new line where there is no room."""
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def heading(text: str) -> widgets.HTML:
    """A heading inside a form."""
    return widgets.HTML(f"<h4>{html.escape(text)}</h4>")


def _close(widget: widgets.Widget) -> None:
    """Closes a widget and all that is in it."""
    if not isinstance(widget, Form):  # which does the same itself
        for child in getattr(widget, "children", ()):
            _close(child)
    widget.close()


def _close_earlier_run(form: Form) -> None:
    """Closes the forms that an earlier run of the same cell made: their views are gone, and so should their work be.

    The front end says which cell it runs; one that doesn't keeps the old forms until the kernel ends.
    """
    try:
        from IPython import get_ipython

        header = get_ipython().parent_header
        cell, run = header["metadata"]["cellId"], header["header"]["msg_id"]
    except (AttributeError, KeyError, TypeError):
        return
    last_run, forms = _by_cell.get(cell, ("", []))
    if last_run != run:
        for old in forms:
            old.close()
        forms = []
    _by_cell[cell] = (run, [*forms, form])
