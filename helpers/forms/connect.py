"""The connect form: the local service or an endpoint of one's own, tested, connected to, and said.

Called by notebooks through `helpers.forms`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets

from ..connection import connect, connected_to, has_own_credentials
from ..endpoint import EXAMPLE_URL, cleaned, setting
from ..environment import LOCAL_WORKSPACE, TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE
from ..errors import BadInput, GradientError
from ..language import _, later
from ..sdk import client
from ..service import launcher, paths
from .form import OWN_WIDTH, WIDE, CodeView, Form, wrapped
from .written_code import literal

if TYPE_CHECKING:
    from gradientai import Gradient

LOCAL, HOSTED = later("local service"), later("own endpoint")
KEPT = later("kept, and not shown")
_VARIABLES = (URL_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE)


def connect_form() -> ConnectForm:
    """A form that does what `connect()` does. `.value` is the client once it is connected, and None before."""
    return ConnectForm()


class ConnectForm(Form):
    """Chooses between the local service and an endpoint, tests it, connects, and says to what.

    A token leaves its field as soon as it is typed, for this object and then the environment of this process: it is in
    no widget state, so that no saved notebook can hold it.
    """

    seen: ClassVar[str] = later(
        "The form connect: a choice between the local service and an endpoint of one's own, "
        "which has fields for its URL, its token and its workspace; the buttons Connect and "
        "Test; and the lines of code for what is chosen."
    )

    def __init__(self) -> None:
        super().__init__()
        self._secret = ""
        self.where = widgets.RadioButtons(
            options=[(_(name), name) for name in (LOCAL, HOSTED)],
            description=_("Use the"),
            orientation="horizontal",
            style=OWN_WIDTH,
        )
        self.url = widgets.Text(description=_("URL"), placeholder=EXAMPLE_URL, layout=WIDE)
        self.token = widgets.Password(description=_("Token"), continuous_update=False, layout=WIDE)
        self.workspace = widgets.Text(description=_("Workspace"), layout=WIDE)
        self._endpoint = widgets.VBox([self.url, self.token, self.workspace])
        self._connect = widgets.Button(description=_("Connect"), button_style="primary")
        self._test = widgets.Button(description=_("Test"), tooltip=_("Asks what is there, and changes nothing"))
        self._code = CodeView(lambda: self.code, [self.where, self.url, self.workspace])
        self._fill_from_environment()
        self._listen()
        self._lay_out()

    @property
    def value(self) -> Gradient | None:
        """The connected client, or None."""
        return self.gradient

    @property
    def code(self) -> str:
        """The lines that do what the form does. An endpoint's token is asked for, without showing it.

        Raises:
            BadInput: an endpoint has no URL yet.
        """
        if self.where.value == LOCAL:
            return "from helpers import connect\n\ngradient = connect()\n"
        url, workspace = cleaned(self.url.value), cleaned(self.workspace.value)
        if not url:
            raise BadInput(_("An endpoint needs its URL: fill it in."))
        lines = ["import os", "", "from helpers import connect", "", f'os.environ["{URL_VARIABLE}"] = {literal(url)}']
        if workspace:
            lines.append(f'os.environ["{WORKSPACE_VARIABLE}"] = {literal(workspace)}')
        return "\n".join([*lines, "gradient = connect(hosted=True)", ""])

    def _listen(self) -> None:
        self._buttons = [self._connect, self._test]
        self.where.observe(lambda change: self._lay_out(), "value")
        self.token.observe(lambda change: self._take_token(change["new"]), "value")
        self._connect.on_click(lambda button: self._start(_("Connecting…"), self._connect_now))
        self._test.on_click(lambda button: self._start(_("Testing…"), self._test_now))

    def _fill_from_environment(self) -> None:
        own = _from_user()
        self.where.value = HOSTED if own else LOCAL
        if own:
            self.url.value = setting(URL_VARIABLE)
            self.workspace.value = setting(WORKSPACE_VARIABLE)
            self.token.placeholder = _("from the environment") if setting(TOKEN_VARIABLE) else ""

    def _lay_out(self) -> None:
        endpoint = [self._endpoint] if self.where.value == HOSTED else []
        self._show(self.where, *endpoint, wrapped(self._connect, self._test), self._status, self._code)

    def _take_token(self, typed: str) -> None:
        if typed:
            self._secret = cleaned(typed)
            self.token.value, self.token.placeholder = "", _(KEPT)

    def _filled_in(self) -> dict[str, str]:
        """The variables that the form stands for; none for the local service.

        Raises:
            GradientError: the URL, the token or the workspace is missing.
        """
        if self.where.value == LOCAL:
            return {}
        token = self._secret or (setting(TOKEN_VARIABLE) if _from_user() else "")
        values = (cleaned(self.url.value), token, cleaned(self.workspace.value))
        if not all(values):
            raise GradientError(_("An endpoint needs its URL, a token and a workspace: fill in all three fields."))
        return dict(zip(_VARIABLES, values, strict=True))

    def _connect_now(self) -> str:
        chosen = self._filled_in()
        before = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        try:
            os.environ.update(chosen)
            self.gradient = connect(quiet=True, progress=lambda what, done: self._say(f"{what}: {done:.0%}"))
        except Exception:
            for name in _VARIABLES:
                os.environ.pop(name, None)
            os.environ.update(before)
            raise
        return connected_to(self.gradient)

    def _test_now(self) -> str:
        chosen = self._filled_in() or _running_local_service()
        if not chosen:
            return _("The local service is not running: Connect starts it.")
        url, token, workspace = (chosen[name] for name in _VARIABLES)
        started = time.perf_counter()
        models = client(url, token, workspace).list_models(only_base=False)
        return _(
            "{url} answers, in {seconds:.2f} s: {count} models in {workspace}.",
            url=url,
            seconds=time.perf_counter() - started,
            count=len(models),
            workspace=workspace,
        )

    def _url(self) -> str:
        if self.where.value == HOSTED:
            return cleaned(self.url.value) or _("the endpoint")
        return super()._url()


def _from_user() -> bool:
    """Whether the environment's credentials are the user's own; half a set is: the form is the place to complete it."""
    try:
        return has_own_credentials()
    except GradientError:
        return True


def _running_local_service() -> dict[str, str]:
    """Address and credentials of the local service, if it runs."""
    running = launcher.find(paths.data_dir())
    return dict(zip(_VARIABLES, (running.url, running.token, LOCAL_WORKSPACE), strict=True)) if running else {}
