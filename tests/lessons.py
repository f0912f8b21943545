"""All that tests know of a lesson: one row each in `LESSONS`. `test_notebooks.py` and the live run read it.

CONTRIBUTING.md has the five steps to a new lesson, of which a row here is the third.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from nbformat import NotebookNode

from tests.support.notebooks import NOT_RUN, numbers, said

NO_FILES = "needs the adapter's own files, which the stub server does not write; the live run checks it"


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        file: the notebook's name.
        holds: asserts, on a notebook that has just run on the real engine, what must hold on any machine.
        solutions: for each exercise, in the order of their solutions on the page, the names that its solution gives,
            and "base" where the checker asks the base model; none where it wants what the page has computed.
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


def _looks_up(lesson: NotebookNode) -> None:
    assert "Otto Fenn" in said(lesson, 'print("with:')
    _, first, among = numbers(said(lesson, "nearness = "))
    assert first >= 15
    assert among >= 19
    row = r"(prompt|looked|learned|both)[ up]* (\d+) of 20 as asked, +(\d+) of 20 held out, +(\d+) of 10"
    table = {way: list(map(int, counts)) for way, *counts in re.findall(row, said(lesson, "for name, way in"))}
    as_asked, held_out, kept = ({way: counts[at] for way, counts in table.items()} for at in range(3))
    assert as_asked["prompt"] < as_asked["looked"] < as_asked["learned"]
    assert held_out["both"] > held_out["looked"] > held_out["prompt"]
    assert kept["looked"] > kept["learned"]
    assert "Juno Vale" in said(lesson, "store.delete")


def _classifies(lesson: NotebookNode) -> None:
    told = numbers(said(lesson, "told = sorted_by"))[0]
    _, on_8, *_, on_40, _, _, _ = numbers(said(lesson, "on_8, on_40 = "))
    assert told < 20 < on_8 < on_40
    tickets, _, narrow, _ = numbers(said(lesson, "is_right(narrow"))[:4]
    before, after, kept = numbers(said(lesson, "report = {"))
    assert before == 0
    assert min(tickets, after) >= 8
    assert kept > narrow
    assert "(True," in said(lesson, '"data/tea_room.jsonl", template')


def _shows_every_number(lesson: NotebookNode) -> None:
    assert said(lesson, "np.allclose").startswith("True")
    nudged, by_gradient = numbers(said(lesson, "nudged = "))
    assert abs(nudged - by_gradient) < 1e-5
    assert numbers(said(lesson, "step = rate"))[-1] == numbers(said(lesson, "the optimizer moved"))[-1]
    assert "after:    the cat sat on the mat ." in said(lesson, "def following")
    _, first, _, second = numbers(said(lesson, "result.sum_loss"))
    assert second < first / 4
    assert "rug of the harbour master" in said(lesson, '"adapter:"')


LESSONS = (
    Lesson(
        "01_setup.ipynb",
        _completes,
        {
            "finish": ["settings", "base"],
            "two_words": ["common", "rare", "base"],
            "sure": ["sure_prompt", "unsure_prompt", "base"],
        },
        {
            "doctor.check()": ("nbval-ignore-output", "every machine has its own report"),
            "exercises.progress()": ("nbval-ignore-output", "every learner has done something else"),
        },
    ),
    Lesson(
        "02_chaining.ipynb",
        _chains,
        {"few_shot": ["my_shots", "base"], "template": ["my_template", "base"], "clue": ["my_context", "base"]},
    ),
    Lesson(
        "03_fine_tuning.ipynb",
        _fine_tunes,
        {
            "answers_only": ["my_sample", "base"],
            "own_fact": ["my_question", "my_answer", "base"],
            "keep": ["my_samples", "base"],
        },
        {
            "export_adapter(new_model, Path(": (NOT_RUN, NO_FILES),
            "load_file(file)": (NOT_RUN, NO_FILES),
            "export_adapter(new_model, kept, with_base=False)": (NOT_RUN, NO_FILES),
            "from peft import": (NOT_RUN, f"has another output where peft is installed, and {NO_FILES}"),
        },
    ),
    Lesson(
        "04_retrieval.ipynb",
        _looks_up,
        {"cosine": ["my_cosine"], "nearest": ["my_nearest"], "context": ["my_sentence", "base"]},
    ),
    Lesson(
        "05_classifier.ipynb",
        _classifies,
        {"worst_mistake": [], "sorter": ["my_samples", "base"], "project": []},
    ),
    Lesson(
        "06_inside.ipynb",
        _shows_every_number,
        {"nats": ["my_loss"], "slope": ["my_slope"], "adamw": ["my_step"]},
    ),
)
BY_FILE = {lesson.file: lesson for lesson in LESSONS}
