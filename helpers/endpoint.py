"""The three settings of an endpoint as people give them: read, cleaned and checked here, by one rule for all.

Called by `connection.py`, `sdk.py`, `llm.py`, `auth.py` and the forms. No sentence from here holds a token.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from .environment import (
    HOSTED_URL,
    MIN_TOKEN_CHARACTERS,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_VARIABLE,
    is_token,
)

# What a copy or a file from another system leaves at the ends of a value: white space, and signs that no one sees.
_AROUND = re.compile(r"\A[\s\ufeff\u200b\u2060]+|[\s\ufeff\u200b\u2060]+\Z")


@dataclass(frozen=True)
class Endpoint:
    """Where calls go and who makes them, cleaned and checked.

    Attributes:
        url: base URL, ending in /api.
        token: access token; it is in no repr.
        workspace: workspace id.
    """

    url: str
    token: str = field(repr=False)
    workspace: str

    def to_environment(self) -> None:
        """Puts it into this process's environment, where the SDK's own client looks for it as it is."""
        values = {URL_VARIABLE: self.url, TOKEN_VARIABLE: self.token, WORKSPACE_VARIABLE: self.workspace}
        os.environ.update(values)


def checked(url: str, token: str, workspace: str) -> Endpoint:
    """An endpoint of these settings.

    Raises:
        ValueError: one of them can't be used; the sentence names its variable.
    """
    return Endpoint(cleaned(url), checked_token(token), cleaned(workspace))


def of_environment() -> Endpoint:
    """The endpoint that the three variables name.

    Raises:
        ValueError: as `checked`.
    """
    return checked(setting(URL_VARIABLE) or HOSTED_URL, setting(TOKEN_VARIABLE), setting(WORKSPACE_VARIABLE))


def setting(name: str) -> str:
    """A variable of the environment, cleaned; empty if it is not set."""
    return cleaned(os.environ.get(name, ""))


def cleaned(value: str) -> str:
    """A value without the white space around it: a file from Windows leaves `\\r` at its end."""
    return _AROUND.sub("", value)


def checked_token(token: str) -> str:
    """A token that a header can carry, cleaned.

    Raises:
        ValueError: it is none; the sentence does not hold it.
    """
    token = cleaned(token)
    if not token:
        raise ValueError(
            f"The access token is missing: call connect(), which sets {TOKEN_VARIABLE}, or set it yourself "
            "(gradient_access_token=… of a GradientLLM)."
        )
    if not is_token(token):
        raise ValueError(
            f"The access token is none: {TOKEN_VARIABLE} needs at least {MIN_TOKEN_CHARACTERS} printable ASCII "
            f"characters without spaces, and this has {_flaw(token)}. Copy it anew, or call connect(), which sets it "
            "for the local service."
        )
    return token


def _flaw(token: str) -> str:
    """What is wrong with a token, without a part of it."""
    wrong = [place for place, sign in enumerate(token, 1) if not ("!" <= sign <= "~")]
    return f"another one at place {wrong[0]}" if wrong else f"{len(token)}"
