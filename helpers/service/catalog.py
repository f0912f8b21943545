"""The base models that the service lists, by the ids and slugs that programs ask for: one set of weights answers all.

Old code finds its slug and id unchanged; each model's `name` says which weights really answer. Called by
`calls.py`, and by tests and notebooks' helpers for the names.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

CAPABILITIES = ("complete", "fineTune")

# Ids and slugs in the order in which the hosted service listed them when LangChain's page on it was written.
CLASSIC_MODELS = (
    ("99148c6d-c2a0-4fbe-a4a7-e7c05bdb8a09_base_ml_model", "bloom-560m"),
    ("f0b97d96-51a8-4040-8b22-7940ee1fa24e_base_ml_model", "llama2-7b-chat"),
    ("cc2dafce-9e6e-4a23-a918-cad6ba89e42e_base_ml_model", "nous-hermes2"),
)

# Slugs that came later. No public program names their ids, so these are our own, and fixed: adapters refer to them.
LATER_MODELS = (
    ("ee46c7f6-9b76-4996-9f3d-f6eab4a8b59a_base_ml_model", "llama3-8b-chat"),
    ("d644fac7-8233-4e61-883d-1f2c3b554acd_base_ml_model", "llama3-70b-chat"),
)

# The classic ones last, because programs take `models[-1]` for one of them.
ALL_MODELS = (*LATER_MODELS, *CLASSIC_MODELS)

EMBEDDINGS_SLUGS = ("bge-large",)  # the SDK takes no other; the engine's own model answers for it

_BASE_MODEL_ID = re.compile(r"[0-9a-f-]{36}_base_ml_model")
_ADAPTER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_model_adapter")


@dataclass(frozen=True)
class BaseModel:
    """A base model as the API lists it."""

    id: str
    slug: str
    name: str


def base_models(weights_name: str) -> tuple[BaseModel, ...]:
    """All of them, each named after the weights that answer for it.

    Args:
        weights_name: what really runs, for example "SmolLM2-135M-Instruct".
    """
    return tuple(
        BaseModel(id=id_, slug=slug, name=f"{slug} (answered locally by {weights_name})") for id_, slug in ALL_MODELS
    )


def new_adapter_id() -> str:
    """A fresh adapter id of 50 characters, the length that the SDK insists on; its uuid4 can't be guessed."""
    return f"{uuid.uuid4()}_model_adapter"


def is_adapter_id(text: str) -> bool:
    """Whether the text has an adapter id's exact form. Only such a text may become part of a path."""
    return _ADAPTER_ID.fullmatch(text) is not None


def is_base_model_id(text: str) -> bool:
    """Whether the text has the form of a base model's id."""
    return _BASE_MODEL_ID.fullmatch(text) is not None
