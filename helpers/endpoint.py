"""The three settings of an endpoint as people give them: read, cleaned and checked here, by one rule for all.

Called by `connection.py`, `sdk.py`, `endpoint_fields.py`, `auth.py` and the forms. No sentence from here holds a token.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from .environment import (
    MIN_TOKEN_CHARACTERS,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_ID,
    WORKSPACE_RULE,
    WORKSPACE_VARIABLE,
    is_token,
)
from .errors import BadInput
from .language import _, later

API_PATH = "/api"
EXAMPLE_URL = "http://192.168.1.20:8080/api"  # as a room's service has it

# The SDK's own default, https://api.gradient.ai, answers no more: a token that goes there may reach anyone.
NO_URL = later(
    "An access token and a workspace id are there and the endpoint's address is not; the "
    "hosted Gradient that needed none is retired. Unset {token} and "
    "{workspace} to use the local service, which connect() starts, or set "
    "{url} to your endpoint's address, such as {example}."
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

    Args:
        url, token, workspace: as they were written; white space around them is removed.

    Raises:
        BadInput: one of them can't be used; the sentence names its variable.
    """
    token = checked_token(token)  # first: without one there is nothing to say of an address
    workspace = checked_workspace(workspace)
    return Endpoint(checked_url(url), token, workspace)


def of_environment() -> Endpoint:
    """The endpoint that the three variables name.

    Raises:
        BadInput: as `checked`.
    """
    return checked(setting(URL_VARIABLE), setting(TOKEN_VARIABLE), setting(WORKSPACE_VARIABLE))


def setting(name: str) -> str:
    """A variable of the environment, cleaned; empty if it is not set."""
    return cleaned(os.environ.get(name, ""))


def cleaned(value: str) -> str:
    """A value without the white space around it: a file from Windows leaves a carriage return at its end."""
    return _AROUND.sub("", value)


def checked_url(url: str) -> str:
    """The base URL that is meant: cleaned, without slashes too many, and with the `/api` that a bare host lacks.

    Raises:
        BadInput: it is none; the sentence shows a right one, and no part of it that may be secret.
    """
    text = cleaned(url)
    if not text:
        names = {"token": TOKEN_VARIABLE, "workspace": WORKSPACE_VARIABLE, "url": URL_VARIABLE}
        raise BadInput(_(NO_URL, example=EXAMPLE_URL, **names))
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - refuses what is no number
    except ValueError:
        raise _wrong_url(_("a host and a port that can't be read"), EXAMPLE_URL) from None
    flaw = _flaw_of_url(text, parts)
    if flaw is not None:
        raise _wrong_url(*flaw)
    path = "/" + "/".join(filter(None, parts.path.split("/")))
    base = f"{parts.scheme.lower()}://{parts.netloc}"
    if path in ("/", API_PATH):
        return base + API_PATH
    if path.endswith(API_PATH):  # behind a proxy
        return base + path
    raise _wrong_url(_("the path {path}", path=path), base + API_PATH)


def _flaw_of_url(text: str, parts: SplitResult) -> tuple[str, str] | None:
    """What is wrong before the path, and a right URL; None if nothing is."""
    if re.search(r"[\s\x00-\x1f]", text):
        return _("white space in it"), EXAMPLE_URL
    if "@" in parts.netloc:
        return _("a name or a password in it"), EXAMPLE_URL
    if "://" not in text and re.fullmatch(r"[\w.-]+(:\d+)?(/.*)?", text):
        return _("no http:// in front of it"), f"http://{text.split('/')[0]}{API_PATH}"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return _("no http:// or https:// with a host after it"), EXAMPLE_URL
    if parts.query or parts.fragment:
        return _("a ? or a # in it"), f"{parts.scheme.lower()}://{parts.netloc}{API_PATH}"
    return None


def _wrong_url(flaw: str, right: str) -> BadInput:
    return BadInput(
        _(
            "The endpoint's address, {name}, has {flaw}: a right one is {right}.",
            name=URL_VARIABLE,
            flaw=flaw,
            right=right,
        )
    )


def checked_token(token: str) -> str:
    """A token that a header can carry, cleaned.

    Raises:
        BadInput: it is none; the sentence does not hold it.
    """
    token = cleaned(token)
    if not token:
        raise BadInput(
            _(
                "The access token is missing: call connect(), which sets {name}, or set it "
                "yourself (gradient_access_token=… of a GradientLLM or GradientEmbeddings).",
                name=TOKEN_VARIABLE,
            )
        )
    if not is_token(token):
        raise BadInput(
            _(
                "The access token is none: {name} needs at least {least} printable ASCII characters without "
                "spaces, and this has {flaw}. Copy it anew, or call connect(), which sets it for the local "
                "service.",
                name=TOKEN_VARIABLE,
                least=MIN_TOKEN_CHARACTERS,
                flaw=_flaw(token),
            )
        )
    return token


def checked_workspace(workspace: str) -> str:
    """A workspace id, cleaned, by the rule of the service.

    Raises:
        BadInput: it is none.
    """
    workspace = cleaned(workspace)
    if not workspace:
        raise BadInput(
            _(
                "The workspace id is missing: call connect(), which sets {name}, or "
                "set it yourself (gradient_workspace_id=… of a GradientLLM or GradientEmbeddings).",
                name=WORKSPACE_VARIABLE,
            )
        )
    if not re.fullmatch(WORKSPACE_ID, workspace):
        raise BadInput(
            _(
                "The workspace, {name}, has to be an id ({rule}), and this has another character or is too long: "
                "copy it anew.",
                name=WORKSPACE_VARIABLE,
                rule=_(WORKSPACE_RULE),
            )
        )
    return workspace


def _flaw(token: str) -> str:
    """What is wrong with a token, without a part of it."""
    wrong = [place for place, sign in enumerate(token, 1) if not ("!" <= sign <= "~")]
    return _("another one at place {wrong}", wrong=wrong[0]) if wrong else f"{len(token)}"
