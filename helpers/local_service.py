"""What the local service offers beside the Gradient API, and how it is asked for: handing over files, counting tokens,
keeping how far a learner is.

Called by `export.py`, `token_count.py` and the exercises. Another endpoint has none of this, and is told no credentials
to find out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import endpoint, sdk
from .errors import GradientError, refused
from .language import _

if TYPE_CHECKING:
    import urllib3
    from gradientai import ModelAdapter

REPORT_SECONDS = 2.0
MOST_BYTES = 1 << 20  # more of what an endpoint says of itself, or of a refusal, is not read


def require(model: ModelAdapter, does: str) -> None:
    """Asks, without any credentials, whether a model's endpoint is a service of ours.

    Args:
        model: any of the endpoint's.
        does: what the local service alone does, for the sentence.

    Raises:
        GradientError: it is another.
    """
    if not _is_local(model):
        raise GradientError(
            _("Only the local service {does}, and {url} is another endpoint.", does=does, url=sdk.url_of(model))
        )


@contextlib.contextmanager
def answered(model: ModelAdapter, path: str, body: dict[str, Any] | None = None) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer of a call beside the API, its body not yet read.

    Args:
        model: whose endpoint and credentials.
        path: with its leading slash.
        body: what to post; None gets.

    Raises:
        GradientError: the service refuses.
    """
    with contextlib.closing(sdk.beside_the_api(model, path, body=body)) as answer:
        if answer.status != 200:
            raise refused(answer.read(MOST_BYTES), answer.status, answer.reason, sdk.url_of(model))
        yield answer


def report(path: str, body: dict[str, Any]) -> None:
    """Posts to the local service if this process is connected to it: without a word whatever comes of it,
    and in REPORT_SECONDS at most.

    Args:
        path: with its leading slash.
        body: what to post.
    """
    with contextlib.suppress(Exception):  # no cell fails over what its author did not ask for
        at = endpoint.of_environment()
        model = sdk.model(sdk.shared_client(at.url, at.token, at.workspace), "")
        hasty = REPORT_SECONDS / 2
        if _is_local(model, hasty):
            sdk.beside_the_api(model, path, body=body, hasty_seconds=hasty).close()


def _is_local(model: ModelAdapter, hasty_seconds: float | None = None) -> bool:
    """Whether the local service answers, which says so in its health."""
    with contextlib.closing(sdk.beside_the_api(model, "/health", secret=False, hasty_seconds=hasty_seconds)) as answer:
        return "instance" in _json(answer.read(MOST_BYTES))


def _json(text: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for whatever else it is."""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        return found if isinstance(found, dict) else {}
    return {}
