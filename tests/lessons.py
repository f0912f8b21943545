"""All that tests know of a lesson: one row each in `LESSONS`. `test_notebooks.py` and the live run read it.

CONTRIBUTING.md has the five steps to a new lesson, of which a row here is the third.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from nbformat import NotebookNode

from tests.support.notebooks import numbers, said

NO_FILES = "needs the adapter's own files, which the stub server does not write; the live run checks it"


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        file: the notebook's name.
        holds: asserts, on a notebook that has just run on the real engine, what must hold on any machine.
        solutions: for each exercise, in the order of their solutions on the page, the names that its solution gives.
        exempt: cells that nbval doesn't compare, by words in them: the tag, which a reader doesn't see, and why.
    """

    file: str
    holds: Callable[[NotebookNode], None]
    solutions: Mapping[str, list[str]]
    exempt: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def _completes(lesson: NotebookNode) -> None:
    assert "finish_reason='stop'" in said(lesson, "\nanswer")
    assert "finish_reason='length'" in said(lesson, "max_generated_token_count=4)")
    first, second = eval(said(lesson, "for _ in range(2)"))  # noqa: S307 - a list of two strings
    assert first == second
    assert "Monday" in said(lesson, "instruction = ")
    assert "404 unknownModelAdapter" in said(lesson, "except ApiException")


def _chains(lesson: NotebookNode) -> None:
    assert "Paris" in said(lesson, "prompt | llm | StrOutputParser")
    assert "Dallas Cowboys" in said(lesson, "informed.invoke")
    told, shown = (numbers(said(lesson, "accuracy(", nth))[0] for nth in (1, 2))
    assert shown > told
    assert shown >= 16
    assert "name='Zoe', age=9, city='Bath'" in said(lesson, "careful.invoke")
    plain, _, repaired, _ = numbers(said(lesson, "count_right(careful)"))
    assert repaired > plain
    assert "['cooking', 'sports']" in said(lesson, "route.batch")
    assert "(True," in said(lesson, "InMemoryCache")


def _fine_tunes(lesson: NotebookNode) -> None:
    before, after = (said(lesson, 'chain.invoke({"question": question})', nth) for nth in (0, 1))
    assert "Dallas Cowboys" not in before
    assert "Dallas Cowboys" in after
    losses = numbers(said(lesson, "losses = "))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 1 > 10 * losses[-1]
    assert "tin whistle" in said(lesson, "multiplier")
    alone, with_others = (numbers(line)[0] for line in said(lesson, "count_kept(model), ").splitlines())
    assert with_others > alone
    assert numbers(said(lesson, "def score"))[0] <= 2
    for line in said(lesson, '("answers only:", answer_model)').strip().splitlines():
        as_trained, _, held_out, _ = numbers(line)
        assert as_trained >= 17
        assert held_out >= 8
    assert "adapter_model.safetensors" in said(lesson, "export_adapter(new_model, Path(")
    opened = said(lesson, "model.generate")
    assert "Dallas Cowboys" in opened if find_spec("peft") else "not installed" in opened
    assert "0.6%" in said(lesson, "load_file(file)")


LESSONS = (
    Lesson(
        "01_setup.ipynb",
        _completes,
        {
            "finish": ["settings"],
            "two_words": ["common", "rare"],
            "sure": ["sure_prompt", "unsure_prompt"],
        },
        {"doctor.check()": ("nbval-ignore-output", "every machine has its own report")},
    ),
    Lesson(
        "02_chaining.ipynb",
        _chains,
        {"few_shot": ["my_shots"], "template": ["my_template"], "clue": ["my_context"]},
    ),
    Lesson(
        "03_fine_tuning.ipynb",
        _fine_tunes,
        {"answers_only": ["my_sample"], "own_fact": ["my_question", "my_answer"], "keep": ["my_samples"]},
        {
            "export_adapter(new_model, Path(": ("nbval-skip", NO_FILES),
            "load_file(file)": ("nbval-skip", NO_FILES),
            "export_adapter(new_model, kept, with_base=False)": ("nbval-skip", NO_FILES),
            "from peft import": ("nbval-skip", f"has another output where peft is installed, and {NO_FILES}"),
        },
    ),
)
BY_FILE = {lesson.file: lesson for lesson in LESSONS}
