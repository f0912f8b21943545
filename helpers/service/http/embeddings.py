"""The routes of embeddings, and their wire classes. Made by `app.py`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from .. import catalog
from . import schemas
from .disconnect import while_connected
from .guard import workspace_of
from .metrics import Metrics
from .status import Status

MAX_INPUTS = 256


class EmbeddingsModel(schemas.Response):
    """A model that makes vectors of texts."""

    slug: str


class EmbeddingsModelsResponse(schemas.Response):
    """Response of GET /embeddings."""

    embeddings_models: list[EmbeddingsModel]


class EmbeddingsInput(schemas.Wire):
    """A text. What is longer than the model reads counts with its beginning."""

    input: schemas.Text


class EmbeddingsBody(schemas.Wire):
    """Body of POST /embeddings/{slug}."""

    inputs: Annotated[list[EmbeddingsInput], Field(min_length=1, max_length=MAX_INPUTS)]


class Embedding(schemas.Response):
    """A text's vector, of length 1, and which of the texts it is of."""

    embedding: list[float]
    index: int


class EmbeddingsResponse(schemas.Response):
    """Response of POST /embeddings/{slug}: the vectors in the order of the texts."""

    embeddings: list[Embedding]


def embeddings_routes(status: Status, metrics: Metrics) -> APIRouter:
    """What is served below `/api/embeddings`.

    Args:
        status: where the calls are.
        metrics: where to count.
    """
    embeddings = APIRouter(prefix="/embeddings", responses=schemas.REFUSED)

    @embeddings.get("", response_model=EmbeddingsModelsResponse)
    def list_embeddings_models() -> EmbeddingsModelsResponse:
        return EmbeddingsModelsResponse(
            embeddings_models=[EmbeddingsModel(slug=slug) for slug in catalog.EMBEDDINGS_SLUGS]
        )

    @embeddings.post("/{slug}", response_model=EmbeddingsResponse)
    async def embed(request: Request, slug: str, body: EmbeddingsBody) -> EmbeddingsResponse:
        texts = [one.input for one in body.inputs]
        call = status.ready.embed(workspace_of(request), slug, texts)
        embedded = await while_connected(request, call)
        metrics.embedded(len(texts), embedded.tokens)
        request.state.noted.update(texts=len(texts), tokens=embedded.tokens)
        found = [Embedding(embedding=vector, index=index) for index, vector in enumerate(embedded.vectors)]
        return EmbeddingsResponse(embeddings=found)

    return embeddings
