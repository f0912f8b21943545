"""The routes of the blocks, and what they take and give. Made by `app.py`; `blocks/` does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Request
from pydantic import Field

from .. import refusals
from ..blocks import answer, extract, personalize, sentiment, summarize
from ..blocks.model import Model
from . import schemas
from .disconnect import while_connected
from .guard import workspace_of
from .status import Status

Result = TypeVar("Result")

MAX_FIELDS = 32  # of one schema; each may cost a question to the model
MAX_EXAMPLES = 20


class DocumentSource(schemas.Wire):
    """A document to answer from."""

    type: Literal["document"]
    value: schemas.Text


class CollectionSource(schemas.Wire):
    """A collection to answer from."""

    type: Literal["rag"]
    collection_id: schemas.Text


class AnswerBody(schemas.Wire):
    """Body of POST /blocks/answer."""

    question: schemas.Text
    source: Annotated[DocumentSource | CollectionSource, Field(discriminator="type")]


class RagDocument(schemas.Response):
    """A passage that was read for an answer, and the file that it stands in."""

    content: str
    file_name: str


class RagContext(schemas.Response):
    """The passages that were read for an answer, the nearest first."""

    documents: list[RagDocument]


class AnswerResponse(schemas.Response):
    """Response of POST /blocks/answer; `ragContext` is there if a collection was asked."""

    answer: str
    rag_context: RagContext | None = None


class SummaryExample(schemas.Wire):
    """A document and its summary."""

    document: schemas.Text
    summary: schemas.Text


class SummarizeBody(schemas.Wire):
    """Body of POST /blocks/summarize."""

    document: schemas.Text
    examples: Annotated[list[SummaryExample], Field(max_length=MAX_EXAMPLES)] | None = None
    length: Literal["short", "medium", "long"] | None = None


class SummarizeResponse(schemas.Response):
    """Response of POST /blocks/summarize."""

    summary: str


Sentiment = Literal["negative", "neutral", "positive"]


class SentimentExample(schemas.Wire):
    """A text and its sentiment."""

    document: schemas.Text
    sentiment: Sentiment


class SentimentBody(schemas.Wire):
    """Body of POST /blocks/analyze-sentiment."""

    document: schemas.Text
    examples: Annotated[list[SentimentExample], Field(max_length=MAX_EXAMPLES)] | None = None


class SentimentResponse(schemas.Response):
    """Response of POST /blocks/analyze-sentiment."""

    sentiment: Sentiment


class PersonalizeBody(schemas.Wire):
    """Body of POST /blocks/personalize."""

    document: schemas.Text
    audience_description: schemas.Text


class PersonalizeResponse(schemas.Response):
    """Response of POST /blocks/personalize."""

    personalized_document: str


class FieldType(schemas.Wire):
    """The type of a field. What the document does not have is left out, required or not."""

    type: Literal["string", "number", "boolean"]
    required: bool | None = None


class ExtractBody(schemas.Wire):
    """Body of POST /blocks/extract; in JSON its second field is called `schema`."""

    document: schemas.Text
    fields: Annotated[dict[schemas.Text, FieldType], Field(alias="schema", min_length=1, max_length=MAX_FIELDS)]


class ExtractResponse(schemas.Response):
    """Response of POST /blocks/extract: values that stand in the document."""

    entity: dict[str, str | bool | int | float]


def block_routes(status: Status) -> APIRouter:  # one short function per call, together to share these
    """What is served below `/api/blocks`, but for PDFs.

    Args:
        status: where the calls are.
    """
    blocks = APIRouter(prefix="/blocks", responses=schemas.REFUSED)

    async def run(request: Request, work: Callable[[Model], Result]) -> Result:
        return await while_connected(request, status.ready.block(workspace_of(request), work))

    @blocks.post("/answer", response_model=AnswerResponse, response_model_exclude_none=True)
    async def answer_question(request: Request, body: AnswerBody) -> AnswerResponse:
        """The sentence of a document, or of a collection, that answers a question, word for word."""
        source = body.source
        if isinstance(source, DocumentSource):
            return AnswerResponse(
                answer=await run(request, lambda _: answer.from_document(source.value, body.question))
            )
        search = status.ready.collections.nearest(workspace_of(request), source.collection_id, body.question)
        found = await while_connected(request, search)
        passages = [passage.content for passage in found]
        said = await run(request, lambda _: answer.from_passages(passages, body.question))
        documents = [RagDocument(content=one.content, file_name=one.file_name) for one in found]
        return AnswerResponse(answer=said, rag_context=RagContext(documents=documents))

    @blocks.post("/summarize", response_model=SummarizeResponse)
    async def summarize_document(request: Request, body: SummarizeBody) -> SummarizeResponse:
        """A document's most telling sentences: one, three or six. Of examples the length counts."""
        examples = [example.summary for example in body.examples or ()]
        said = await run(request, lambda _: summarize.summary(body.document, body.length, examples))
        return SummarizeResponse(summary=said)

    @blocks.post("/analyze-sentiment", response_model=SentimentResponse)
    async def analyze_sentiment(request: Request, body: SentimentBody) -> SentimentResponse:
        """Whether a text is negative, neutral or positive. Of a long one, the beginning and the end count."""
        examples = [(example.document, example.sentiment) for example in body.examples or ()]
        found = await run(request, lambda model: sentiment.sentiment(model, body.document, examples))
        return SentimentResponse.model_validate({"sentiment": found})  # which checks that it is one of them

    @blocks.post("/personalize", response_model=PersonalizeResponse)
    async def personalize_document(request: Request, body: PersonalizeBody) -> PersonalizeResponse:
        """A text in words for an audience; parts for which the model would invent something stay as they are."""
        audience = body.audience_description
        said = await run(request, lambda model: personalize.personalized(model, body.document, audience))
        return PersonalizeResponse(personalized_document=said)

    @blocks.post("/extract", response_model=ExtractResponse)
    async def extract_entity(request: Request, body: ExtractBody) -> ExtractResponse:
        """The values of fields, as they stand in a document. A field that it does not have is left out."""
        schema = {name: field.type for name, field in body.fields.items()}
        return ExtractResponse(entity=await run(request, lambda model: extract.entity(model, body.document, schema)))

    @blocks.api_route("/transcription", methods=["GET", "POST"], include_in_schema=False)
    def transcription() -> None:
        raise refusals.NotServed(
            "The local service does not transcribe: a model that hears would be larger than all of the kit. Transcribe "
            "elsewhere and send the text."
        )

    return blocks
