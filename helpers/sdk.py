"""The one place that touches what the gradientai SDK keeps to itself, and the client with what it lacks.

A release of the SDK that moves one of its private names breaks this module alone. Called by `connection.py`, `llm.py`,
the forms and `sdk_classes.py`, whose classes the clients are of. Importing it imports no SDK.
"""

from __future__ import annotations

import gc
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

from . import endpoint

if TYPE_CHECKING:
    import urllib3
    from gradientai import BaseModel, Gradient, ModelAdapter
    from typing_extensions import TypeIs

CONNECT_SECONDS = 5
SILENT_SECONDS = 60  # how long a file that is handed over may stop on its way
READ_SECONDS = 920  # a little longer than the service's own limits for the wait and for a fine-tune together
BUSY_RETRIES = 5
BUSY_SECONDS = 10  # the longest pause before one, whatever the endpoint asks for

_lock = threading.Lock()
_moves: dict[tuple[str, str], tuple[str, str]] = {}  # URL and token: those that took their place
_shared: dict[tuple[str, str, str], Gradient] = {}
_tunings: dict[str, str] = {}  # adapter id: a mark that no other fine_tune has, here or in another process


def _inside(of: Any) -> Any:
    """The same, for what the SDK's type stubs leave out: how its classes are made, and their private names."""
    return of


def client(url: str, token: str, workspace: str) -> Gradient:
    """The SDK's client with what it lacks: sentences, limits on its waits, and patience when the service is busy.

    Args:
        url: base URL, ending in /api.
        token: access token.
        workspace: workspace id.

    Raises:
        BadInput: one of them can't be used.
    """
    import urllib3
    from gradientai.openapi.client.exceptions import ApiException

    from . import cell_errors, hanging_up, sdk_classes

    class BusyRetry(urllib3.Retry):
        def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
            asked = super().get_retry_after(response)
            return None if asked is None else min(asked, BUSY_SECONDS)

        def sleep_for_retry(self, response: urllib3.BaseHTTPResponse) -> bool:
            seconds = self.get_retry_after(response)
            if seconds:
                hanging_up.pause(seconds)
            return bool(seconds)

    cell_errors.start(ApiException, urllib3.exceptions.HTTPError, StopIteration)
    at = endpoint.checked(url, token, workspace)
    gradient: Gradient = _inside(sdk_classes.Gradient)(host=at.url, access_token=at.token, workspace_id=at.workspace)
    # A busy service answers 503 with Retry-After; nothing was done then, so asking again is safe for every method.
    retries = BusyRetry(
        total=BUSY_RETRIES, connect=2, read=0, other=0, redirect=0, allowed_methods=None, raise_on_status=False
    )
    limits = {"timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), "retries": retries, "maxsize": 8}
    manager = _inside(gradient)._api_client.rest_client.pool_manager
    manager.connection_pool_kw.update(limits)
    hanging_up.install_in(manager)
    return gradient


def shared_client(url: str, token: str, workspace: str) -> Gradient:
    """The one client of this process for an endpoint and a workspace; where the endpoint has moved, at its new place.

    Args:
        url: of the endpoint, ending in /api.
        token: its access token.

    Raises:
        BadInput: as `client`.
    """
    with _lock:
        url, token = _moves.get((url, token), (url, token))
        key = (url, token, workspace)
        if key not in _shared:
            _shared[key] = client(*key)
        return _shared[key]


def move(old: tuple[str, str], new: tuple[str, str]) -> None:
    """Takes every client of an endpoint to where that is now, whoever made it, and with it all models and adapters.

    Args:
        old, new: URL and token, before and now.
    """
    from gradientai.openapi.client.configuration import Configuration

    with _lock:
        _moves.update({place: new for place, there in _moves.items() if there == old})
        _moves[old] = new
        _moves.pop(new, None)  # it is back where it was
        for key in [key for key in _shared if key[:2] == old]:
            del _shared[key]
    # A plain Gradient() is in no list of ours; what it reads its address from is found among all that lives.
    for one in gc.get_objects():
        if type(one) is Configuration and (one.host, one.access_token) == old:
            one.host, one.access_token = new


def url_of(speaker: Any) -> str:
    """The base URL that the calls of a client go to, or those of a model or a collection that it gave."""
    api = next(api for name in ("_models_api", "_api_instance", "_rag_api") if (api := vars(speaker).get(name)))
    return api.api_client.configuration.host


def embeddings_class() -> type[Any]:
    """The SDK's class of embeddings models, which it does not export."""
    from gradientai._embeddings_model import EmbeddingsModel

    return EmbeddingsModel


def model(gradient: Gradient, model_id: str) -> ModelAdapter:
    """The model with this id, a base model's too, without a request: the SDK's one class that can be made so."""
    from .sdk_classes import ModelAdapter

    made: ModelAdapter = _inside(ModelAdapter)(
        api_instance=_inside(gradient)._models_api,
        id=model_id,
        base_model_id="",
        name="",
        workspace_id=gradient.workspace_id,
    )
    return made


def embeddings_model(gradient: Gradient, slug: str) -> Any:
    """The embeddings model with this slug, without a request: an endpoint that has none says so itself."""
    from .sdk_classes import EmbeddingsModel

    return EmbeddingsModel(
        api_instance=_inside(gradient)._embeddings_api, slug=slug, workspace_id=gradient.workspace_id
    )


def beside_the_api(
    adapter: ModelAdapter,
    path: str,
    *,
    secret: bool = True,
    body: dict[str, Any] | None = None,
    hasty_seconds: float | None = None,
) -> urllib3.BaseHTTPResponse:
    """What the endpoint of an adapter serves beside the API, its body not yet read; close it when done.

    Args:
        adapter: whose endpoint, and whose credentials.
        path: from the place beside `/api` on, with its leading slash.
        secret: whether the credentials are sent. They go to the endpoint itself alone, as no redirect is followed.
        body: what to post; None gets.
        hasty_seconds: how long to wait at all, without asking again; None waits as for a file.
    """
    import urllib3

    hasty = {"timeout": urllib3.Timeout(hasty_seconds), "retries": False}
    patient = {"timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENT_SECONDS)}
    sdk = _inside(adapter)._api_instance.api_client
    credentials = {
        "Authorization": f"Bearer {sdk.configuration.access_token}",
        "x-gradient-workspace-id": adapter.workspace_id,
    }
    return sdk.rest_client.pool_manager.request(
        "GET" if body is None else "POST",
        url_of(adapter).removesuffix("/").removesuffix("/api") + path,
        body=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(credentials if secret else {})},
        redirect=False,
        preload_content=False,
        **(patient if hasty_seconds is None else hasty),
    )


def is_base_model(model: BaseModel | ModelAdapter) -> TypeIs[BaseModel]:
    """Whether a model is a base model; the SDK's type stubs know its classes as protocols, for no isinstance()."""
    return hasattr(model, "slug")


def mark_tuned(adapter_id: str) -> None:
    """Remembers that an adapter answers otherwise from now on."""
    _tunings[adapter_id] = uuid.uuid4().hex


def last_tuning(adapter_id: str) -> str | None:
    """The mark of an adapter's last fine_tune by a client of this process; None if there was none."""
    return _tunings.get(adapter_id)


def base_model_names(gradient: Gradient) -> dict[str, str]:
    """The base models' names by id: they say what answers, and the SDK keeps them to itself."""
    answer = _inside(gradient)._models_api.list_models(only_base=True, x_gradient_workspace_id=gradient.workspace_id)
    return {entry.actual_instance.id: entry.actual_instance.name for entry in answer.models}
