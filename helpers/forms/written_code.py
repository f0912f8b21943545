"""The code that a form stands for: lines for the gradientai SDK and for langchain-core, ready to paste.

Called by the forms. The lines name no token: they read the three GRADIENT_* variables, which connect() sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import sdk
from ..endpoint import setting
from ..environment import URL_VARIABLE, WORKSPACE_VARIABLE
from ..language import _
from .samples import Pair

if TYPE_CHECKING:
    from gradientai import BaseModel, Gradient, ModelAdapter


def completion(
    gradient: Gradient, model: BaseModel | ModelAdapter, prompt: str, settings: Mapping[str, Any], choices: list[str]
) -> str:
    """Lines that ask a model, with the SDK and with langchain-core.

    Args:
        gradient: the client that the form uses.
        model: the model to ask.
        prompt: the text to continue.
        settings: parameters of `complete`, without guidance.
        choices: if not empty, the answer is one of these.
    """
    guidance = {"guidance": {"type": "choice", "value": choices}} if choices else {}
    call = "".join(f", {name}={literal(value)}" for name, value in {**settings, **guidance}.items())
    own = {name: value for name, value in settings.items() if name != "auto_template"}
    arguments: dict[str, Any] = {"model_kwargs": own} if own else {}
    if "auto_template" in settings:
        arguments["auto_template"] = settings["auto_template"]
    if choices:
        arguments["choices"] = choices
    by_sdk, by_langchain = _("with the gradientai SDK"), _("with langchain-core")
    return f"""# {by_sdk}
{_client(gradient)}
{_model(model)}
prompt = {literal(prompt)}
answer = model.complete(query=prompt{call})
print(answer.generated_output)

# {by_langchain}
from helpers import GradientLLM

{_llm(gradient, literal(model.id), arguments)}
print(llm.invoke(prompt))
"""


def fine_tune(
    gradient: Gradient,
    adapter: ModelAdapter | None,
    new_adapter: tuple[str, Mapping[str, Any]],
    template: str,
    pairs: Sequence[Pair],
    answers_only: bool,
    calls: int,
    question: str,
    ask_tokens: int,
) -> str:
    """Lines that make an adapter or find it, fine-tune it with the SDK, and ask it with langchain-core.

    Args:
        gradient: the client that the form uses.
        adapter: the adapter, or None for a new one.
        new_adapter: slug of the new one's base model, and the arguments of `create_model_adapter`.
        template: text with a `{question}` in it, before the answer.
        pairs: the samples.
        answers_only: whether only the answers have a loss.
        calls: how many fine_tune calls.
        question: what to ask afterwards.
        ask_tokens: the answer's most tokens.
    """
    facts = "".join(f"    ({literal(pair.question)}, {literal(pair.answer)}),\n" for pair in pairs)
    inputs = "template.format(question=question) + answer"
    by_sdk, by_langchain = _("with the gradientai SDK"), _("ask it with langchain-core")
    if answers_only:
        inputs = '[{"value": template.format(question=question), "trainable": False}, {"value": answer}]'
    return f"""# {by_sdk}
{_client(gradient)}
{_adapter(adapter, *new_adapter)}
template = {literal(template)}
facts = [
{facts}]
samples = [{{"inputs": {inputs}}} for question, answer in facts]
for _ in range({calls}):
    result = adapter.fine_tune(samples=samples)
    print(result.sum_loss / result.number_of_trainable_tokens)

# {by_langchain}
from helpers import GradientLLM
from langchain_core.prompts import PromptTemplate

{_llm(gradient, "adapter.id", {"model_kwargs": {"max_generated_token_count": ask_tokens}})}
chain = PromptTemplate.from_template(template) | llm
print(chain.invoke({{"question": {literal(question)}}}))
"""


def literal(value: Any) -> str:
    """A value as Python code, strings in double quotes."""
    if isinstance(value, str):
        # Each of JSON's escapes means the same in Python; a lone surrogate can't be written without one.
        return re.sub("[\ud800-\udfff]", lambda one: f"\\u{ord(one[0]):x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{literal(name)}: {literal(item)}' for name, item in value.items())}}}"
    return repr(value)


def _client(gradient: Gradient) -> str:
    given = ", ".join(f"{name}={literal(value)}" for name, value in _endpoint(gradient, "host", "workspace_id").items())
    return f"from gradientai import Gradient\n\ngradient = Gradient({given})"


def _llm(gradient: Gradient, model: str, arguments: Mapping[str, Any]) -> str:
    """The GradientLLM of a model, one argument a line."""
    given = {**_endpoint(gradient, "gradient_api_url", "gradient_workspace_id"), **arguments}
    lines = "".join(f"    {name}={literal(value)},\n" for name, value in given.items())
    return f"llm = GradientLLM(\n    model={model},\n{lines})"


def _endpoint(gradient: Gradient, url_name: str, workspace_name: str) -> dict[str, str]:
    """Arguments for an endpoint and a workspace that the environment does not name already."""
    url = sdk.url_of(gradient)
    arguments = {}
    if url != setting(URL_VARIABLE):
        arguments[url_name] = url
    if gradient.workspace_id != setting(WORKSPACE_VARIABLE):
        arguments[workspace_name] = gradient.workspace_id
    return arguments


def _model(model: BaseModel | ModelAdapter) -> str:
    if sdk.is_base_model(model):
        return f"model = gradient.get_base_model(base_model_slug={literal(model.slug)})"
    return f"model = gradient.get_model_adapter(model_adapter_id={literal(model.id)})"


def _adapter(adapter: ModelAdapter | None, base_slug: str, arguments: Mapping[str, Any]) -> str:
    if adapter is not None:
        return f"adapter = gradient.get_model_adapter(model_adapter_id={literal(adapter.id)})"
    given = ", ".join(f"{name}={literal(value)}" for name, value in arguments.items())
    return (
        f"base = gradient.get_base_model(base_model_slug={literal(base_slug)})\n"
        f"adapter = base.create_model_adapter({given})"
    )
