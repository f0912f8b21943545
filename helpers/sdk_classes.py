"""The SDK's own classes, with calls that fail in one sentence: what connect() gives, and all that it gives in turn.

Each is a subclass of the SDK's class of the same name. A call does what the SDK's does; once that has failed, the
sentence is found: the endpoint's own, or what was wrong with the arguments. `sdk.py` alone imports this module, when
the first client is made, as it imports the SDK.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradientai
from gradientai.pydantic_models.types import FineTuneResponse

from . import arguments, sdk
from .errors import BadInput, UnknownAdapter, UnknownModel, of_kind, one_sentence
from .language import _, later

ID_CHARACTERS = 50

# How one comes to an object of each class, for the sentence about a call that another class has.
HOW = {
    "Gradient": later("connect() makes one"),
    "BaseModel": later("get_base_model(base_model_slug=…) of the client gives one"),
    "ModelAdapter": later("create_model_adapter(name=…) of a base model makes one"),
    "EmbeddingsModel": later('get_embeddings_model(slug="bge-large") of the client gives one'),
    "RAGCollection": later('create_rag_collection(name=…, slug="bge-large", filepaths=[…]) of the client makes one'),
}
NO_BASE = later("There is no base model with the slug {slug!r}")
NO_EMBEDDINGS = later("There is no embeddings model with the slug {slug!r}")


class Speaking:
    """What each of the classes adds to the SDK's: calls that fail in one sentence, and one for a call there is not."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, call in inspect.getmembers(cls, inspect.isfunction):
            if not name.startswith("_") and not isinstance(inspect.getattr_static(cls, name), staticmethod):
                setattr(cls, name, _speaking(cls, call))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)  # which raises Python's own
        raise of_kind(BadInput(_no_attribute(type(self), name)), AttributeError)


def _speaking(cls: type, call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the SDK that fails in one sentence, and whose results are of these classes."""
    if inspect.iscoroutinefunction(call):
        checked = getattr(cls, call.__name__.removeprefix("a"), call)  # the SDK's own takes any names

        @functools.wraps(call)
        async def speaking(self: Any, *given: Any, **named: Any) -> Any:
            with one_sentence(sdk.url_of(self), lambda: arguments.flaw(checked, given, named)):
                return await call(self, *given, **named)

    else:

        @functools.wraps(call)
        def speaking(self: Any, *given: Any, **named: Any) -> Any:
            with one_sentence(sdk.url_of(self), lambda: arguments.flaw(call, given, named)):
                return dressed(call(self, *given, **named))

    return speaking


def _no_attribute(cls: type, name: str) -> str:
    """The sentence for what a class has not: who has it, or what was meant."""
    here = _a(cls.__name__)
    here = here[:1].upper() + here[1:]
    has = [one for one in dir(cls) if not one.startswith("_")]
    other = next((one.__name__ for one in _CLASSES.values() if name in dir(one)), None)
    if other is not None:
        return _("{here} has no {name}, {other} has: {how}.", here=here, name=name, other=_a(other), how=_(HOW[other]))
    return arguments.meant(_("{here} has no {name}", here=here, name=name), name, has)


def _a(name: str) -> str:
    return _("an {name}", name=name) if name[0] in "AEIOU" else _("a {name}", name=name)


class Gradient(Speaking, gradientai.Gradient):
    """The SDK's client."""

    def get_base_model(self, *, base_model_slug: str) -> gradientai.BaseModel:
        """The SDK's own.

        Raises:
            UnknownModel: no base model has this slug. It is no StopIteration, as the SDK's is: that is lost in a
                coroutine, a generator or a map.
        """
        return _with_slug(self.list_models(only_base=True), base_model_slug, NO_BASE)

    def get_embeddings_model(self, *, slug: str) -> Any:
        """The SDK's own.

        Raises:
            UnknownModel: as `get_base_model`.
        """
        return _with_slug(self.list_embeddings_models(), slug, NO_EMBEDDINGS)

    def get_model_adapter(self, *, model_adapter_id: str) -> gradientai.ModelAdapter:
        """The SDK's own.

        Raises:
            UnknownAdapter: there is none with this id, or it is none.
        """
        if isinstance(model_adapter_id, str) and len(model_adapter_id) == ID_CHARACTERS:
            return super().get_model_adapter(model_adapter_id=model_adapter_id)
        raise UnknownAdapter(
            _(
                "There is no model adapter with the id {id!r}: an id has {count} characters; "
                "list_models(only_base=False) shows the adapters there are, each with its id and its name.",
                id=model_adapter_id,
                count=ID_CHARACTERS,
            )
        )


def _with_slug(models: list[Any], slug: Any, missing: str) -> Any:
    """The model with a slug; `missing` says that there is none."""
    there = {model.slug: model for model in models}
    if slug in there:
        return there[slug]
    meant = arguments.closest(slug, there)
    said = {"missing": _(missing, slug=slug), "slugs": ", ".join(map(repr, there))}
    if meant:
        raise UnknownModel(_("{missing}: did you mean {meant!r}? There are {slugs}.", meant=meant, **said))
    raise UnknownModel(_("{missing}: there are {slugs}.", **said))


class BaseModel(Speaking, gradientai.BaseModel):
    """The SDK's base model."""


class ModelAdapter(Speaking, gradientai.ModelAdapter):
    """The SDK's adapter."""

    def fine_tune(self, *, samples: list[gradientai.Sample]) -> FineTuneResponse:
        """The SDK's own.

        Raises:
            BadInput: a sample has a key that the SDK would drop without a word.
        """
        samples = list(samples) if isinstance(samples, Iterator) else samples
        lost = arguments.dropped(samples)
        if lost is not None:
            raise BadInput(lost)
        try:
            return super().fine_tune(samples=samples)
        finally:  # whatever came of it, as the answer alone may have been lost
            sdk.mark_tuned(self.id)


class EmbeddingsModel(Speaking, sdk.embeddings_class()):  # type: ignore[misc]  # the SDK does not export it
    """The SDK's embeddings model."""


class RAGCollection(Speaking, gradientai.RAGCollection):
    """The SDK's retrieval collection."""


_CLASSES = {ours.__mro__[2]: ours for ours in (Gradient, BaseModel, ModelAdapter, EmbeddingsModel, RAGCollection)}


def dressed(result: Any) -> Any:
    """What the SDK gives, as one of these classes if there is one for it."""
    if isinstance(result, list):
        return [dressed(one) for one in result]
    ours = _CLASSES.get(type(result))
    if ours is None:
        return result
    speaking = ours.__new__(ours)
    vars(speaking).update(vars(result))  # it holds nothing more than the SDK's does
    return speaking
