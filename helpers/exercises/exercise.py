"""What a lesson's module is made of: exercises and questions, as data. Made there, read by `__init__.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """Something to build, and who judges it.

    Attributes:
        checker: takes the parts of an answer, and the model last if it needs one, under the name `model` or `base`;
            returns a sentence about what is right, or raises `NotYet` with one about what is not.
        hint: a sentence that helps, and is not the solution.
    """

    checker: Callable[..., str]
    hint: str


@dataclass(frozen=True)
class Question:
    """Something to know.

    Attributes:
        asks: the question.
        choices: each choice, and why it is right or wrong.
        right: the right one of them.
    """

    asks: str
    choices: Mapping[str, str]
    right: str

    def lettered(self) -> dict[str, str]:
        """The choices by their letters: a, b, c."""
        return {chr(ord("a") + place): choice for place, choice in enumerate(self.choices)}
