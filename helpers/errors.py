"""The one exception that the helpers raise for whatever an endpoint refused or could not do.

Used by `connection.py` and `llm.py`; notebooks catch `GradientError` and read its sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

UNSENDABLE = (
    "No header can carry the access token or the workspace id: copy GRADIENT_ACCESS_TOKEN and GRADIENT_WORKSPACE_ID "
    "anew, without a line break in them."
)


class GradientError(RuntimeError):
    """Raised when an endpoint refused a call or can't be reached; str() of it is one sentence that says why.

    Attributes:
        status: HTTP status, or None if there was no answer.
        type: the API's error type ("unknownModelAdapter", …), or None.
    """

    def __init__(self, message: str, status: int | None = None, type: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type


@contextmanager
def one_sentence(url: str) -> Iterator[None]:
    """Turns the SDK's exceptions, which show headers and raw bodies, into a GradientError.

    Args:
        url: the endpoint, for the sentence that says that nothing answers there.
    """
    import urllib3
    from gradientai.openapi.client.exceptions import ApiException
    from pydantic.v1 import ValidationError  # the SDK checks its arguments with pydantic 1

    try:
        yield
    except ApiException as error:
        raise refused(error.body, error.status, error.reason, url) from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(name) for name in problem["loc"] if name != "__root__")
        raise GradientError(f"The call is not right: {where}: {problem['msg']}.", type="bodyParsingError") from None
    except urllib3.exceptions.HTTPError as error:
        raise GradientError(_no_answer(error, url)) from None
    except ValueError as error:
        if not _shows_a_header(error):
            raise
        _empty(error)
        raise GradientError(UNSENDABLE) from None


def refused(body: str | bytes | None, status: int, reason: str | None, url: str) -> GradientError:
    """What an answer that is none says, as an exception to raise.

    Args:
        body, status, reason: the answer's.
        url: the endpoint, for the sentence about one that speaks another language.
    """
    try:
        said = json.loads(body)
        return GradientError(str(said["message"]), status, said.get("type"))
    except (TypeError, ValueError, KeyError, AttributeError):
        return GradientError(
            f"{url} answered {status} {reason}, which is not how the Gradient API answers: check GRADIENT_API_URL.",
            status,
        )


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


def _no_answer(error: Exception, url: str) -> str:
    if "Connection broken" in str(error):
        return f"{url} hung up in the middle of its answer: try again."
    reason = getattr(error, "reason", error)
    if "timed out" in str(reason).lower() or "timeout" in type(reason).__name__.lower():
        return f"{url} did not answer in time: it may be busy. Try again, or ask for fewer tokens."
    return f"Nothing answers at {url}: call connect() again to find or start the local service, or check the address."
