"""The one error envelope of the API, and the errors that the service raises.

Every module of the service raises `ServiceError` (through the functions below, which fix status and type); `app.py`
turns it into the JSON body `{"message", "type", "payload"}` that gradientai clients know.
"""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """A refusal that the caller is told about.

    Args:
        status: HTTP status code.
        message: one sentence that says what was wrong and what to do.
        type: one of the error types that clients of the Gradient API know, or None.
        payload: machine-readable detail, or None.
        headers: further HTTP headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str | None = None,
        payload: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.payload = payload
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer; absent fields are left out, as the hosted service did."""
        fields = {"message": self.message, "type": self.type, "payload": self.payload}
        return {name: value for name, value in fields.items() if value is not None}


def unknown_base_model(model_id: str) -> ServiceError:
    """Raised when no base model has this id."""
    return ServiceError(
        404,
        f"There is no base model with the id {shown(model_id)}: list_models(only_base=True) shows the ids there are.",
        "unknownBaseModel",
    )


def unknown_adapter(adapter_id: str) -> ServiceError:
    """Raised when this workspace has no adapter with this id, whether or not another workspace has one."""
    return ServiceError(
        404,
        f"There is no model adapter with the id {shown(adapter_id)} in this workspace: it was deleted or never "
        "created. list_models(only_base=False) shows those there are.",
        "unknownModelAdapter",
    )


def unprocessable(message: str) -> ServiceError:
    """Raised when a well-formed request asks for what the model can't do (a prompt longer than its context, say)."""
    return ServiceError(400, message, "unprocessableContent")


def nan_loss() -> ServiceError:
    """Raised when a fine-tune's loss ran away or stopped being a number; the adapter is as it was before the call."""
    return ServiceError(
        400,
        "The loss ran away instead of falling, so this call was undone and the adapter is as it was before it. "
        "Create an adapter with a smaller learning_rate (2e-3 is the default) and fine-tune that.",
        "nanLoss",
    )


def busy(message: str, retry_after_seconds: int = 2) -> ServiceError:
    """Raised when the service can't take the request now but can in a moment."""
    return ServiceError(503, message, "failed", headers={"Retry-After": str(retry_after_seconds)})


def failed(message: str, status: int = 500) -> ServiceError:
    """Raised when the service, not the request, is at fault."""
    return ServiceError(status, message, "failed")


def given_up() -> ServiceError:
    """Raised when work was ended because its client has hung up; only the log shows it (499 is nginx's number)."""
    return ServiceError(499, "The client hung up, so this call was ended and changed nothing.", "failed")


def shown(value: object, limit: int = 60) -> str:
    """A caller's value as it may stand in a message: quoted, cut, with control characters and surrogates escaped."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
