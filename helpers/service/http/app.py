"""HTTP routes of the Gradient API, and nothing else: what a body means, how a response looks.

`create_app` is called by `server.py`, which loads the engine meanwhile, and by the tests' stub server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse

from ...environment import VERSION
from .. import catalog, refusals
from ..engine import DEFAULT_MAX_TOKENS, CompletionRequest, SamplePart, TuningSample
from ..store import Adapter
from . import docs, schemas
from .blocks import block_routes
from .collections import collection_routes
from .disconnect import while_connected
from .embeddings import embeddings_routes
from .envelope import EnvelopeResponse, HttpRefusal, error_response
from .export import export_routes
from .files import file_routes
from .guard import (
    BODY_SECONDS,
    EXPORT_PATH,
    HEALTH_PATH,
    MAX_BODY_BYTES,
    METRICS_PATH,
    NEXT_TOKENS_PATH,
    TOKENS_PATH,
    Guard,
    workspace_of,
)
from .metrics import Metrics
from .pdf import pdf_routes
from .room import room_routes
from .status import Status

LOOK_SECONDS = 0.05  # how often it is looked whether the engine is loaded


def create_app(status: Status, token: str | None, *, any_host: bool = False) -> FastAPI:
    """The HTTP application.

    Args:
        status: where the calls appear once the engine is loaded.
        token: the access token that every API call must bring; None accepts any token.
        any_host: take calls under any name, as a service that others reach must, and not under this machine's alone.
    """
    app = FastAPI(
        title="Local Gradient service",
        version=VERSION,
        description="The Gradient API, answered and fine-tuned on this machine.",
        default_response_class=EnvelopeResponse,
        lifespan=partial(_lifespan, status),
        docs_url=None,  # its pages are scripts from a public server: `docs.py` has one that needs no network
        redoc_url=None,
    )
    metrics = Metrics(lambda: status.calls)
    app.exception_handler(refusals.Refusal)(_on_refusal)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(HTTPException)(_on_http_error)
    app.include_router(_own_calls(status, metrics))
    app.include_router(room_routes(status))
    app.include_router(export_routes(status), prefix=EXPORT_PATH)
    app.include_router(embeddings_routes(status, metrics), prefix="/api")
    for routes in (file_routes, collection_routes, pdf_routes, block_routes):
        app.include_router(routes(status), prefix="/api")
    app.include_router(_api(status, metrics), prefix="/api")  # last, as it takes every path that is left
    app.add_middleware(Guard, status=status, token=token, any_host=any_host, metrics=metrics)
    return app


@contextlib.asynccontextmanager
async def _lifespan(status: Status, _: FastAPI) -> AsyncIterator[None]:
    """As soon as the engine is loaded, what an earlier run left unfinished is taken up."""

    async def resume() -> None:
        while status.calls is None:
            await asyncio.sleep(LOOK_SECONDS)
        await status.calls.collections.resume()

    resuming = asyncio.create_task(resume())
    yield
    resuming.cancel()


def _own_calls(status: Status, metrics: Metrics) -> APIRouter:
    """What is no call of the Gradient API."""
    own = APIRouter()

    @own.get(HEALTH_PATH, responses={503: {"description": "It is still loading"}})
    def health() -> EnvelopeResponse:
        own_run = {"instance": status.instance, "version": VERSION}
        if status.calls is not None:
            load = status.calls.machine()
            shared = {} if load is None else {"load": asdict(load)}
            doing = status.calls.doing()
            beside = {} if doing is None else {"doing": doing[0], "progress": doing[1]}
            return EnvelopeResponse({"status": "ready", **own_run, **shared, **beside})
        loading = {"status": "loading", **own_run, "doing": status.doing, "progress": status.progress}
        return EnvelopeResponse(loading, status_code=503)

    @own.get(METRICS_PATH, response_class=PlainTextResponse, responses={401: {"model": schemas.ErrorResponse}})
    def metrics_text() -> Response:
        return Response(metrics.text(), media_type=metrics.content_type)

    @own.post(TOKENS_PATH, response_model=schemas.TokensResponse, responses=schemas.REFUSED)
    def tokens(body: schemas.TokensBody) -> schemas.TokensResponse:
        tokens = status.ready.tokens(body.text)
        return schemas.TokensResponse(tokens=[one.id for one in tokens], pieces=[one.piece for one in tokens])

    @own.post(NEXT_TOKENS_PATH, response_model=schemas.NextTokensResponse, responses=schemas.REFUSED)
    async def next_tokens(request: Request, body: schemas.NextTokensBody) -> schemas.NextTokensResponse:
        work = status.ready.next_tokens(workspace_of(request), body.model, body.prompt, body.count)
        found = await while_connected(request, work)
        return schemas.NextTokensResponse(
            next=[schemas.LikelyToken(token=one.id, piece=one.piece, probability=one.probability) for one in found]
        )

    @own.get("/docs", include_in_schema=False)
    def docs_page(request: Request) -> HTMLResponse:
        return HTMLResponse(docs.page(request.app.openapi()))

    return own


def _api(status: Status, metrics: Metrics) -> APIRouter:  # one short function per call, together to share these
    api = APIRouter(responses=schemas.REFUSED)

    @api.get("/models", response_model=schemas.ModelsResponse)
    def list_models(
        request: Request,
        only_base: Annotated[bool, Query(alias="onlyBase")] = False,
        capability: Literal["any", "complete", "fineTune"] = "any",
    ) -> schemas.ModelsResponse:
        bases = [_base_model_response(model) for model in status.ready.base_models()]
        adapters = [] if only_base else status.ready.adapters(workspace_of(request))
        # Every model here has every capability, so the filter has nothing to leave out.
        return schemas.ModelsResponse(models=[*bases, *map(_adapter_response, adapters)])

    @api.post("/models", response_model=schemas.CreateResponse)
    def create_model(request: Request, body: schemas.CreateBody) -> schemas.CreateResponse:
        hyper = body.initial_hyperparameters or schemas.InitialHyperparameters()
        rank = hyper.lora_hyperparameters.rank if hyper.lora_hyperparameters else None
        rate = hyper.training_arguments.learning_rate if hyper.training_arguments else None
        adapter = status.ready.create(workspace_of(request), body.model.name, body.model.base_model_id, rank, rate)
        return schemas.CreateResponse(id=adapter.id)

    @api.get("/models/{model_id}", response_model=schemas.AdapterResponse)
    def get_model(request: Request, model_id: str) -> schemas.AdapterResponse:
        return _adapter_response(status.ready.adapter(workspace_of(request), model_id))

    @api.delete("/models/{model_id}")
    async def delete_model(request: Request, model_id: str) -> EnvelopeResponse:
        await while_connected(request, status.ready.delete(workspace_of(request), model_id))
        return EnvelopeResponse({})

    @api.post("/models/{model_id}/complete", response_model=schemas.CompleteResponse)
    async def complete_model(request: Request, model_id: str, body: schemas.CompleteBody) -> schemas.CompleteResponse:
        collection_id = body.rag.collection_id if body.rag else None
        call = status.ready.complete(workspace_of(request), model_id, _completion_request(body), collection_id)
        completion = await while_connected(request, call)
        _note_load(request, status)
        return schemas.CompleteResponse(finish_reason=completion.finish_reason, generated_output=completion.text)

    @api.post("/models/{model_id}/fine-tune", response_model=schemas.FineTuneResponse)
    async def fine_tune_model(request: Request, model_id: str, body: schemas.FineTuneBody) -> schemas.FineTuneResponse:
        samples = [_tuning_sample(sample) for sample in body.samples]
        call = status.ready.fine_tune(workspace_of(request), model_id, samples)
        outcome = await while_connected(request, call)
        metrics.tuned(outcome.steps, outcome.trainable_tokens)
        _note_load(request, status)
        request.state.noted.update(samples=len(samples), tokens=outcome.trainable_tokens, steps=outcome.steps)
        return schemas.FineTuneResponse(number_of_trainable_tokens=outcome.trainable_tokens, sum_loss=outcome.sum_loss)

    @api.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def no_such_call(request: Request, path: str) -> None:
        raise _no_such_call(request.method, path)

    return api


def _note_load(request: Request, status: Status) -> None:
    """Puts into the request's line of the log what a slow answer may be due to."""
    load = status.ready.machine()
    if load is not None:
        request.state.noted.update(threads=load.threads, others=f"{load.others:.1f}")


def _base_model_response(model: catalog.BaseModel) -> schemas.BaseModelResponse:
    return schemas.BaseModelResponse(
        id=model.id, name=model.name, slug=model.slug, capabilities=list(catalog.CAPABILITIES)
    )


def _adapter_response(adapter: Adapter) -> schemas.AdapterResponse:
    return schemas.AdapterResponse(
        id=adapter.id, name=adapter.name, base_model_id=adapter.base_model_id, latest_update_time=adapter.updated
    )


def _completion_request(body: schemas.CompleteBody) -> CompletionRequest:
    # Null means raw text, on which samples are tuned; but passages come with the template unless it is refused.
    wants_template = body.rag is not None if body.auto_template is None else body.auto_template
    return CompletionRequest(
        prompt=body.query,
        auto_template=wants_template,
        max_tokens=body.max_generated_token_count or DEFAULT_MAX_TOKENS,
        temperature=body.temperature or 0.0,
        top_k=body.top_k,
        top_p=body.top_p,
        choices=tuple(body.guidance.value) if body.guidance else None,
    )


def _tuning_sample(sample: schemas.Sample) -> TuningSample:
    multiplier = sample.fine_tuning_parameters and sample.fine_tuning_parameters.multiplier
    if isinstance(sample.inputs, str):
        parts: tuple[SamplePart, ...] = (SamplePart(sample.inputs),)
    else:
        parts = tuple(
            SamplePart(part.value, part.trainable is not False, part.parse_special_tokens is not False)
            for part in sample.inputs
        )
    return TuningSample(parts, multiplier or 1.0)


def _no_such_call(method: str, path: str) -> refusals.Refusal:
    return HttpRefusal(
        404, f"There is no call {method} /api/{refusals.quoted(path)[1:-1]}: GET /docs lists those there are."
    )


async def _on_refusal(_: Request, refusal: refusals.Refusal) -> EnvelopeResponse:
    return error_response(refusal)


async def _on_http_error(request: Request, error: HTTPException) -> EnvelopeResponse:
    """FastAPI's own refusals: no such route, a body that is too large, a body that no JSON parser can read."""
    if error.status_code in (404, 405):
        return error_response(_no_such_call(request.method, request.scope["path"].removeprefix("/api").lstrip("/")))
    if error.status_code == 413:
        detail = f"it is larger than {MAX_BODY_BYTES // 1_000_000} MB; send less at a time"
    elif error.status_code == 408:
        detail = f"it had not arrived after {BODY_SECONDS} seconds; send it again"
    elif request.headers.get("content-type", "").startswith("multipart/"):
        detail = f"it can't be read as multipart/form-data with a field 'file' ({error.detail})"
    else:
        detail = "it can't be read as JSON in UTF-8"
    refusal = _body_refusal(error.status_code, detail, [])
    if error.status_code == 408:
        refusal.headers["Connection"] = "close"  # or the rest of the body would keep the connection
    return error_response(refusal)


async def _on_invalid(_: Request, error: RequestValidationError) -> EnvelopeResponse:
    """One sentence for people, and pydantic's list for programs, without the values that were sent."""
    found = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
    in_body = all(problem["loc"][0] == "body" for problem in found)
    listed = "; ".join(_problem(problem) for problem in found[:3])
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    found = json.loads(json.dumps(found, default=str))
    if in_body:
        return error_response(_body_refusal(400, listed + more, found))
    payload = {"formattedValidationError": listed, "validationError": found}
    message = f"The address is not right: {listed}{more}."
    return error_response(HttpRefusal(400, message, "queryOrPathParsingError", payload))


def _body_refusal(status: int, detail: str, found: list[dict[str, Any]]) -> HttpRefusal:
    payload = {"formattedValidationError": detail, "validationError": found}
    return HttpRefusal(status, f"The request body is not right: {detail}.", "bodyParsingError", payload)


def _problem(problem: dict[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        return "it is no valid JSON"
    if problem["type"] == "extra_forbidden":
        return f"there is no field {_field(problem)}"
    return f"{_field(problem)}: {problem['msg']}"


def _field(problem: dict[str, Any]) -> str:
    names = [str(name) for name in problem["loc"][1:] if name not in ("text", "parts")]
    return refusals.quoted(".".join(names))[1:-1] or "the whole"
