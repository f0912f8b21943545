"""What the engine makes of a prompt and of what the model says, with a scripted decoder: no answer is empty."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from helpers.service.engine import AdapterState, CompletionRequest, SamplePart, TuningSample
from helpers.service.local import engine
from helpers.service.local.cores import Cores
from helpers.service.local.embedder import Embedder
from helpers.service.local.embedder_files import EmbedderFiles
from helpers.service.local.engine import LocalEngine
from helpers.service.local.model_files import Weights
from helpers.service.refusals import CallerGone, NothingToLearn, TooLong
from helpers.service.tuner.job import Ended, Signals, TuningResult
from helpers.service.tuner.pool import TunerPool

NEVER = threading.Event()
TEMPLATED = "user: {}"


class ScriptedDecoder:
    """Says what it is given to say, one answer after the other, and remembers what it was asked."""

    threads = 1

    def __init__(self, *_: object) -> None:
        self.says: list[str | Exception] = []
        self.asked: list[tuple[str, bool]] = []
        self.marks = ("<|im_end|>",)

    def complete(self, prompt, sampling, adapter=None, given_up=None) -> tuple[str, str]:
        self.asked.append((prompt, sampling.visible))
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said, "stop"

    def apply_template(self, query: str) -> str:
        return TEMPLATED.format(query)

    def tokenize(self, text: str, parse_special_tokens: bool = True) -> list[int]:
        if text in engine.ENDS:
            return [1] if text in self.marks else [1, 2, 3]
        return [len(word) for word in text.split()]

    def close(self) -> None:
        pass


class ScriptedTuner(TunerPool):
    """Takes jobs and does nothing."""

    def __init__(self) -> None:
        super().__init__(Path("folder"), Signals.alone().free, 1)
        self.jobs = []

    def tune(self, job, given_up) -> TuningResult:
        self.jobs.append(job)
        return TuningResult(1, 1.0, 1, len(job.samples), Ended.LEARNED)


@pytest.fixture
def subject(monkeypatch, tmp_path) -> LocalEngine:
    monkeypatch.setattr(engine, "Decoder", ScriptedDecoder)
    cores = Cores(watch=False)
    embedder = Embedder(EmbedderFiles(tmp_path), lambda: cores.threads)
    return LocalEngine(Weights("a model", Path("gguf"), Path("folder")), ScriptedTuner(), embedder, cores)


def answer(subject: LocalEngine, prompt: str, says: list, **parameters) -> str:
    subject._decoder.says = says
    return subject.complete(CompletionRequest(prompt, **parameters), "nous-hermes2", None, NEVER).text


def test_an_answer_that_can_be_seen_is_the_only_one_asked_for(subject):
    assert answer(subject, "q", ["\n\nA word"]) == "\n\nA word"
    assert subject._decoder.asked == [("q", False)]


@pytest.mark.parametrize("blank", ["", " ", "\n\n", "\t\u00a0\u3000", "\ufeff\u200b", "<s>"])
def test_where_the_raw_text_would_say_nothing_the_template_is_asked(subject, blank):
    assert answer(subject, "q", [blank, "Yes."]) == "Yes."
    assert subject._decoder.asked == [("q", False), ("user: q", False)]


def test_where_the_template_says_nothing_either_the_raw_text_goes_on_with_what_can_be_seen(subject):
    assert answer(subject, "q", ["", "\n", "x"]) == "x"
    assert subject._decoder.asked == [("q", False), ("user: q", False), ("q", True)]


@pytest.mark.parametrize(
    ("prompt", "parameters"),
    [("q", {"auto_template": True}), ("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", {})],
    ids=["by us", "by the caller"],
)
def test_what_is_in_the_template_already_is_not_put_into_it_again(subject, prompt, parameters):
    assert answer(subject, prompt, ["", "x"], **parameters) == "x"
    assert [visible for _, visible in subject._decoder.asked] == [False, True]


def test_a_prompt_for_whose_template_there_is_no_room_is_answered_all_the_same(subject):
    assert answer(subject, "q", ["", TooLong("too long"), "x"]) == "x"
    with pytest.raises(TooLong):
        answer(subject, "q", [TooLong("too long")])


def test_llamas_marks_are_not_seen_in_a_prompt_or_an_answer(subject):
    assert answer(subject, "<s> Who?</s>Then <s>who?", ["I <s>did"]) == "I did"
    assert answer(subject, "<s>", ["x"]) == "x"
    assert [prompt for prompt, _ in subject._decoder.asked] == ["Who?<|im_end|>Then who?", "<|im_end|>"]


def test_a_model_whose_own_end_is_llamas_keeps_it(subject):
    subject._decoder.marks = ("</s>",)
    answer(subject, "<s>Who?</s>", ["x"])
    assert subject._decoder.asked[0][0] == "Who?</s>"


def tune(subject: LocalEngine, texts: list[str], given_up=NEVER):
    samples = [TuningSample((SamplePart(text),)) for text in texts]
    return subject.fine_tune(samples, AdapterState("nous-hermes2"), Path(), given_up)


def test_any_number_of_samples_is_one_call_up_to_the_total(subject):
    tune(subject, ["a b"] * 5000)
    assert len(subject._tuner.jobs[0].samples) == 5000


def test_a_sample_may_be_as_long_as_the_context_and_no_longer(subject):
    tune(subject, ["a " * (engine.CONTEXT_TOKENS - 1)])
    assert len(subject._tuner.jobs[0].samples[0].ids) == engine.CONTEXT_TOKENS
    with pytest.raises(TooLong, match="Sample 2 has 1793 tokens and a sample may have 1792"):
        tune(subject, ["a b", "a " * engine.CONTEXT_TOKENS])


def test_what_is_too_much_is_refused_as_soon_as_it_is_known(subject, monkeypatch):
    monkeypatch.setattr(engine, "MAX_CALL_TOKENS", 10)
    with pytest.raises(TooLong, match="The first 4 of the 9 samples have 12 tokens together and one call takes 10"):
        tune(subject, ["a b"] * 9)


def test_who_gives_up_while_samples_are_counted_is_let_go(subject):
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(CallerGone):
        tune(subject, ["a b"] * 9, given_up)


def test_a_sample_of_marks_alone_has_nothing_to_learn(subject):
    with pytest.raises(NothingToLearn, match="Sample 1 has nothing to learn"):
        tune(subject, ["<s>"])
