"""GradientLLM: the Gradient API as a language model of langchain-core.

It takes the parameters of the class that lived in `langchain_community.llms`, so that changing the import line is the
whole migration. It talks through the gradientai SDK. Notebooks use it as `from helpers import GradientLLM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import Field, ValidationInfo, field_validator, model_validator

from . import retired, sdk
from .endpoint_fields import MAX_CONCURRENT, EndpointFields
from .errors import BadInput, of_kind
from .hanging_up import aall_of, all_of
from .language import _, later
from .parameters import NAMES, checked_parameters, strings
from .token_count import token_ids

if TYPE_CHECKING:
    from gradientai import ModelAdapter

TRACE = {"tags", "metadata", "run_name", "run_id"}  # what `generate` of langchain-core takes beside parameters


class GradientLLM(EndpointFields, BaseLLM):
    """A base model or a model adapter of a Gradient endpoint.

    Args:
        model: id of a base model or of an adapter.
        model_kwargs: parameters of every call: `temperature` (0 to 2), `top_k` (> 0), `top_p` (0 to 1),
            `max_generated_token_count` (1 to 511). Each can also be given to a single `invoke` or `bind`.
        gradient_access_token: default: GRADIENT_ACCESS_TOKEN, which connect() sets.
        gradient_workspace_id: default: GRADIENT_WORKSPACE_ID, which connect() sets.
        gradient_api_url: default: GRADIENT_API_URL, which connect() sets.
        stop: strings at which an answer is cut off; a string is one of them. `invoke` and `bind` take them too.
        choices: if given, every answer is exactly one of these strings.
        auto_template: wrap prompts in the base model's chat template. Leave it off for adapters tuned on plain text.

    Raises:
        BadInput (a GradientError and a ValueError): a parameter is out of range or unknown, or credentials are missing.
        GradientError: from calls, with the service's own sentence.
    """

    model_config = EndpointFields.model_config  # or that of BaseLLM, the last of the two, would hold
    model_is = later("the id of a base model or of an adapter")
    foreign = frozenset(BaseLLM.model_fields)

    model_id: str = Field(alias="model", min_length=1)
    model_kwargs: dict[str, Any] | None = None
    stop: list[str] | None = None
    choices: list[str] | None = None
    auto_template: bool | None = None

    def __getattr__(self, name: str) -> Any:
        words = retired.call_instead(_("A model"), name)
        if words is not None:
            raise of_kind(BadInput(words), AttributeError)
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides its own from type checkers

    def __call__(self, *given: Any, **named: Any) -> str:
        """What models of older LangChains could do.

        Raises:
            BadInput (also a TypeError): always.
        """
        raise of_kind(BadInput(retired.not_a_function(_("A model"))), TypeError)

    @field_validator("stop", "choices", mode="before")
    @classmethod
    def _list(cls, value: Any, info: ValidationInfo) -> list[str] | None:
        return strings(str(info.field_name), value)

    @model_validator(mode="after")
    def _check(self) -> GradientLLM:
        checked_parameters(self._parameters({}))
        return self

    @property
    def _llm_type(self) -> str:
        return "gradient"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """What tells one model from another, for caches and traces; never the token.

        An adapter is another model after each fine_tune, or a cache would go on giving its old answers.
        """
        return {
            "model_id": self.model_id,
            "last_tuning": sdk.last_tuning(self.model_id),
            "gradient_api_url": self.gradient_api_url,
            "gradient_workspace_id": self.gradient_workspace_id,
            "model_kwargs": self.model_kwargs,
            "stop": self.stop,
            "choices": self.choices,
            "auto_template": self.auto_template,
        }

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens that the model itself makes of a text; `get_num_tokens` counts them.

        Raises:
            GradientError: the endpoint is not the local service, which alone counts them.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return token_ids(self._connected(), text)

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **parameters: Any,
    ) -> list[str]:
        """Answers to many prompts, in their order, MAX_CONCURRENT at once.

        Args:
            inputs: the prompts.
            config: langchain-core's settings of the run, for all or for each.
            return_exceptions: give an exception in the place of the prompt that it is about; the others are answered.
            parameters: of the calls.

        Raises:
            BadInput: the prompts are one string, whose letters no one means.
            GradientError: from calls; without return_exceptions.
        """
        _check_prompts(inputs)
        if not return_exceptions:
            return super().batch(inputs, config, **parameters)
        # BaseLLM's own asks all in one call, and gives each the first exception.
        return super(BaseLLM, self).batch(inputs, _limited(config, inputs), return_exceptions=True, **parameters)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **parameters: Any,
    ) -> list[str]:
        """As `batch`."""
        _check_prompts(inputs)
        if not return_exceptions:
            return await super().abatch(inputs, config, **parameters)
        limited = _limited(config, inputs)
        return await super(BaseLLM, self).abatch(inputs, limited, return_exceptions=True, **parameters)

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Any = None,
        **given: Any,
    ) -> LLMResult:
        """langchain-core's `generate`; parameters of the call are the model's own from here on.

        Caches and traces ask a model what it is and leave out what a call adds, so a cache would answer for others.
        """
        model, trace = self._with(given)
        return super(GradientLLM, model).generate(prompts, self._stops(stop), callbacks, **trace)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Any = None,
        **given: Any,
    ) -> LLMResult:
        """As `generate`."""
        model, trace = self._with(given)
        return await super(GradientLLM, model).agenerate(prompts, self._stops(stop), callbacks, **trace)

    def _with(self, given: dict[str, Any]) -> tuple[GradientLLM, dict[str, Any]]:
        """The same model with a call's parameters as its own, and what else was given, which is for the trace."""
        trace = {name: given.pop(name) for name in TRACE & set(given)}
        own = {**(self.model_kwargs or {}), **given}
        return (self.model_copy(update={"model_kwargs": own}) if given else self), trace

    def _stops(self, stop: str | list[str] | None) -> list[str] | None:
        """The stop strings of one call: its own, else the model's. langchain-core knows the call's alone."""
        return self.stop if stop is None else strings("stop", stop)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        answers = all_of(lambda prompt: self._complete(prompt, stop, kwargs), prompts, MAX_CONCURRENT)
        return LLMResult(generations=[[answer] for answer in answers])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        answers = await aall_of(lambda prompt: self._complete(prompt, stop, kwargs), prompts, MAX_CONCURRENT)
        return LLMResult(generations=[[answer] for answer in answers])

    def _complete(self, prompt: str, stop: list[str] | None, call: dict[str, Any]) -> Generation:
        asked = checked_parameters(self._parameters(call))
        answer = self._connected().complete(query=prompt, **asked)
        text, was_cut = _cut_at(answer.generated_output, self._stops(stop) or [])
        return Generation(text=text, generation_info={"finish_reason": "stop" if was_cut else answer.finish_reason})

    def _parameters(self, call: dict[str, Any]) -> dict[str, Any]:
        """The SDK's keyword arguments for one call: the model's own, then model_kwargs, then the call's."""
        merged = {"auto_template": self.auto_template, "choices": self.choices, **(self.model_kwargs or {}), **call}
        choices = merged.pop("choices", None)
        if choices is not None:
            merged["guidance"] = {"type": "choice", "value": strings("choices", choices)}
        return {name: value for name, value in merged.items() if value is not None}

    @classmethod
    def _unknown(cls, name: str) -> str:
        if name in NAMES:
            return _('{name} is given in model_kwargs: GradientLLM(model=…, model_kwargs={{"{name}": …}}).', name=name)
        return super()._unknown(name)

    def _connected(self) -> ModelAdapter:
        return sdk.model(self._client(), self.model_id)


def _check_prompts(inputs: Any) -> None:
    if isinstance(inputs, str):
        raise BadInput(_("batch takes a list of prompts, and this is one: put it into a list, or use invoke."))


def _limited(config: RunnableConfig | list[RunnableConfig] | None, inputs: list[Any]) -> list[RunnableConfig]:
    """A config for each prompt, with a limit on how many are asked at once."""
    if not inputs:
        return []
    given = get_config_list(config, len(inputs))
    return [{**one, "max_concurrency": one.get("max_concurrency") or MAX_CONCURRENT} for one in given]


def _cut_at(text: str, stop: list[str]) -> tuple[str, bool]:
    """The text before the first stop string in it, and whether there was one."""
    positions = [position for position in (text.find(end) for end in stop) if position >= 0]
    return (text[: min(positions)], True) if positions else (text, False)
