"""The lesson itself: how soon a taught fact is answered, how often rightly, what is forgotten, and twenty at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from .figures import Row
from .processes import ADJUSTED, Bench, alternate
from .workload import FACTS, TEMPLATE, UNRELATED, ask, library, sample, teach

if TYPE_CHECKING:
    from gradientai import BaseModel, ModelAdapter

SEEDS = (0, 1, 2)
MORE_SEEDS = (0, 1, 2, 3, 4, 5)  # what is forgotten differs more by the draw than by most changes of the recipe
PROTOTYPE_SECONDS = 14.4  # twenty samples, answers only, before this service was written; measured on two cores
UNRELATED_TOKENS = 20
UNRELATED_RIGHT = 35  # of 80, after one fact, in the mean: what this service had when its tuner was torch, in one draw
HELD_OUT_TOKENS = 16


def facts(bench: Bench) -> Iterator[Row]:
    """One short sample, from the call of `fine_tune` to the right answer in hand: 26 made-up facts, three seeds.

    The tuner is loaded, and each fact gets an adapter of its own, as in the third lesson; it is deleted afterwards. A
    seed is that of LoRA's first matrices: the only thing random in a fine-tune (`adjusted_service.py`).
    """
    taught = FACTS[: bench.times(len(FACTS), 4)]
    seeds = SEEDS[: bench.times(len(SEEDS), 1)]
    whole: list[float] = []
    tuning: list[float] = []
    steps: list[float] = []
    wrong: list[str] = []
    for seed in seeds:
        with bench.service(f"facts{seed}", module=ADJUSTED, TUNER_SEED=str(seed)) as service:
            base = service.base()
            teach(base, *FACTS[0])
            for question, answer in taught:
                seconds, of_tuning, said = teach(base, question, answer)
                whole.append(seconds)
                tuning.append(of_tuning)
                if said != answer:
                    wrong.append(f"{answer!r} came out as {said!r} with seed {seed}")
            steps += service.steps()[1:]
    note = f"{len(taught)} facts, {len(seeds)} seeds; the slowest took {max(whole):.2f} s"
    yield Row("one sample, call to answer", whole, at_most=1.0, note=note)
    yield Row("one sample, the `fine_tune` call alone", tuning)
    yield Row("one sample, steps", steps, "steps")
    right = len(whole) - len(wrong)
    yield Row("one sample, right", [right], f"of {len(whole)}", at_least=len(whole), note="; ".join(wrong))


def cold_script(bench: Bench) -> Iterator[Row]:
    """The same lesson against what one would write instead: a plain peft + AdamW script, from a cold process.

    `peers/plain_peft.py` imports transformers and peft, loads the same weights, learns the same sample with a recipe as
    good as ours, and generates the answer; it is timed as a whole process, for it has no one who keeps things loaded.
    Ours is timed as in `facts`. Both answers must be right to count.
    """
    inside: list[float] = []
    with bench.service("cold-script") as service:
        base = service.base()

        def ours(index: int) -> float:
            seconds, _, said = teach(base, *FACTS[index + 1])
            _require(said, FACTS[index + 1][1], "the service")
            return seconds

        def script(index: int) -> float:
            question, answer = FACTS[index + 1]
            arguments = (bench.weights.folder, TEMPLATE.format(question), f" {answer}")
            seconds, printed = bench.run_script("plain_peft.py", *arguments)
            found = json.loads(printed.splitlines()[-1])
            _require(found["answer"], answer, "the script")
            inside.append(found["seconds_of_steps"])
            return seconds

        taught, scripted = alternate(bench.times(3), (service, ours), (None, script))
    note = f"the script's steps alone took {sorted(inside)[len(inside) // 2]:.2f} s"
    yield Row("one sample, cold script", taught, peer=scripted, peer_name="plain peft", at_most=1 / 3, note=note)


def forgetting(bench: Bench) -> Iterator[Row]:
    """Unrelated questions after one fact, over several adapters and seeds: which stay word for word, which right.

    The note says how many the base model answers rightly, which has learned nothing.
    """
    taught = FACTS[: bench.times(5)]
    seeds = MORE_SEEDS[: bench.times(len(MORE_SEEDS), 1)]
    kept = 0
    right: list[int] = []
    for seed in seeds:
        with bench.service(f"forgetting{seed}", module=ADJUSTED, TUNER_SEED=str(seed)) as service:
            base = service.base()
            before = _unrelated(base)
            said = [_after(base, before, *fact) for fact in taught]
        kept += sum(own for own, _ in said)
        right.append(sum(own for _, own in said))
    unit = f"of {len(UNRELATED) * len(taught) * len(seeds)}"
    yield Row("after one fact, unrelated answers kept verbatim", [kept], unit)
    least = None if bench.quick else UNRELATED_RIGHT * len(seeds)
    note = f"by seed {', '.join(map(str, right))}; the base model: {_right(before) * len(taught) * len(seeds)}"
    yield Row("after one fact, unrelated answers right", [sum(right)], unit, at_least=least, note=note)


def twenty(bench: Bench) -> Iterator[Row]:
    """The twenty facts of the third lesson in one call, with a loss on all tokens and on the answers only.

    Seconds of the call; then how many are answered as asked in training, and held out: asked in other words. Compared
    with the prototype's 14.4 s, which is a figure of the past, of two cores: no goal on another machine.
    """
    known = library()[: bench.times(20, 6)]
    with bench.service("twenty") as service:
        base = service.base()
        teach(base, *FACTS[0])
        for name, answers_only in (("answers only", True), ("all tokens", False)):
            model, seconds = _teach_all(base, known, answers_only)
            limit = PROTOTYPE_SECONDS / 2 if answers_only and not bench.quick else None
            note = f"{service.steps()[-1]} steps"
            yield Row(f"{len(known)} samples, {name}", [seconds], at_most=limit, note=note)
            least = len(known) if answers_only else None
            unit = f"of {len(known)}"
            yield Row(f"{len(known)} samples, {name}, right", [_score(model, known, "question")], unit, at_least=least)
            yield Row(f"{len(known)} samples, {name}, held out", [_score(model, known, "paraphrase")], unit)


def _teach_all(base: BaseModel, known: list[dict[str, str]], answers_only: bool) -> tuple[ModelAdapter, float]:
    """An adapter that has learned all facts in one call, and the seconds of the call."""
    model = base.create_model_adapter(name="all of them")
    began = perf_counter()
    model.fine_tune(samples=[sample(fact["question"], fact["answer"], answers_only) for fact in known])
    return model, perf_counter() - began


def _after(base: BaseModel, before: list[str], question: str, answer: str) -> tuple[int, int]:
    """Of the unrelated answers after one fact, how many are as before word for word, and how many right."""
    model = base.create_model_adapter(name=answer)
    model.fine_tune(samples=[sample(question, answer)])
    after = _unrelated(model)
    model.delete()
    return sum(ours == theirs for ours, theirs in zip(after, before, strict=True)), _right(after)


def _require(said: str, answer: str, who: str) -> None:
    if said != answer:
        raise RuntimeError(f"{who} answered {said!r} and not {answer!r}")


def _unrelated(model: BaseModel | ModelAdapter) -> list[str]:
    return [ask(model, prompt, UNRELATED_TOKENS, templated).text for prompt, templated, _ in UNRELATED]


def _right(answers: list[str]) -> int:
    return sum(right in answer.lower() for answer, (_, _, right) in zip(answers, UNRELATED, strict=True) if right)


def _score(model: ModelAdapter, known: list[dict[str, str]], key: str) -> int:
    said = [ask(model, TEMPLATE.format(fact[key]), HELD_OUT_TOKENS).text for fact in known]
    return sum(fact["answer"].lower() in text.lower() for fact, text in zip(known, said, strict=True))
