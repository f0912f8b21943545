"""Which weights: what tells one model's from another's, so that an adapter is used only on those it was tuned on.

An engine says which it runs (`engine.py`), the store keeps it with each adapter, `calls.py` compares the two, and
`refusals.OtherWeights` says what to start instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN_DIGITS = 8


@dataclass(frozen=True)
class WeightsIdentity:
    """A model's weights, whatever their file is called: two identities are equal if the content is.

    Attributes:
        name: what to call them, "SmolLM2-135M-Instruct" or the stem of a GGUF file's name.
        sha256: of the GGUF file, in hexadecimal digits.
    """

    name: str = field(compare=False)
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256[:SHOWN_DIGITS]}…)"

    @property
    def public_name(self) -> str:
        """What the model is called on the Hugging Face hub where that is known, else its name."""
        return DEFAULT_ON_THE_HUB if self == DEFAULT else self.name

    @property
    def how_to_start(self) -> str:
        """How a service that runs these weights is started, after "start it"."""
        return "without --model" if self == DEFAULT else f"with --model and the GGUF file of {self.name}"


DEFAULT = WeightsIdentity("SmolLM2-135M-Instruct", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
DEFAULT_ON_THE_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
