"""What the API does, without HTTP: the six model calls on workspaces, adapters and base models, embeddings, blocks, and
what the service has beside the API. `collections.py` has the calls on files and collections.

`http/` calls this with validated values; it calls the scheduler for a turn, the engine for the work, and the store to
keep the result. A caller that is cancelled (its client has hung up) leaves the queue; what already runs for it ends
early, a completion with its next token, a fine-tune with its next step and the adapter as it was before.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..environment import DEFAULT_LEARNING_RATE, DEFAULT_RANK
from . import catalog, pdf, rag_prompt
from .blocks.model import Model
from .collection_store import CollectionStore
from .collections import Collections
from .engine import (
    AdapterState,
    Completion,
    CompletionRequest,
    Engine,
    LikelyToken,
    Load,
    Places,
    Token,
    TuningOutcome,
    TuningSample,
)
from .learners import Learners
from .refusals import (
    NeedsTemplate,
    NoRoom,
    NotAnAdapter,
    NotServed,
    NotTuned,
    OtherWeights,
    SlugForId,
    UnknownAdapter,
    UnknownBaseModel,
    UnknownEmbeddingsModel,
)
from .scheduler import Kind, Scheduler
from .store import Adapter, Store
from .weights_identity import WeightsIdentity

MAX_ADAPTERS = 100  # of one workspace, unless the command says otherwise; each takes about 11 MB once it is fine-tuned
MAX_BYTES = 2_000_000_000  # likewise

Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What one workspace may keep.

    Attributes:
        adapters: how many.
        bytes: of adapters, files, passages and vectors together. What one call makes may go beyond it, as how much that
            is shows when it is done; the next is refused.
    """

    adapters: int = MAX_ADAPTERS
    bytes: int = MAX_BYTES


@dataclass(frozen=True)
class Export:
    """What there is to hand over of an adapter.

    Attributes:
        adapter: the adapter.
        base_name: what its base model is called: publicly, where that is known.
        weights: what it was tuned on, or None if that is not known.
        files: by name, on disk or in memory. The next fine-tune replaces those on disk.
        base_files: those of the weights, if they were asked for.
    """

    adapter: Adapter
    base_name: str
    weights: WeightsIdentity | None
    files: dict[str, Path | bytes]
    base_files: dict[str, Path]


@dataclass(frozen=True)
class Embedded:
    """What texts were made into.

    Attributes:
        vectors: one of each, EMBEDDING_SIZE numbers of length 1.
        tokens: with how many tokens of theirs, all together.
    """

    vectors: list[list[float]]
    tokens: int


class Calls:
    """The service's calls.

    Args:
        engine: completes, tunes and embeds.
        store: keeps adapters; files and collections are kept in the same folder.
        limits: what a workspace may keep.

    Attributes:
        collections: the calls on files and collections.
        learners: counts what each workspace does.
    """

    def __init__(self, engine: Engine, store: Store, limits: Limits | None = None) -> None:
        self._engine = engine
        self._store = store
        self._scheduler = Scheduler(lambda: engine.places)
        self._limits = limits or Limits()
        self._collection_store = CollectionStore(store.data)
        self.collections = Collections(engine, self._scheduler, self._collection_store, self._require_room)
        self.learners = Learners(store.data)
        self._base_models = {model.id: model for model in catalog.base_models(engine.weights_name)}

    def base_models(self) -> list[catalog.BaseModel]:
        """The base models, the classic ones last and in their order."""
        return list(self._base_models.values())

    def adapters(self, workspace: str) -> Sequence[Adapter]:
        """A workspace's adapters, oldest first."""
        return self._store.list(workspace)

    def adapter(self, workspace: str, model_id: str) -> Adapter:
        """One adapter.

        Args:
            workspace: whose it is.
            model_id: its id, or whatever was taken for one.

        Raises:
            UnknownAdapter: the workspace has none with this id.
            NotAnAdapter: the id is a base model's.
            SlugForId: the id is none, and a base model has it as its slug.
        """
        if model_id in self._base_models:
            raise NotAnAdapter
        self._refuse_slug(model_id)
        if not catalog.is_adapter_id(model_id):  # what has another form never becomes part of a path
            raise UnknownAdapter(model_id)
        return self._store.get(workspace, model_id)

    def create(
        self, workspace: str, name: str, base_model_id: str, rank: int | None, learning_rate: float | None
    ) -> Adapter:
        """Creates an adapter; until it is fine-tuned it answers as its base model does.

        Args:
            workspace: whose it is.
            name: what to call it.
            base_model_id: what it adapts.
            rank: of its matrices, 1 to 32; None is DEFAULT_RANK.
            learning_rate: of its fine-tunes, between 0 and 1; None is DEFAULT_LEARNING_RATE.

        Raises:
            UnknownBaseModel: there is no such base model.
            SlugForId: the id is none, and a base model has it as its slug.
            TooManyAdapters: the workspace has as many as it may have.
        """
        self._refuse_slug(base_model_id)
        if base_model_id not in self._base_models:
            raise UnknownBaseModel(base_model_id)
        adapter = Adapter(
            id=catalog.new_adapter_id(),
            workspace=workspace,
            name=name,
            base_model_id=base_model_id,
            rank=rank or DEFAULT_RANK,
            learning_rate=learning_rate or DEFAULT_LEARNING_RATE,
            version=0,
            updated=datetime.now(timezone.utc),
        )
        self._store.add(adapter, self._limits.adapters)
        self._engine.prepare_tuning()  # who creates an adapter is about to fine-tune it
        return adapter

    async def delete(self, workspace: str, model_id: str) -> None:
        """Deletes an adapter once what is running on it has ended."""
        self.adapter(workspace, model_id)
        await self._scheduler.run(
            workspace, lambda given_up: self._store.delete(workspace, model_id), Kind.COMPLETE, model_id, exclusive=True
        )

    async def reset(self, workspace: str) -> None:
        """Deletes all that a workspace has, and its counts, once what is running on its adapters has ended."""
        for adapter in self.adapters(workspace):
            with contextlib.suppress(UnknownAdapter):  # its owner was faster
                await self.delete(workspace, adapter.id)
        await self.collections.reset(workspace)
        await asyncio.to_thread(self.learners.forget, workspace)

    async def complete(
        self, workspace: str, model_id: str, request: CompletionRequest, collection_id: str | None = None
    ) -> Completion:
        """Continues a prompt with a base model or an adapter.

        Args:
            workspace: whose model it is.
            model_id: a base model's or an adapter's.
            request: the prompt.
            collection_id: a collection whose nearest passages the prompt, a question then, is to be answered from.

        Raises:
            Refusal: unknown id; an adapter that was tuned on other weights; a collection with nothing in it; whatever
                the engine refuses.
        """
        if collection_id is not None:
            self._require(workspace, model_id)
            request = await self._with_passages(workspace, collection_id, request)
        return await self._asked(workspace, model_id, partial(self._engine.complete, request))

    async def next_tokens(self, workspace: str, model_id: str, prompt: str, count: int) -> list[LikelyToken]:
        """The likeliest tokens after a prompt, by a base model or an adapter.

        Args:
            workspace: whose model it is.
            model_id: a base model's or an adapter's.
            prompt: raw text.
            count: how many tokens, at most.

        Raises:
            Refusal: as `complete`.
        """
        return await self._asked(workspace, model_id, partial(self._engine.next_tokens, prompt, count))

    def _require(self, workspace: str, model_id: str) -> None:
        """Refuses an unknown id before waiting: it needs no turn."""
        if model_id not in self._base_models:
            if catalog.is_base_model_id(model_id):
                raise UnknownBaseModel(model_id)
            self.adapter(workspace, model_id)

    async def _asked(
        self, workspace: str, model_id: str, ask: Callable[[str, AdapterState | None, threading.Event], Result]
    ) -> Result:
        """What a base model or an adapter answers, asked when it is this request's turn."""
        self._require(workspace, model_id)
        if model_id in self._base_models:
            slug = self._base_models[model_id].slug
            return await self._scheduler.run(workspace, lambda given_up: ask(slug, None, given_up), Kind.COMPLETE)

        def work(given_up: threading.Event) -> Result:
            state = self._state(self.adapter(workspace, model_id))
            return ask(state.base_slug, state, given_up)

        return await self._scheduler.run(workspace, work, Kind.COMPLETE, model_id)

    async def read_pdf(self, workspace: str, content: bytes) -> pdf.Pdf:
        """What a PDF says, page by page.

        Raises:
            UnreadableFile: it can't be read; the message says why.
        """
        return await self._scheduler.run(workspace, lambda given_up: pdf.read(content, given_up), Kind.READ)

    async def block(self, workspace: str, work: Callable[[Model], Result]) -> Result:
        """Runs a block (`blocks/`) in its turn, as a completion of the last base model.

        Args:
            workspace: who asks.
            work: what to do with the model.

        Raises:
            Refusal: whatever the block or the engine refuses.
        """
        slug = list(self._base_models.values())[-1].slug
        return await self._scheduler.run(
            workspace, lambda given_up: work(Model(self._engine, slug, given_up)), Kind.COMPLETE
        )

    async def embed(self, workspace: str, slug: str, texts: Sequence[str]) -> Embedded:
        """Vectors of texts, in their order.

        Args:
            workspace: who asks.
            slug: of the embeddings model.
            texts: 1 to 256.

        Raises:
            Refusal: unknown slug; whatever the engine refuses.
        """
        if slug not in catalog.EMBEDDINGS_SLUGS:
            raise UnknownEmbeddingsModel(slug, catalog.EMBEDDINGS_SLUGS)

        def work(given_up: threading.Event) -> Embedded:
            vectors = self._engine.embed(texts, given_up)
            return Embedded(vectors, self._engine.embedding_tokens(texts, given_up))

        return await self._scheduler.run(workspace, work, Kind.EMBED)

    async def fine_tune(self, workspace: str, model_id: str, samples: list[TuningSample]) -> TuningOutcome:
        """Tunes an adapter; when this returns, its new weights are on disk and the next completion uses them.

        Args:
            workspace: whose adapter it is.
            model_id: the adapter's.
            samples: what to learn.

        Raises:
            Refusal: unknown id; an adapter that was tuned on other weights; no room for the first weights of one;
                whatever the engine refuses. The adapter is then as it was before.
        """
        if not self.adapter(workspace, model_id).version:  # later weights take the place of these
            await asyncio.to_thread(self._require_room, workspace)

        def work(given_up: threading.Event) -> TuningOutcome:
            return self._tune_and_keep(self.adapter(workspace, model_id), samples, given_up)

        return await self._scheduler.run(workspace, work, Kind.TUNE, model_id, exclusive=True)

    def export(self, workspace: str, model_id: str, with_base: bool = False) -> Export:
        """What there is to hand over of an adapter, and of the weights that it was tuned on.

        Args:
            workspace: whose adapter it is.
            model_id: the adapter's.
            with_base: whether the weights' files are wanted too.

        Raises:
            Refusal: unknown id; an adapter that was never tuned; with_base, and the engine runs other weights; an
                engine that keeps no files.
            FileNotFoundError: a fine-tune has just replaced the files: the next try finds the new ones.
        """
        adapter = self.adapter(workspace, model_id)
        folder = self._store.folder(adapter)
        if folder is None:
            raise NotTuned
        weights = self._weights_of(adapter)
        if with_base:
            self._check_weights(weights)
        base_name = self._engine.weights_name if weights is None else weights.public_name
        files = self._engine.adapter_files(folder, base_name)
        if not files:
            raise NotServed("This service answers without a model of its own, so it has no files to hand over.")
        return Export(adapter, base_name, weights, files, self.base_files() if with_base else {})

    def base_files(self) -> dict[str, Path]:
        """The files of the weights that the engine runs, by name."""
        return self._engine.base_files()

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, the same for every model and adapter, as all are on the same weights.

        Raises:
            Refusal: whatever the engine refuses.
        """
        return self._engine.tokenize(text)

    def _require_room(self, workspace: str, more: int = 0) -> None:
        """Refuses, before the work is done, what would need more bytes than a workspace may keep.

        Args:
            workspace: whose.
            more: how many bytes are to come, if that is known.
        """
        used = self._store.size(workspace) + self._collection_store.size(workspace)
        if used + max(more, 1) > self._limits.bytes:
            raise NoRoom(used, self._limits.bytes, more)

    def _refuse_slug(self, model_id: str) -> None:
        if any(model.slug == model_id for model in self._base_models.values()):
            raise SlugForId(model_id)

    async def _with_passages(self, workspace: str, collection_id: str, request: CompletionRequest) -> CompletionRequest:
        if not request.auto_template:
            raise NeedsTemplate
        found = await self.collections.nearest(workspace, collection_id, request.prompt, rag_prompt.PASSAGES)
        prompt = rag_prompt.prompt(found, request.prompt)
        return replace(request, prompt=prompt)

    def _tune_and_keep(self, adapter: Adapter, samples: list[TuningSample], given_up: threading.Event) -> TuningOutcome:
        state = self._state(adapter)
        folder = self._store.new_folder(adapter)
        try:
            outcome = self._engine.fine_tune(samples, state, folder, given_up)
            self._store.commit(adapter, folder, self._engine.weights)
        finally:
            self._store.discard(folder)  # after a commit it is there no more
        return outcome

    def _state(self, adapter: Adapter) -> AdapterState:
        """What the engine is told of an adapter.

        Raises:
            OtherWeights: the adapter belongs to others than the engine runs.
        """
        self._check_weights(self._weights_of(adapter))
        slug = self._base_models[adapter.base_model_id].slug
        return AdapterState(slug, adapter.rank, adapter.learning_rate, self._store.folder(adapter))

    def _weights_of(self, adapter: Adapter) -> WeightsIdentity | None:
        """What an adapter was tuned on, if it was and that is known."""
        folder = self._store.folder(adapter)
        if adapter.weights is not None or folder is None:
            return adapter.weights
        return self._engine.weights_named_in(folder)

    def _check_weights(self, tuned_on: WeightsIdentity | None) -> None:
        running = self._engine.weights
        if tuned_on is not None and running is not None and tuned_on != running:
            raise OtherWeights(tuned_on, running)

    def load(self) -> tuple[int, int, int]:
        """How many requests run, how many wait, and how many adapters there are."""
        return (*self._scheduler.load(), self._store.count())

    def machine(self) -> Load | None:
        """How the engine shares the machine with other programs, or None if it does not know."""
        return self._engine.load()

    def places(self) -> Places:
        """How much the engine works on at once, now."""
        return self._engine.places

    def doing(self) -> tuple[str, float] | None:
        """What the engine gets ready beside its work, and how much of it is done, 0 to 1; None if nothing."""
        return self._engine.doing

    def broken(self) -> str | None:
        """Why no call will be answered any more, for people; None as long as some may be."""
        return self._engine.broken

    def close(self) -> None:
        """Ends what is running and frees everything."""
        self._scheduler.close()
        self.collections.close()
        self.learners.close()
        self._engine.close()
        self._store.close()
