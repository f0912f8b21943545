"""What the service says when it does not do what was asked: one kind a reason, each with a sentence for the caller.

Every module of the service raises these, and none of them knows HTTP: `http/envelope.py` says which status a kind has.
A new kind is a class here and a line in the table there; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from .weights_identity import WeightsIdentity


class Refusal(Exception):
    """Base of all kinds.

    Args:
        message: one sentence that says what was wrong and what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnknownBaseModel(Refusal):
    """Raised when no base model has this id."""

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"There is no base model with the id {quoted(model_id)}: list_models(only_base=True) shows the ids there "
            "are."
        )


class UnknownAdapter(Refusal):
    """Raised when this workspace has no adapter with this id, whether or not another workspace has one."""

    def __init__(self, adapter_id: str) -> None:
        super().__init__(
            f"There is no model adapter with the id {quoted(adapter_id)} in this workspace: it was deleted or never "
            "created. list_models(only_base=False) shows those there are."
        )


class UnknownEmbeddingsModel(Refusal):
    """Raised when no embeddings model has this slug.

    Args:
        slug: the one asked for.
        there: those there are.
    """

    def __init__(self, slug: str, there: Sequence[str]) -> None:
        super().__init__(f"There is no embeddings model {quoted(slug)}; those there are: {', '.join(there)}.")


class SlugForId(Refusal):
    """Raised when a call that takes an id is given the slug of a base model."""

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"{quoted(slug)} is the slug of a base model, and this call takes an id: "
            f"get_base_model(base_model_slug={quoted(slug)}).id is that model's."
        )


class NotAnAdapter(Refusal):
    """Raised when a call that takes an adapter is given a base model's id."""

    def __init__(self) -> None:
        super().__init__(
            "This id names a base model, and this call takes a model adapter's: list_models(only_base=False) shows "
            "those of this workspace, create_model_adapter makes one."
        )


class TooManyAdapters(Refusal):
    """Raised when a workspace has as many adapters as it may have.

    Args:
        limit: how many that is.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This workspace has {limit} adapters, and more it may not have: delete those that are no longer needed "
            "(list_models(only_base=False) shows them, delete() deletes one), then create this one again."
        )


class OtherWeights(Refusal):
    """Raised when an adapter is to be used on other weights than those it was tuned on, which it does not fit.

    Args:
        tuned_on: the adapter's.
        running: the service's.
    """

    def __init__(self, tuned_on: WeightsIdentity, running: WeightsIdentity) -> None:
        super().__init__(
            f"This adapter was tuned on {tuned_on} and the service runs {running}: stop the service and start it "
            f"{tuned_on.how_to_start}, or use another adapter; this one is kept as it is."
        )


class UnknownCollection(Refusal):
    """Raised when this workspace has no collection with this id, whether or not another workspace has one."""

    def __init__(self, collection_id: str) -> None:
        super().__init__(
            f"There is no collection with the id {quoted(collection_id)} in this workspace: it was deleted or never "
            "created. create_rag_collection makes one."
        )


class UnknownFile(Refusal):
    """Raised when this workspace has no uploaded file with this id, whether or not another workspace has one."""

    def __init__(self, file_id: str) -> None:
        super().__init__(
            f"There is no uploaded file with the id {quoted(file_id)} in this workspace: upload it (again), a file "
            "that no collection has taken is kept for a day."
        )


class UnreadableFile(Refusal):
    """Raised when a file has no text that could be read."""


class NoDocuments(Refusal):
    """Raised when a collection has nothing to answer from."""


class NoText(Refusal):
    """Raised when a document has nothing in it to read."""

    def __init__(self) -> None:
        super().__init__("The document has no words in it: send text.")


class NeedsTemplate(Refusal):
    """Raised when a completion is to be answered from a collection and its prompt is to stay as it is."""

    def __init__(self) -> None:
        super().__init__(
            "An answer from a collection needs the chat template: leave 'autoTemplate' out or make it true."
        )


class TooManyPassages(Refusal):
    """Raised when a file has more to be searched than its collection may have.

    Args:
        limit: how much that is.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"With this file the collection would have more than {limit:,} passages: take a chunker of a larger size, "
            "or another collection."
        )


class TooMuchKept(Refusal):
    """Raised when a workspace has as much of something as it may have.

    Args:
        limit: how much of what.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(
            f"This workspace has {limit}, and more it may not have: delete the collections that are no longer needed "
            "(with them go their files), then try again."
        )


class NoRoom(Refusal):
    """Raised when a workspace keeps as many bytes as it may.

    Args:
        used: bytes that it keeps.
        limit: bytes that it may keep.
        more: bytes that were to come, 0 if that is not known.
    """

    def __init__(self, used: int, limit: int, more: int) -> None:
        coming = f", and {more / 1e6:,.1f} MB were to come" if more else ""
        super().__init__(
            f"This workspace keeps {used / 1e6:,.1f} MB of the {limit / 1e6:,.0f} MB that it may{coming}: delete "
            "adapters (list_models(only_base=False) shows them, delete() deletes one) or collections, with their "
            "files, then try again."
        )


class NotTuned(Refusal):
    """Raised when the files of an adapter are asked for that has none yet."""

    def __init__(self) -> None:
        super().__init__("This adapter was never fine-tuned, so it has no files to hand over: fine_tune it first.")


class TooLong(Refusal):
    """Raised when a prompt or a sample has more tokens than the model or a call takes."""


class NothingToLearn(Refusal):
    """Raised when a sample has no token that could be learned."""


class LossRanAway(Refusal):
    """Raised when a fine-tune's loss ran away or stopped being a number; the adapter is as it was before the call."""

    def __init__(
        self,
        message: str = (
            "The loss ran away instead of falling, so this call was undone and the adapter is as it was before it. "
            "Create an adapter with a smaller learning_rate (2e-3 is the default) and fine-tune that."
        ),
    ) -> None:
        super().__init__(message)


class Busy(Refusal):
    """Raised when the service can't take the request now but can in a moment.

    Args:
        message: the sentence.
        retry_after_seconds: when to ask again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 2) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TookTooLong(Refusal):
    """Raised when work was ended because it had reached its limit of time."""


class Failed(Refusal):
    """Raised when the service, not the request, is at fault."""


class NotServed(Refusal):
    """Raised for what the Gradient API has and this service does not."""


class CallerGone(Refusal):
    """Raised when work was ended because its client has hung up; only the log shows it."""

    def __init__(self, message: str = "The client hung up, so this call was ended and changed nothing.") -> None:
        super().__init__(message)


def quoted(value: object, limit: int = 60) -> str:
    """A caller's value as it may stand in a message: quoted, cut, with control characters and surrogates escaped.

    Args:
        value: what a caller sent.
        limit: of the characters that are shown.
    """
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
