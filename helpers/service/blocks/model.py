"""How a block asks the model: a question for the chat template, or which of a few texts goes on best. Made by
`calls.py` for one call; the blocks use it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ..engine import CompletionRequest, Engine
from . import texts


@dataclass(frozen=True)
class Model:
    """The base model, for as long as someone waits for what is asked.

    Attributes:
        engine: completes.
        base_slug: the base model that answers.
        given_up: set when no one waits any more; what is asked then raises CallerGone.
    """

    engine: Engine
    base_slug: str
    given_up: threading.Event

    def answer(self, instruction: str, max_tokens: int) -> str:
        """What the model says to an instruction, by its chat template; it may be nothing, and it may be invented.

        Args:
            instruction: what to do, as the user's turn of a chat.
            max_tokens: of the answer, at most.
        """
        request = CompletionRequest(texts.harmless(instruction), auto_template=True, max_tokens=max_tokens)
        return self._complete(request)

    def choice(self, prompt: str, choices: Sequence[str]) -> str:
        """Which of some texts goes on best after a prompt.

        Args:
            prompt: raw text that a choice continues.
            choices: at least one.
        """
        return self._complete(CompletionRequest(texts.harmless(prompt), choices=tuple(choices)))

    def _complete(self, request: CompletionRequest) -> str:
        return self.engine.complete(request, self.base_slug, None, self.given_up).text.strip()
