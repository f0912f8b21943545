"""Credentials of a hosted endpoint: asked for without echo, kept in the environment, and on disk only on request.

Called by `connect(hosted=True)` and by notebooks. A token is never printed and never put into a cell's output.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path

import platformdirs

from . import private_file
from .endpoint import cleaned
from .environment import APP_NAME, CREDENTIALS_FILE_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE
from .errors import MissingCredentials
from .language import _, later

_QUESTIONS = {
    TOKEN_VARIABLE: later("Gradient access token: "),
    WORKSPACE_VARIABLE: later("Gradient workspace id: "),
}


def ensure_credentials(keep: bool = False) -> None:
    """Makes sure that the environment holds an access token and a workspace id.

    What is missing comes from the file of `credentials_file`, else from a prompt that does not echo.

    Args:
        keep: write them to that file, which only its owner can read, for the next time.

    Raises:
        MissingCredentials: something is missing and no one can answer a prompt.
    """
    kept = _kept()
    for name, question in _QUESTIONS.items():
        os.environ[name] = cleaned(os.environ.get(name, "")) or kept.get(name) or _ask(name, question)
    if keep:
        credentials_file().parent.mkdir(parents=True, exist_ok=True)
        private_file.write_json(credentials_file(), {name: os.environ[name] for name in _QUESTIONS})


def forget_credentials() -> None:
    """Removes kept credentials from disk and from this process's environment."""
    credentials_file().unlink(missing_ok=True)
    for name in _QUESTIONS:
        os.environ.pop(name, None)


def credentials_file() -> Path:
    """Where `ensure_credentials(keep=True)` keeps them; GRADIENT_CREDENTIALS_FILE overrides it."""
    default = platformdirs.user_config_path(APP_NAME, appauthor=False) / "credentials.json"
    return Path(os.path.expanduser(os.environ.get(CREDENTIALS_FILE_VARIABLE) or default))  # noqa: PTH111 - "~nobody"


def _ask(name: str, question: str) -> str:
    missing = MissingCredentials(
        _(
            "{name} is not set and no one can be asked for it here: set it in the environment, "
            "or run connect() without hosted=True to use the local service.",
            name=name,
        )
    )
    if not _someone_can_answer():
        raise missing
    try:
        answer = cleaned(getpass.getpass(_(question)))
    except (EOFError, OSError):
        raise missing from None
    if not answer:
        raise MissingCredentials(_("No value was given for {name}: run this again and paste it.", name=name))
    return answer


def _someone_can_answer() -> bool:
    """Whether a prompt would reach a person: a notebook that takes input, or a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


def _kept() -> dict[str, str]:
    try:
        kept = json.loads(credentials_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: cleaned(str(value)) for name, value in kept.items()} if isinstance(kept, dict) else {}
