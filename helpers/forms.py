"""Forms for those who would rather click first: each shows and does what a line of plain code does.

Called by notebooks as `from helpers import forms`. A form is an ipywidgets box with a `.value` for the code that
follows it; what it has to say appears inside it, so that a cell's output stays the same.
"""

from __future__ import annotations

import html
import os
import threading
from typing import TYPE_CHECKING

import ipywidgets as widgets

from .connection import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE, _from_environment, connect, connected_to
from .errors import GradientError

if TYPE_CHECKING:
    from gradientai import Gradient

LOCAL, HOSTED = "local service", "own endpoint"
_VARIABLES = (URL_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE)


def connect_form() -> ConnectForm:
    """A form that does what `connect()` does. `.value` is the client once it is connected, and None before."""
    return ConnectForm()


class ConnectForm(widgets.VBox):
    """Chooses between the local service and an endpoint, connects in the background, and says to what.

    The token goes into the environment of this process and nowhere else: its field is emptied at once, so that it is
    in no saved widget state.
    """

    def __init__(self) -> None:
        self._gradient: Gradient | None = None
        self._busy = threading.Lock()
        self._where = widgets.ToggleButtons(options=[LOCAL, HOSTED], description="Use the")
        self._url = widgets.Text(description="URL", placeholder="https://…/api")
        self._token = widgets.Password(description="Token")
        self._workspace = widgets.Text(description="Workspace")
        self._button = widgets.Button(description="Connect", button_style="primary")
        self._status = widgets.HTML()
        self._endpoint = widgets.VBox([self._url, self._token, self._workspace])
        self._fill_from_environment()
        self._where.observe(lambda _: self._show_endpoint(), "value")
        self._button.on_click(lambda _: self._start())
        super().__init__()
        self._show_endpoint()

    def __repr__(self) -> str:
        return "ConnectForm()"

    @property
    def value(self) -> Gradient | None:
        """The connected client, or None."""
        return self._gradient

    def wait(self, seconds: float = 60) -> Gradient | None:
        """Waits until a click's work has ended, for code that follows the form; returns `.value`."""
        if self._busy.acquire(timeout=seconds):
            self._busy.release()
        return self._gradient

    def _fill_from_environment(self) -> None:
        try:
            own = _from_environment()
        except GradientError:
            own = True  # half a set of credentials: the form is the place to complete it
        self._where.value = HOSTED if own else LOCAL
        if own:
            self._url.value = os.environ.get(URL_VARIABLE, "")
            self._workspace.value = os.environ.get(WORKSPACE_VARIABLE, "")
            self._token.placeholder = "from the environment" if os.environ.get(TOKEN_VARIABLE) else ""

    def _show_endpoint(self) -> None:
        endpoint = [self._endpoint] if self._where.value == HOSTED else []
        self.children = [self._where, *endpoint, self._button, self._status]

    def _start(self) -> None:
        if not self._busy.acquire(blocking=False):
            return  # a second click while busy
        self._button.disabled = True
        self._say("Connecting…")
        chosen = self._environment()
        self._token.value = ""
        threading.Thread(target=self._connect, args=(chosen,), daemon=True).start()

    def _environment(self) -> dict[str, str]:
        """The variables that the form stands for; none for the local service."""
        if self._where.value == LOCAL:
            return {}
        token = self._token.value.strip() or os.environ.get(TOKEN_VARIABLE, "")
        filled = (self._url.value.strip(), token, self._workspace.value.strip())
        return {name: value for name, value in zip(_VARIABLES, filled, strict=True) if value}

    def _connect(self, chosen: dict[str, str]) -> None:
        before = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        os.environ.update(chosen)
        try:
            if self._where.value == HOSTED and not {TOKEN_VARIABLE, WORKSPACE_VARIABLE} <= set(chosen):
                raise GradientError("An endpoint needs a token and a workspace: fill in both fields.")
            self._gradient = connect(quiet=True, progress=lambda what, done: self._say(f"{what}: {done:.0%}"))
            self._say(connected_to(self._gradient))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said in the form and the form stays usable
            for name in _VARIABLES:
                os.environ.pop(name, None)
            os.environ.update(before)
            self._say(f"Not connected. {error}")
        finally:
            self._button.disabled = False
            self._busy.release()

    def _say(self, sentence: str) -> None:
        self._status.value = f'<div role="status" style="white-space: pre-wrap">{html.escape(sentence)}</div>'
