"""The tokens of a text, and the likeliest next ones, as the model has them: the local service says so, beside the API.

Called by `llm.py`, for langchain-core's `get_num_tokens`, which would else fetch another model's tokenizer, and by
`token_views.py`, which shows them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import local_service, sdk
from .errors import GradientError, one_sentence
from .language import _

if TYPE_CHECKING:
    from gradientai import ModelAdapter

PATH = "/tokens"
NEXT_PATH = "/next-tokens"


def token_ids(model: ModelAdapter, text: str) -> list[int]:
    """The ids of a text's tokens, in their order.

    Args:
        model: any model of the endpoint; all that the local service has make the same tokens.
        text: the text; an empty one has none.

    Raises:
        GradientError: the endpoint is not the local service, refuses the text or does not answer.
    """
    does = _("counts tokens (a GradientLLM takes custom_get_token_ids for another)")
    return [int(token) for token in _asked(model, PATH, {"text": text}, "tokens", does)] if text else []


def pieces(model: ModelAdapter, text: str) -> list[tuple[int, str]]:
    """The tokens of a text, each with its id and the piece of the text that it is.

    Args:
        model: any model of the endpoint.
        text: the text.

    Raises:
        GradientError: as `token_ids`.
    """
    if not text:
        return []
    found = _asked(model, PATH, {"text": text}, None, _("shows tokens"))
    return list(zip(found["tokens"], found["pieces"], strict=True))


def likeliest(model: ModelAdapter, prompt: str, count: int = 10) -> list[tuple[str, float]]:
    """The likeliest tokens after a prompt: each one's piece of text and its probability, before any sampling.

    Args:
        model: a base model or an adapter.
        prompt: the text to continue.
        count: how many at the most, 1 to MAX_NEXT_TOKENS.

    Raises:
        GradientError: as `token_ids`.
    """
    body = {"model": model.id, "prompt": prompt, "count": count}
    found = _asked(model, NEXT_PATH, body, "next", _("shows what may come next"))
    return [(one["piece"], one["probability"]) for one in found]


def _asked(model: ModelAdapter, path: str, body: dict[str, Any], key: str | None, does: str) -> Any:
    """What the local service answers to a call of its own, or the part of it under a key."""
    url = sdk.url_of(model)
    with one_sentence(url):
        local_service.require(model, does)
        with local_service.answered(model, path, body) as answer:
            content = answer.read()
    try:
        found = json.loads(content)
        return found if key is None else found[key]
    except (ValueError, KeyError, TypeError):
        raise GradientError(
            _("{url} does not count tokens as the local service does: is it of this version?", url=url)
        ) from None
