"""What a program prints, on any terminal. Called by the kit's programs before they print.

A Windows console, or a pipe there, takes the characters of some languages alone (cp1252 in the west of Europe). The
name of a folder may have others, and printing it must not end the program.
"""

from __future__ import annotations

import io
import sys


def take_any_text() -> None:
    """Lets stdout show a character that it lacks by its number, as stderr does already."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # not what a notebook or a test has in its place
        sys.stdout.reconfigure(errors="backslashreplace")
