"""The endpoint and its credentials as fields of a langchain-core class, from the environment where they are not given.

`llm.py` and `embeddings.py` build on it, so that both take the same names and refuse with the same sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator

from . import arguments, sdk
from .endpoint import checked, cleaned, setting
from .environment import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE
from .errors import BadInput, of_kind
from .language import _

if TYPE_CHECKING:
    from gradientai import Gradient

MAX_CONCURRENT = 8  # requests in flight for one batch, as in the SDK


class EndpointFields(BaseModel):
    """Where calls go and who makes them.

    Args:
        gradient_access_token: default: GRADIENT_ACCESS_TOKEN, which connect() sets.
        gradient_workspace_id: default: GRADIENT_WORKSPACE_ID, which connect() sets.
        gradient_api_url: default: GRADIENT_API_URL, which connect() sets.

    Raises:
        BadInput (a GradientError and a ValueError): one of them is missing or can't be used; a parameter is unknown.
    """

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        hide_input_in_errors=True,  # the input holds the token
    )

    gradient_access_token: SecretStr | None = None
    gradient_workspace_id: str | None = None
    gradient_api_url: str | None = None

    model_is: ClassVar[str]  # what a subclass's `model` is
    foreign: ClassVar[Collection[str]] = ()  # its fields that no one means who misspells one of ours

    def __init__(self, *args: Any, **given: Any) -> None:
        name = type(self).__name__
        if args:
            raise of_kind(BadInput(_("A {kind} takes its arguments by name: {kind}(model=…).", kind=name)), TypeError)
        # pydantic's errors hold what was given, whatever its name
        hidden = {name: _hidden(value) if "token" in name else value for name, value in given.items()}
        try:
            super().__init__(**hidden)
        except ValidationError as error:
            raise BadInput(self._sentence(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_environment(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        fallbacks = {
            "gradient_access_token": _hidden(setting(TOKEN_VARIABLE)),
            "gradient_workspace_id": setting(WORKSPACE_VARIABLE),
            "gradient_api_url": setting(URL_VARIABLE),
        }
        for name, fallback in fallbacks.items():
            value = filled.get(name)
            filled[name] = (cleaned(value) if isinstance(value, str) else value) or fallback
        for name in {"model", "model_id"} & set(filled):
            filled[name] = cleaned(filled[name]) if isinstance(filled[name], str) else filled[name]
        return filled

    @model_validator(mode="after")
    def _check_endpoint(self) -> EndpointFields:
        at = checked(*self._given())
        self.gradient_api_url, self.gradient_workspace_id = at.url, at.workspace
        self.gradient_access_token = SecretStr(at.token)
        return self

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        """What pydantic found, in one sentence of ours."""
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "value_error":
            return str(problem["ctx"]["error"])
        if problem["type"] == "missing":
            return _(
                "A {kind} needs {name}, {what}: {kind}({name}=…).", kind=cls.__name__, name=name, what=_(cls.model_is)
            )
        if problem["type"] != "extra_forbidden":
            return _(
                "{name} of a {kind} is not right: {problem}.", name=name, kind=cls.__name__, problem=problem["msg"]
            )
        return cls._unknown(name)

    @classmethod
    def _unknown(cls, name: str) -> str:
        """The sentence for an argument that there is not."""
        ours = [field.alias or own for own, field in cls.model_fields.items() if own not in cls.foreign]
        missing = _("A {kind} has no argument {name!r}", kind=cls.__name__, name=name)
        return arguments.meant(missing, name, ours)

    def _client(self) -> Gradient:
        """The SDK's client at the endpoint; nothing of it is kept here, so copies are whole and a moved service is
        found."""
        return sdk.shared_client(*self._given())

    def _given(self) -> tuple[str, str, str]:
        """URL, token and workspace id; one that is missing is empty, which `checked` refuses."""
        token = self.gradient_access_token.get_secret_value() if self.gradient_access_token else ""
        return self.gradient_api_url or "", token, self.gradient_workspace_id or ""


def _hidden(value: Any) -> Any:
    return SecretStr(value) if isinstance(value, str) else value
