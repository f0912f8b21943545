"""What LangChain's older pages call and langchain-core has no more, and what is called instead.

Called by `llm.py` for its own class, and by `cell_errors.py` for chains, whose classes are langchain-core's.
"""

from __future__ import annotations

from .language import _

_CALLS = {
    "run": "invoke",
    "predict": "invoke",
    "apply": "batch",
    "arun": "ainvoke",
    "apredict": "ainvoke",
    "aapply": "abatch",
    "predict_messages": "invoke",
    "apredict_messages": "ainvoke",
    "complete": "invoke",
}
_PACKAGES = ("langchain", "langchain_community", "langchain_classic", "langchain_openai")


def call_instead(kind: str, name: str) -> str | None:
    """The sentence for an attribute of a chain or a model that it had once, or None for any other.

    Args:
        kind: of what, "A chain" for example.
        name: the attribute.
    """
    if name not in _CALLS:
        return None
    return _(
        "{kind} of langchain-core has no {name}: call {instead}(…) with what you would have given to {name}.",
        kind=kind,
        name=name,
        instead=_CALLS[name],
    )


def not_a_function(kind: str) -> str:
    """The sentence for what was a function once."""
    return _("{kind} of langchain-core is no function: call invoke(…) with what you would have given to it.", kind=kind)


def import_instead(package: str | None) -> str | None:
    """The sentence for a package of LangChain's that is not part of this kit, or None for any other.

    Args:
        package: as an ImportError names it.
    """
    root = (package or "").split(".")[0]
    if root not in _PACKAGES:
        return None
    return _(
        "{package} is not part of this kit, langchain-core is: write `from helpers import "
        "GradientLLM`, `from langchain_core.prompts import PromptTemplate`, and `prompt | "
        "llm` for LLMChain.",
        package=root,
    )
