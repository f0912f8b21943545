"""The tokens of a text, as the model itself makes them: the local service says so, beside the API.

Called by `llm.py`, for langchain-core's `get_num_tokens`, which would else fetch another model's tokenizer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import local_service, sdk
from .errors import GradientError, one_sentence

if TYPE_CHECKING:
    from gradientai import ModelAdapter

PATH = "/tokens"


def token_ids(model: ModelAdapter, text: str) -> list[int]:
    """The ids of a text's tokens, in their order.

    Args:
        model: any model of the endpoint; all that the local service has make the same tokens.
        text: the text; an empty one has none.

    Raises:
        GradientError: the endpoint is not the local service, refuses the text or does not answer.
    """
    url = sdk.url_of(model)
    with one_sentence(url):
        local_service.require(model, "counts tokens (a GradientLLM takes custom_get_token_ids for another)")
        if not text:
            return []
        with local_service.answered(model, PATH, {"text": text}) as answer:
            content = answer.read()
    try:
        return [int(token) for token in json.loads(content)["tokens"]]
    except (ValueError, KeyError, TypeError):
        raise GradientError(f"{url} does not count tokens as the local service does: is it of this version?") from None
