"""Wire classes: what the six model calls and the service's own take and give, in camelCase, validated strictly.

The limits are those of the gradientai 1.13.1 SDK's own request classes. `null` counts as absent, because the SDK sends
null for what its caller did not set; unknown fields are refused, so that a misspelt one does not go unnoticed. Two
places take what the hosted service took without a word: a sample, beside whose `inputs` data sets have columns of their
own, and `trainingArguments`, where programs name an optimizer.
Modules with routes of another kind have their classes themselves, on the same bases; `calls.py` works on those of
`engine.py` instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
)
from pydantic.alias_generators import to_camel

from ...environment import MAX_GENERATED_TOKENS, MAX_NEXT_TOKENS, MAX_RANK, MAX_TEMPERATURE, MAX_TOP_K

MAX_NAME_CHARACTERS = 256
MAX_SAMPLES = 100_000  # more than one call takes: each has two tokens at least; the limit in tokens is the engine's
MAX_PARTS = 64
MAX_TEXT_CHARACTERS = 200_000  # far beyond any context here; the exact limit in tokens is the engine's

Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_TEXT_CHARACTERS)]
Name = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f]+$")
]
NOT_BLANK = r"[^\s\x1c-\x1f\x85\ufeff]"  # regex languages differ in what white space is; here it is all of theirs
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
# 1.0 is an integer in JSON Schema, and some languages write every number so; "1" and true are none.
Whole = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)


class Wire(BaseModel):
    """Base of what comes in: camelCase names, no unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Response(BaseModel):
    """Base of what goes out: built by Python's names, written in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


class Guidance(Wire):
    """Restricts the answer to one of a few strings."""

    type: Literal["choice"]
    value: Annotated[
        list[Annotated[str, StringConstraints(strict=True, min_length=1, max_length=32, pattern=NOT_BLANK)]],
        Field(min_length=1, max_length=10),
    ]


class Rag(Wire):
    """Names the retrieval collection that a completion is to be answered from."""

    collection_id: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_CHARACTERS)]


class CompleteBody(Wire):
    """Body of POST /models/{id}/complete."""

    query: Text
    auto_template: StrictBool | None = None
    max_generated_token_count: Annotated[StrictInt, Field(gt=0, lt=MAX_GENERATED_TOKENS + 1), Whole] | None = None
    temperature: Annotated[Number, Field(ge=0, le=MAX_TEMPERATURE)] | None = None
    top_k: Annotated[StrictInt, Field(gt=0, le=MAX_TOP_K), Whole] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    guidance: Guidance | None = None
    rag: Rag | None = None


class CompleteResponse(Response):
    """Response of a completion."""

    finish_reason: str
    generated_output: str


class TokensBody(Wire):
    """Body of POST /tokens."""

    text: Text


class TokensResponse(Response):
    """Response of POST /tokens: the ids of a text's tokens, in their order, and the pieces of text that they are."""

    tokens: list[int]
    pieces: list[str]


class LessonDone(Wire):
    """How many of a lesson's exercises and questions are done, and how many there are."""

    lesson: Annotated[StrictInt, Field(ge=1, le=99), Whole]
    done: Annotated[StrictInt, Field(ge=0, le=999), Whole]
    there: Annotated[StrictInt, Field(ge=0, le=999), Whole]


class ProgressBody(Wire):
    """Body of POST /progress: each lesson that was begun."""

    lessons: Annotated[list[LessonDone], Field(max_length=99)]


class NextTokensBody(Wire):
    """Body of POST /next-tokens: a base model or an adapter, a prompt, and how many tokens to list."""

    model: Text
    prompt: Text
    count: Annotated[StrictInt, Field(ge=1, le=MAX_NEXT_TOKENS), Whole] = 10


class LikelyToken(Response):
    """A token that may come next, and its probability before any sampling."""

    token: int
    piece: str
    probability: float


class NextTokensResponse(Response):
    """Response of POST /next-tokens, the likeliest first."""

    next: list[LikelyToken]


class StructuredInput(Wire):
    """One part of a sample: its text, whether its tokens count in the loss, whether `<|im_end|>` and the like are
    read as special tokens."""

    value: Text
    trainable: StrictBool | None = None
    parse_special_tokens: StrictBool | None = None


class FineTuningParameters(Wire):
    """Weighs one sample's loss."""

    multiplier: Annotated[Number, Field(gt=0, le=1000)] | None = None


class Sample(Wire):
    """One sample of a fine-tune: a text, or its parts. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    inputs: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[list[StructuredInput], Field(min_length=1, max_length=MAX_PARTS), Tag("parts")],
        Discriminator(
            lambda value: "text" if isinstance(value, str) else "parts"
        ),  # so that errors name one of the two
    ]
    fine_tuning_parameters: FineTuningParameters | None = None


class FineTuneBody(Wire):
    """Body of POST /models/{id}/fine-tune."""

    samples: Annotated[list[Sample], Field(min_length=1, max_length=MAX_SAMPLES)]


class FineTuneResponse(Response):
    """Response of a fine-tune; `sum_loss` is summed over the trainable tokens before the call's own update."""

    number_of_trainable_tokens: int
    sum_loss: float


class NewModel(Wire):
    """What an adapter is called and which base model it adapts."""

    name: Name
    base_model_id: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_CHARACTERS)]


class LoraHyperparameters(Wire):
    """`rank` is the inner size of the adapter's matrices."""

    rank: Annotated[StrictInt, Field(gt=0, le=MAX_RANK), Whole] | None = None


class TrainingArguments(Wire):
    """`learning_rate` is AdamW's step size; `optim`, which would name another optimizer, is ignored."""

    learning_rate: Annotated[Number, Field(gt=0, lt=1)] | None = None
    optim: Any = None


class InitialHyperparameters(Wire):
    """Fixed when the adapter is created."""

    lora_hyperparameters: LoraHyperparameters | None = None
    training_arguments: TrainingArguments | None = None


class CreateBody(Wire):
    """Body of POST /models."""

    model: NewModel
    initial_hyperparameters: InitialHyperparameters | None = None


class CreateResponse(Response):
    """Response of POST /models, /files and /rag-collections."""

    id: str


class BaseModelResponse(Response):
    """A base model in a list."""

    type: Literal["baseModel"] = "baseModel"
    id: str
    name: str
    slug: str
    capabilities: list[str]


class AdapterResponse(Response):
    """An adapter, alone or in a list."""

    type: Literal["modelAdapter"] = "modelAdapter"
    id: str
    name: str
    base_model_id: str
    latest_update_time: datetime


class ModelsResponse(Response):
    """Response of GET /models."""

    models: list[BaseModelResponse | AdapterResponse]


class ExportedFile(Response):
    """A file that is handed over, and how large it is."""

    name: str
    bytes: int


class ExportResponse(Response):
    """Response of GET /export/adapters/{id}: what to fetch, and what to say of it.

    Attributes:
        base_name: what the base model is called, publicly where that is known.
        weights_name, weights_sha256: what the adapter was tuned on, if that is known.
        base_files: of the weights, if they were asked for.
    """

    id: str
    name: str
    base_name: str
    weights_name: str | None
    weights_sha256: str | None
    files: list[ExportedFile]
    base_files: list[ExportedFile]


class ErrorResponse(BaseModel):
    """The one error envelope."""

    message: str
    type: str | None = None
    payload: dict[str, Any] | None = None


REFUSED: dict[int | str, dict[str, Any]] = dict.fromkeys(
    ("4XX", "5XX"), {"model": ErrorResponse, "description": "Refused, with a sentence that says why"}
)
