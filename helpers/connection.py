"""connect(): which endpoint, whose credentials, and the gradientai client for them.

What connect() is given wins, then credentials in the environment; else the local service is found or started. Called by
notebooks as `from helpers import connect`, and by the connect form.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import cell_clock, endpoint
from .environment import (
    DATA_DIR_VARIABLE,
    LOCAL_WORKSPACE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_VARIABLE,
    is_loopback,
)
from .errors import BadInput, GradientError, MissingCredentials
from .language import _
from .progress_bars import bar
from .sdk import client, move, url_of

if TYPE_CHECKING:
    from gradientai import Gradient, ModelAdapter

_EXAMPLE = f'connect(url="{endpoint.EXAMPLE_URL}", token="…", workspace="ada")'
_set_by_us: dict[str, str] = {}  # what connect() put into the environment, so that it can tell it from the user's own
_last_seen: dict[Path, tuple[str, str]] = {}  # data folder: URL and token of its service when connect() last found it


def connect(
    *,
    url: str | None = None,
    token: str | None = None,
    workspace: str | None = None,
    hosted: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Gradient:
    """Connects to a Gradient endpoint and says in one line which. In a notebook, long cells get a clock.

    With `url`, `token` and `workspace`, to that endpoint; the three variables are then set to them for this process.
    With GRADIENT_ACCESS_TOKEN and GRADIENT_WORKSPACE_ID set, to the endpoint at GRADIENT_API_URL. Otherwise to the
    local service, which is started if it isn't running; the three variables are then set for this process, so that
    `Gradient()` and `GradientLLM(model=…)` need no arguments. What was made for an earlier run of the local service
    goes on with this one.

    Args:
        url, token, workspace: an endpoint's address, access token and workspace id, all three of them: what a room's
            service prints as one line to paste. If they don't work, the environment stays as it was.
        hosted: ask for the credentials of a hosted endpoint if they are missing, instead of using the local service.
        data_dir: the local service's data folder, instead of the per-user one. It is remembered for this process and
            what it starts, in GRADIENT_LOCAL_DATA_DIR: whatever looks for the service or its adapters looks there.
        quiet: don't print the line.
        progress: told what a starting service is doing and how much of it is done (0 to 1), instead of a progress bar.

    Returns:
        The SDK's own client, with limits on its waits, and calls that fail in one sentence.

    Raises:
        GradientError: the endpoint can't be reached (Unreachable) or refuses the credentials (WrongCredentials); a
            setting can't be used (BadInput); the local service can't be started.
        MissingCredentials: credentials are missing and no one can be asked.
    """
    at = _given(url, token, workspace, hosted or data_dir is not None)
    if at is None and hosted:
        _ask_for_credentials()
    elif at is None and not has_own_credentials():
        _use_local_service(data_dir, progress)
    at = at or endpoint.of_environment()
    gradient = client(at.url, at.token, at.workspace)
    gradient.list_models(only_base=True)
    at.to_environment()
    if not quiet:
        print(connected_to(gradient))
    cell_clock.start()
    return gradient


def _given(url: object, token: object, workspace: object, otherwise: bool) -> endpoint.Endpoint | None:
    """The endpoint of connect()'s arguments, or None if none is given.

    Args:
        url, token, workspace: as they were given.
        otherwise: whether another argument says where to connect to.

    Raises:
        BadInput: one of them is missing or can't be used; no sentence holds a token.
    """
    arguments = {"url": url, "token": token, "workspace": workspace}
    given = {name: value for name, value in arguments.items() if value is not None}
    if not given:
        return None
    wrong = [name for name, value in given.items() if not isinstance(value, str)]
    if wrong:
        raise BadInput(_("connect() takes {name} as a text in quotes: {example}.", name=wrong[0], example=_EXAMPLE))
    texts = {name: endpoint.cleaned(str(value)) for name, value in given.items()}
    missing = [name for name in arguments if not texts.get(name)]
    if missing:
        names = {"given": _(" and ").join(given), "missing": _(" and ").join(missing)}
        raise BadInput(_("connect() with {given} needs {missing} too: {example}.", example=_EXAMPLE, **names))
    if otherwise:
        raise BadInput(
            _(
                "connect() with a url goes to that endpoint, so leave hosted and data_dir out: {example}.",
                example=_EXAMPLE,
            )
        )
    return endpoint.checked(**texts)


def connected_to(gradient: Gradient) -> str:
    """One line that says where a client's calls go."""
    url = url_of(gradient)
    workspace = gradient.workspace_id
    if is_loopback(urlsplit(url).hostname or ""):
        return _(
            "Connected to the local Gradient service at {url}, workspace {workspace}.", url=url, workspace=workspace
        )
    return _("Connected to {url}, workspace {workspace}.", url=url, workspace=workspace)


def stop_local_service(data_dir: str | os.PathLike[str] | None = None) -> None:
    """Ends the local service, for all notebooks; the adapters stay on disk. The next connect() starts it again.

    Args:
        data_dir: its data folder, instead of the one that connect() used last.

    Raises:
        GradientError: it did not end in time.
    """
    from .service import launcher

    try:
        running = launcher.stop(_data_folder(data_dir))
    except launcher.LauncherError as error:
        raise GradientError(str(error)) from None
    print(_("The local Gradient service has ended.") if running else _("No local Gradient service was running."))


def adapter_folder(adapter: ModelAdapter) -> Path:
    """The PEFT folder in which the local service keeps an adapter; the next fine_tune replaces it by a new one.

    Raises:
        GradientError: there is none on this machine: the adapter is on another, or was never fine-tuned.
    """
    places = dict.fromkeys([_data_folder(None), *_last_seen])
    versions = [version for place in places for version in (place / "adapters" / adapter.id).glob("v*")]
    if not versions:
        raise GradientError(
            _(
                "This adapter has no folder here: fine_tune it first, on the local service (a hosted "
                "one keeps its own); from a service on another machine, export_adapter fetches it."
            )
        )
    return max(versions, key=lambda folder: int(folder.name[1:]))


def has_own_credentials() -> bool:
    """Whether the user (not an earlier connect()) has set credentials.

    Raises:
        GradientError: only one of the two is set.
    """
    given = {name: endpoint.setting(name) for name in (TOKEN_VARIABLE, WORKSPACE_VARIABLE)}
    theirs = {name for name, value in given.items() if value and value != _set_by_us.get(name)}
    missing = [name for name, value in given.items() if not value]
    if theirs and missing:
        raise GradientError(
            _(
                "{given} is set and {missing} is not: set both to use an endpoint of your own, or "
                "unset both to use the local service.",
                given=theirs.pop(),
                missing=missing[0],
            )
        )
    return bool(theirs)


def _ask_for_credentials() -> None:
    """Makes sure that the environment has those of a hosted endpoint.

    Raises:
        MissingCredentials: its address is missing, or no one can be asked.
    """
    from . import auth

    _forget_local_service()
    if not endpoint.setting(URL_VARIABLE):
        raise MissingCredentials(
            _(
                "{name} is not set, so there is no endpoint to have credentials for: set it to the endpoint's "
                "address, such as {example}, or run connect() without hosted=True to use the local service.",
                name=URL_VARIABLE,
                example=endpoint.EXAMPLE_URL,
            )
        )
    auth.ensure_credentials()


def _forget_local_service() -> None:
    """Removes from the environment what an earlier connect() has put there."""
    for name, value in _set_by_us.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    _set_by_us.clear()


def _use_local_service(data_dir: str | os.PathLike[str] | None, progress: Callable[[str, float], None] | None) -> None:
    from .service import launcher

    data = _data_folder(data_dir)
    with _ProgressBar() as bar:
        try:
            service = launcher.ensure(data, progress or bar.show)
        except launcher.LauncherError as error:
            raise GradientError(str(error)) from None
        except OSError as error:
            raise GradientError(
                _("The local service can't use {folder}: {reason}.", folder=data, reason=error.strerror)
            ) from None
    _follow(data.resolve(), (service.url, service.token))
    if data_dir:
        os.environ[DATA_DIR_VARIABLE] = str(data)
    _set_by_us.update({URL_VARIABLE: service.url, TOKEN_VARIABLE: service.token, WORKSPACE_VARIABLE: LOCAL_WORKSPACE})
    os.environ.update(_set_by_us)


def _follow(data: Path, place: tuple[str, str]) -> None:
    """Takes what was made for an earlier run of a folder's service to this one, which has another port and token."""
    before = _last_seen.get(data, place)
    _last_seen[data] = place
    if before != place:
        move(before, place)


def _data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder that is given, or the one that connect() was given last, or the per-user one."""
    from .service import paths

    return paths.whole(data_dir) if data_dir else paths.data_dir()


class _ProgressBar:
    """A tqdm bar that appears only for work that takes a while: the download and the conversion of the model."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, doing: str, done: float) -> None:
        """Moves the bar; what is done at once shows none."""
        if self._bar is None or self._bar.desc.removesuffix(": ") != doing:
            if done >= 1.0:
                return
            self.__exit__()
            self._bar = bar(desc=doing, total=100, bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed}")
        self._bar.n = round(done * 100)
        self._bar.refresh()
