"""The routes of retrieval collections, and what they take and give. Made by `app.py`.

An answer names the chunker twice, as the versions of the SDK ask for it: `chunker` since 1.13, `parser` before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StrictInt, StringConstraints, TypeAdapter, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from .. import chunkers
from ..collection_store import Collection, FileStatus
from . import schemas
from .envelope import EnvelopeResponse
from .guard import workspace_of
from .schemas import MAX_NAME_CHARACTERS, Name, Response, Whole, Wire
from .status import Status

MAX_FILES_AT_ONCE = 20
MAX_SIZE = 100_000  # words of a passage

_Id = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_CHARACTERS)]
_Positive = Annotated[StrictInt, Field(gt=0, le=MAX_SIZE), Whole]
_Overlap = Annotated[StrictInt, Field(ge=0, le=MAX_SIZE), Whole]
_Percent = Annotated[StrictInt, Field(ge=0, le=100), Whole]


def _less_than(size: int | None, overlap: int | None) -> int | None:
    """An overlap that leaves something of the size."""
    limit = size or chunkers.DEFAULT_SIZE
    if overlap is not None and overlap >= limit:
        raise ValueError(f"it must be less than the size, which is {limit}")
    return overlap


class FileChunker(Wire):
    """A file is one passage."""

    chunker_type: Literal["fileChunker"]


class _Sized(Wire):
    """What chunkers with a size have in common; numbers count words."""

    size: _Positive | None = None
    overlap: _Overlap | None = None

    @field_validator("overlap")
    @classmethod
    def _check(cls, overlap: int | None, others: ValidationInfo) -> int | None:
        return _less_than(others.data.get("size"), overlap)


class NormalChunker(_Sized):
    """As many sentences as fit."""

    chunker_type: Literal["normalChunker"]


class SentenceWithContextChunker(_Sized):
    """One sentence is searched for, and given with its neighbours."""

    chunker_type: Literal["sentenceWithContextChunker"]
    context_sentences: _Positive | None = None


class MeaningBasedChunker(_Sized):
    """Passages end where the meaning changes."""

    chunker_type: Literal["meaningBasedChunker"]
    similiarity_percent_threshold: _Percent | None = None
    sentence_group_length: _Positive | None = None


Chunker = Annotated[
    FileChunker | NormalChunker | SentenceWithContextChunker | MeaningBasedChunker,
    Field(discriminator="chunker_type"),
]


class Parser(Wire):
    """How earlier versions of the SDK write a normal chunker."""

    parser_type: Literal["simpleNodeParser"]
    chunk_size: _Positive | None = None
    chunk_overlap: _Overlap | None = None

    @field_validator("chunk_overlap")
    @classmethod
    def _check(cls, overlap: int | None, others: ValidationInfo) -> int | None:
        return _less_than(others.data.get("chunk_size"), overlap)


class NewFile(Wire):
    """An uploaded file, and what it is to be called in the collection."""

    id: _Id
    name: _Id


class CreateCollectionBody(Wire):
    """Body of POST /rag-collections; without a chunker, the normal one is taken."""

    name: Name
    slug: Literal["bge-large"]
    files: Annotated[list[NewFile], Field(max_length=MAX_FILES_AT_ONCE)] | None = None
    chunker: Chunker | None = None
    parser: Parser | None = None


class AddFilesBody(Wire):
    """Body of POST /rag-collections/{id}/files."""

    files: Annotated[list[NewFile], Field(max_length=MAX_FILES_AT_ONCE)]


class FileResponse(Response):
    """A file of a collection; a failed one has a reason."""

    id: str
    name: str
    status: FileStatus
    reason: str | None = None


class ListedCollectionResponse(Response):
    """A collection in a list."""

    id: str
    name: str
    slug: str
    chunker: Chunker
    parser: Parser
    creation_time: datetime
    latest_update_time: datetime


class CollectionResponse(ListedCollectionResponse):
    """A collection with its files."""

    files: list[FileResponse]


class CollectionsResponse(Response):
    """Response of GET /rag-collections."""

    rag_collections: list[ListedCollectionResponse]


def collection_routes(status: Status) -> APIRouter:
    """The calls on collections.

    Args:
        status: where the calls are.
    """
    collections = APIRouter(responses=schemas.REFUSED)

    @collections.get("/rag-collections", response_model=CollectionsResponse)
    def list_collections(request: Request) -> CollectionsResponse:
        """The workspace's collections, without their files."""
        found = status.ready.collections.list(workspace_of(request))
        return CollectionsResponse(rag_collections=[ListedCollectionResponse(**_fields(one)) for one in found])

    @collections.post("/rag-collections", response_model=schemas.CreateResponse)
    async def create_collection(request: Request, body: CreateCollectionBody) -> schemas.CreateResponse:
        """Makes a collection of uploaded files, at most 20 at once; they are read when this has answered."""
        collection_id = await status.ready.collections.create(
            workspace_of(request), body.name, body.slug, _chunker(body), _named(body.files or [])
        )
        return schemas.CreateResponse(id=collection_id)

    @collections.get("/rag-collections/{collection_id}", response_model=CollectionResponse)
    async def get_collection(request: Request, collection_id: str) -> CollectionResponse:
        """A collection with its files, each with how far it is, and why it failed if it did."""
        found = await status.ready.collections.get(workspace_of(request), collection_id)
        files = [
            FileResponse(id=file.id, name=file.name, status=file.status, reason=file.reason) for file in found.files
        ]
        return CollectionResponse(**_fields(found), files=files)

    @collections.post("/rag-collections/{collection_id}/files")
    async def add_files(request: Request, collection_id: str, body: AddFilesBody) -> EnvelopeResponse:
        """Adds uploaded files, at most 20 at once; they are read when this has answered."""
        await status.ready.collections.add(workspace_of(request), collection_id, _named(body.files))
        return EnvelopeResponse({})

    @collections.delete("/rag-collections/{collection_id}")
    async def delete_collection(request: Request, collection_id: str) -> EnvelopeResponse:
        """Deletes a collection, and those of its files that no other collection has."""
        await status.ready.collections.delete(workspace_of(request), collection_id)
        return EnvelopeResponse({})

    return collections


def _named(files: list[NewFile]) -> list[tuple[str, str]]:
    return [(file.id, file.name) for file in files]


def _chunker(body: CreateCollectionBody) -> chunkers.Chunker:
    if body.chunker is not None:
        numbers = body.chunker.model_dump(by_alias=False)
        return chunkers.made(numbers.pop("chunker_type"), numbers)
    parser = body.parser
    return chunkers.made(
        chunkers.NormalChunker.kind, {"size": parser.chunk_size, "overlap": parser.chunk_overlap} if parser else {}
    )


def _fields(collection: Collection) -> dict[str, Any]:
    numbers = chunkers.as_dict(collection.chunker)
    kind = numbers.pop("kind")
    chunker = {"chunkerType": kind, **{to_camel(name): number for name, number in numbers.items()}}
    parser = {
        "parserType": "simpleNodeParser",
        "chunkSize": numbers.get("size", MAX_SIZE),
        "chunkOverlap": numbers.get("overlap", 0),
    }
    return {
        "id": collection.id,
        "name": collection.name,
        "slug": collection.slug,
        "chunker": TypeAdapter(Chunker).validate_python(chunker),
        "parser": Parser(**parser),
        "creation_time": collection.created,
        "latest_update_time": collection.updated,
    }
