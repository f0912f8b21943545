"""One family for whatever the helpers raise: GradientError and its kinds, each with one sentence for a person.

Notebooks and scripts catch them by name, `from helpers import UnknownAdapter`; each is also of Python's own kind for
such a fault. What stands for an exception of the SDK is of that exception's class too, so that code which was written
for the SDK alone goes on catching it. `sdk_classes.py` and all that talks to an endpoint speak through `one_sentence`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from .environment import is_loopback
from .language import _, later

UNSENDABLE = later(
    "No header can carry the access token or the workspace id: copy "
    "GRADIENT_ACCESS_TOKEN and GRADIENT_WORKSPACE_ID anew, without a line break in them."
)


class GradientError(RuntimeError):
    """Raised when something did not work; str() of it is one sentence that says why. Base of all kinds.

    Args:
        message: the sentence.

    Attributes:
        status: HTTP status, or None if there was no answer.
        type: the API's error type ("unknownModelAdapter", …), or None.
    """

    def __init__(self, message: str, status: int | None = None, type: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for another process, as its plain kind."""
        kind = next(one for one in type(self).__mro__ if globals().get(one.__name__) is one)
        return kind, (str(self), self.status, self.type)


class BadInput(GradientError, ValueError):
    """Raised when what was given can't be used: an argument, a sample, a setting."""


class UnknownModel(GradientError, LookupError):
    """Raised when there is no model with this slug or id."""


class UnknownAdapter(GradientError, LookupError):
    """Raised when there is no model adapter with this id: it was deleted, or never created."""


class UnknownCollection(GradientError, LookupError):
    """Raised when there is no retrieval collection with this id."""


class MissingCredentials(GradientError, LookupError):
    """Raised when credentials are missing and no one can be asked for them."""


class WrongCredentials(GradientError, PermissionError):
    """Raised when an endpoint does not know the token, or the token may not do this."""


class Unreachable(GradientError, ConnectionError):
    """Raised when nothing answers at an address, or what answered hung up."""


class TimedOut(GradientError, TimeoutError):
    """Raised when an endpoint did not answer in time."""


class Busy(GradientError):
    """Raised when an endpoint has no time for a call now; nothing was done, so trying again is safe."""


class LossRanAway(GradientError, ArithmeticError):
    """Raised when a fine-tune's loss ran away; the adapter is as it was before the call."""


class NotServed(GradientError, NotImplementedError):
    """Raised for what the Gradient API has and this endpoint does not serve."""


# What an endpoint's answer stands for: its type decides, else its status.
_BY_TYPE: dict[str, type[GradientError]] = {
    "unknownBaseModel": UnknownModel,
    "unknownModelAdapter": UnknownAdapter,
    "unknownRagCollection": UnknownCollection,
    "nanLoss": LossRanAway,
}
_BY_STATUS: dict[int, type[GradientError]] = {
    **dict.fromkeys((400, 404, 409, 413, 422), BadInput),
    **dict.fromkeys((401, 403), WrongCredentials),
    **dict.fromkeys((429, 503), Busy),
    501: NotServed,
    504: TimedOut,
}
_BODY = "bodyParsingError"  # the type of an answer that finds fault with the arguments


def of_kind(said: GradientError, kind: type[BaseException]) -> GradientError:
    """The same error, which is of a further kind: code that knows only that one catches it too."""
    both = _class_of_both(type(said), kind)  # type: ignore[arg-type]  # mypy asks an instance's hash of a class
    return both(str(said), said.status, said.type)


@functools.lru_cache(maxsize=128)
def _class_of_both(kind: type[GradientError], other: type[BaseException]) -> type[GradientError]:
    if issubclass(kind, other):
        return kind
    try:
        return type(kind.__name__, (kind, other), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    except TypeError:  # a class that can't be one of two
        return kind


@contextmanager
def one_sentence(url: str, flaw: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turns what the SDK raises, with its headers and raw bodies, into a GradientError that is of its class too.

    Args:
        url: the endpoint, for the sentence that says that nothing answers there.
        flaw: says what was wrong with the arguments of the call, for an exception that may come of them; None: nothing.
    """
    try:
        yield
    except GradientError:
        raise
    except Exception as error:  # noqa: BLE001 - what is not the SDK's goes on as it is
        said = _in_a_sentence(error, url, flaw)
        if said is None:
            raise
        # The whole trace, as Python shows it, without the values in its frames: the token is among them.
        traceback.clear_frames(error.__traceback__)
        raise said.with_traceback(error.__traceback__) from None


def of_the_sdk(error: BaseException, url: str) -> GradientError | None:
    """What an exception of the SDK says, or None if it is another's or a GradientError already.

    Args:
        error: any exception.
        url: the endpoint, as for `one_sentence`.
    """
    return None if isinstance(error, GradientError) else _in_a_sentence(error, url, lambda: None)


def refused(body: str | bytes | None, status: int, reason: str | None, url: str) -> GradientError:
    """What an answer that is none says, as an exception to raise.

    Args:
        body, status, reason: the answer's.
        url: the endpoint, for the sentence about one that speaks another language.
    """
    kind = _BY_STATUS.get(status, GradientError)
    try:
        said = json.loads(body or "")
        return _BY_TYPE.get(said.get("type"), kind)(str(said["message"]), status, said.get("type"))
    except (TypeError, ValueError, KeyError, AttributeError):
        return GradientError(
            _(
                "{url} answered {status} {reason}, which is not how the Gradient API answers: check GRADIENT_API_URL.",
                url=url,
                status=status,
                reason=reason,
            ),
            status,
        )


def _in_a_sentence(error: BaseException, url: str, flaw: Callable[[], str | None]) -> GradientError | None:
    said = _said(error, url)
    if said is None and not isinstance(error, (ValueError, TypeError, LookupError, AttributeError, OSError)):
        return None
    if said is None or said.type == _BODY:
        better = flaw()
        if better is not None:
            said = BadInput(better, getattr(said, "status", None), _BODY)
    if said is None:
        return None
    both = of_kind(said, type(error))
    _take_over(both, error)
    return both


def _said(error: BaseException, url: str) -> GradientError | None:
    """The sentence for an exception that the SDK raises by itself, whatever the call; None for another."""
    if "gradientai" not in sys.modules:
        return None
    import urllib3
    from gradientai.openapi.client.exceptions import ApiException
    from pydantic.v1 import ValidationError  # the SDK checks its arguments with pydantic 1

    if isinstance(error, ApiException):
        return refused(error.body, error.status, error.reason, url)
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        where = ".".join(str(name) for name in problem["loc"] if name != "__root__")
        return BadInput(
            _("The call is not right: {where}: {problem}.", where=where, problem=problem["msg"]), type=_BODY
        )
    if isinstance(error, urllib3.exceptions.HTTPError):
        return _no_answer(error, url)
    if isinstance(error, ValueError) and _shows_a_header(error):
        _empty(error)
        return BadInput(_(UNSENDABLE))
    return None


def _take_over(said: GradientError, error: BaseException) -> None:
    """Gives an error what the exception holds that it stands for: the body and the headers of an answer, say."""
    held = {name for kind in type(error).__mro__ for name in vars(kind).get("__slots__", ())} | set(vars(error))
    for name in held - set(vars(said)):
        with contextlib.suppress(AttributeError):
            setattr(said, name, getattr(error, name))


def _shows_a_header(error: ValueError) -> bool:
    """Whether it is that of http.client about a header that can't be sent, with the header in it."""
    return "Invalid header value" in str(error) or (
        isinstance(error, UnicodeEncodeError) and "Bearer " in str(error.object)
    )


def _empty(error: ValueError) -> None:
    """Takes out what an exception holds, as those raised after it keep it."""
    error.args = ()
    if isinstance(error, UnicodeEncodeError):
        error.object = ""


def _no_answer(error: Exception, url: str) -> GradientError:
    if "Connection broken" in str(error):
        return Unreachable(_("{url} hung up in the middle of its answer: try again.", url=url))
    reason = getattr(error, "reason", error)
    if "timed out" in str(reason).lower() or "timeout" in type(reason).__name__.lower():
        return TimedOut(_("{url} did not answer in time: it may be busy. Try again, or ask for fewer tokens.", url=url))
    flaw = next((one.verify_message for one in reason.args if isinstance(one, ssl.SSLCertVerificationError)), None)
    if flaw is not None:
        return Unreachable(
            _(
                "{url} shows a certificate that is not trusted here ({flaw}): get its file from who runs the service, "
                "set SSL_CERT_FILE to the path of that file, and use one of the names or addresses that it was made "
                "for.",
                url=url,
                flaw=flaw,
            )
        )
    if is_loopback(urlsplit(url).hostname or ""):
        return Unreachable(
            _(
                "Nothing answers at {url}: call connect() again to find or start the local service, "
                "or check the address.",
                url=url,
            )
        )
    return Unreachable(
        _(
            "Nothing answers at {url}: the service there has stopped or can't be reached from "
            "here; ask who runs it, or check GRADIENT_API_URL and call connect() again.",
            url=url,
        )
    )
