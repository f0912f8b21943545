"""Generations of the decoder, with a scripted server in llama.cpp's place; and the real one with a hundred adapters."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.service import paths
from helpers.service.local import decoder, model_files
from helpers.service.local.decoder import Decoder, Sampling
from helpers.service.refusals import CallerGone, Failed, TookTooLong
from tests.support.waiting import wait_until


class FakeServer:
    """Answers with the name of the adapter that is switched on; counts how many of it are alive."""

    alive: set[FakeServer]
    most_alive: int
    made: list[list[str]]
    make_seconds: float
    may_be_made: threading.Event
    damaged: set[str]
    hold: threading.Event

    @classmethod
    def reset(cls) -> None:
        cls.alive, cls.most_alive, cls.made = set(), 0, []
        cls.make_seconds, cls.damaged = 0.0, set()
        cls.may_be_made, cls.hold = threading.Event(), threading.Event()
        cls.may_be_made.set()

    def __init__(self, adapters: list[Path]) -> None:
        FakeServer.most_alive = max(FakeServer.most_alive, len(FakeServer.alive) + 1)
        time.sleep(FakeServer.make_seconds)
        FakeServer.may_be_made.wait(5)
        self.names = [path.name for path in adapters]
        FakeServer.made.append(self.names)
        if FakeServer.damaged & set(self.names):
            raise RuntimeError("Failed to init server, please check the input params.")
        self.token = Token(self)
        FakeServer.alive.add(self.token)

    def handle_completions(self, request, on_chunk):
        on = [lora["id"] for lora in request["lora"] if lora["scale"] == 1.0]
        text = self.names[on[0]] if on else "base"
        ended = False
        while request["prompt"] == "long" and not ended and not FakeServer.hold.wait(0.01):
            ended = on_chunk({"choices": [{"text": "", "finish_reason": None}]})
        on_chunk({"choices": [{"text": text, "finish_reason": "stop"}]})

    def __del__(self) -> None:
        FakeServer.alive.discard(getattr(self, "token", None))


class Token:
    """Stands for a server in the set of those alive, without keeping it alive."""

    def __init__(self, server: FakeServer) -> None:
        pass


@pytest.fixture
def subject(monkeypatch, tmp_path) -> Decoder:
    FakeServer.reset()
    monkeypatch.setattr(decoder, "_server", lambda gguf, adapters, key, threads: FakeServer(list(adapters)))
    monkeypatch.setattr(decoder, "LOOK_SECONDS", 0.005)
    made = Decoder(tmp_path / "model.gguf")
    yield made
    FakeServer.hold.set()
    made.close()


def adapter(folder: Path, name: str, size: int = 10) -> Path:
    (folder / name).write_bytes(b"x" * size)
    return folder / name


def ask(subject: Decoder, path: Path | None, prompt: str = "q", given_up=None) -> str:
    return subject.complete(prompt, Sampling(8), path, given_up)[0]


def test_an_adapter_is_loaded_once_and_the_base_needs_none(subject, tmp_path):
    one = adapter(tmp_path, "one")
    assert [ask(subject, path) for path in (None, one, one, None)] == ["base", "one", "one", "base"]
    assert FakeServer.made == [[], ["one"]]


def test_when_the_free_cores_change_the_next_generation_is_made_behind_the_answers(subject, tmp_path):
    one = adapter(tmp_path, "one")
    ask(subject, one)
    FakeServer.may_be_made.clear()
    subject._threads = lambda: 1
    assert ask(subject, one) == "one"
    assert FakeServer.made == [[], ["one"]]  # answered by the generation that was there
    FakeServer.may_be_made.set()
    wait_until(lambda: subject.threads == 1)
    assert FakeServer.made == [[], ["one"], ["one"]]  # with the adapters of the one before
    assert ask(subject, one) == "one"
    assert len(FakeServer.made) == 3


def test_a_room_that_arrives_at_once_costs_few_generations_not_one_each(subject, tmp_path):
    FakeServer.make_seconds = 0.05
    files = [adapter(tmp_path, f"{number}") for number in range(30)]
    with ThreadPoolExecutor(30) as room:
        assert list(room.map(lambda path: ask(subject, path), files)) == [path.name for path in files]
    assert len(FakeServer.made) <= 5
    assert set(FakeServer.made[-1]) == {path.name for path in files}


def test_while_anyone_is_answered_the_next_generation_holds_up_nobody(subject, tmp_path):
    loaded, new = adapter(tmp_path, "loaded"), adapter(tmp_path, "new")
    ask(subject, loaded)
    FakeServer.may_be_made.clear()
    with ThreadPoolExecutor(2) as pool:
        answered = pool.submit(ask, subject, None, "long")
        wait_until(lambda: subject._current.users)
        waits = pool.submit(ask, subject, new)
        time.sleep(0.05)
        assert [ask(subject, None), ask(subject, loaded)] == ["base", "loaded"]
        assert not waits.done()
        FakeServer.may_be_made.set()
        assert waits.result(5) == "new"
        FakeServer.hold.set()
        assert answered.result(5) == "base"


def test_when_nobody_is_answered_the_old_generation_leaves_before_the_next_is_made(subject, tmp_path):
    FakeServer.make_seconds = 0.1
    files = [adapter(tmp_path, name) for name in "abc"]
    with ThreadPoolExecutor(2) as pool:
        for path in files:
            waits = pool.submit(ask, subject, path)
            time.sleep(0.03)
            assert ask(subject, None) == "base"  # who comes meanwhile waits for the same one
            assert waits.result(5) == path.name
    assert FakeServer.most_alive == 1
    assert FakeServer.made == [[], ["a"], ["b", "a"], ["c", "b", "a"]]


def test_tokens_and_templates_wait_for_the_next_generation_too(subject, tmp_path, monkeypatch):
    replies = {"/tokenize": {"tokens": [7]}, "/apply-template": {"prompt": "user: q"}}
    monkeypatch.setattr(Decoder, "_post", lambda self, generation, path, body: replies[path])
    FakeServer.make_seconds = 0.1
    with ThreadPoolExecutor(1) as pool:
        for name, call, reply in (("a", subject.tokenize, [7]), ("b", subject.apply_template, "user: q")):
            waits = pool.submit(ask, subject, adapter(tmp_path, name))
            wait_until(lambda: subject._current.server is None)
            assert call("q") == reply
            assert waits.result(5) == name


def test_a_damaged_file_asked_for_in_a_quiet_moment_leaves_the_base_and_the_others_usable(subject, tmp_path):
    good, bad = adapter(tmp_path, "good"), adapter(tmp_path, "bad")
    ask(subject, good)
    FakeServer.damaged = {"bad"}
    for path, text in ((None, "base"), (good, "good")):
        with pytest.raises(Failed, match="can't be read"):
            ask(subject, bad)
        assert ask(subject, path) == text


def test_never_more_than_two_generations_live_even_when_old_ones_are_in_use(subject, tmp_path):
    files = [adapter(tmp_path, f"{number}") for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, subject, files[0], "long")
        wait_until(lambda: FakeServer.alive and subject._current.users)
        assert ask(subject, files[1]) == "1"  # the second generation
        third = pool.submit(ask, subject, files[2])  # would be the third while the first is in use
        time.sleep(0.05)
        assert not third.done()
        assert ask(subject, None) == "base"
        FakeServer.hold.set()
        assert (first.result(5), third.result(5)) == ("0", "2")
    assert FakeServer.most_alive == 2
    assert len(FakeServer.alive) == 1


def test_the_least_recently_used_leave_and_come_back(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "MAX_ADAPTER_BYTES", 30)
    files = [adapter(tmp_path, f"{number}") for number in range(5)]
    for path in [*files, files[0], files[4]]:
        assert ask(subject, path) == path.name
    assert FakeServer.made[-1] == ["0", "4", "3"]
    assert len(FakeServer.made) == 1 + 5 + 1


def test_one_adapter_larger_than_the_bound_is_loaded_all_the_same(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "MAX_ADAPTER_BYTES", 5)
    assert [ask(subject, adapter(tmp_path, name)) for name in "ab"] == ["a", "b"]
    assert FakeServer.made[-1] == ["b"]


def test_files_that_a_fine_tune_replaced_are_left_out(subject, tmp_path):
    old, new = adapter(tmp_path, "old"), adapter(tmp_path, "new")
    ask(subject, old)
    old.unlink()
    ask(subject, new)
    assert FakeServer.made[-1] == ["new"]


def test_a_damaged_file_is_told_to_its_owner_and_harms_no_other(subject, tmp_path):
    good, bad, late = (adapter(tmp_path, name) for name in ("good", "bad", "late"))
    FakeServer.damaged = {"bad"}
    ask(subject, good)
    with pytest.raises(Failed, match="can't be read"):
        ask(subject, bad)
    assert [ask(subject, path) for path in (good, late, good)] == ["good", "late", "good"]


def test_what_must_be_seen_is_asked_for_by_a_grammar_and_a_stop_by_its_text(subject, monkeypatch):
    asked = []
    real = FakeServer.handle_completions
    monkeypatch.setattr(
        FakeServer, "handle_completions", lambda self, *call: asked.append(call[0]) or real(self, *call)
    )
    subject.complete("q", Sampling(8))
    subject.complete("q", Sampling(8, stop="</s>", visible=True))
    assert [(request.get("grammar"), request["stop"]) for request in asked] == [
        (None, []),
        (decoder.VISIBLE, ["</s>"]),
    ]


def test_who_gives_up_while_a_generation_is_waited_for_is_let_go_at_once(subject, tmp_path):
    files = [adapter(tmp_path, f"{number}") for number in range(3)]
    given_up = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, subject, files[0], "long")
        wait_until(lambda: subject._current.users)
        ask(subject, files[1])
        waits = pool.submit(ask, subject, files[2], "q", given_up)
        time.sleep(0.02)
        given_up.set()
        with pytest.raises(CallerGone):
            waits.result(5)
        FakeServer.hold.set()
        first.result(5)
    assert ask(subject, files[2]) == "2"


def test_an_answer_that_no_one_waits_for_ends_with_the_next_token(subject):
    given_up = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, subject, None, "long", given_up)
        time.sleep(0.03)
        assert not answer.done()
        given_up.set()
        with pytest.raises(CallerGone):
            answer.result(5)


def test_an_answer_has_a_time_limit(subject, monkeypatch):
    monkeypatch.setattr(decoder, "COMPLETION_SECONDS", 0.05)
    with pytest.raises(TookTooLong, match=r"longer than 0.05 seconds"):
        ask(subject, None, "long")
    assert ask(subject, None) == "base"


def test_the_wait_for_an_adapter_has_the_same_limit(subject, tmp_path, monkeypatch):
    files = [adapter(tmp_path, f"{number}") for number in range(3)]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, subject, files[0], "long")
        wait_until(lambda: subject._current.users)
        ask(subject, files[1])
        monkeypatch.setattr(decoder, "COMPLETION_SECONDS", 0.05)
        with pytest.raises(TookTooLong, match="longer than"):
            ask(subject, files[2])
        FakeServer.hold.set()
        first.result(5)


# --- the real one


def lora_files(folder: Path, number: int, rank: int = 8) -> list[Path]:
    """Adapters of all layers that differ, made up in milliseconds: random, and large enough to change every answer."""
    import numpy as np

    from helpers.service.tuner.adapter_files import write_gguf

    sizes = {"gate_proj": (1536, 576), "up_proj": (1536, 576), "down_proj": (576, 1536)}
    files = [folder / f"{index}.gguf" for index in range(number)]
    for index, path in enumerate(files):
        random = np.random.default_rng(index)
        shapes = {
            (layer, name, half): shape
            for layer in range(30)
            for name, (rows, columns) in sizes.items()
            for half, shape in (("A", (rank, columns)), ("B", (rows, rank)))
        }
        write_gguf(path, {key: random.normal(0, 0.06, shape) for key, shape in shapes.items()}, 2.0 * rank)
    return files


def resident_mb() -> float:
    psutil = pytest.importorskip("psutil")
    return psutil.Process().memory_info().rss / 1e6


@pytest.mark.model
def test_a_hundred_adapters_stay_within_memory_and_come_back_with_the_same_answer(tmp_path):
    files = lora_files(tmp_path, 100)
    subject = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    before = resident_mb()

    def answer(path: Path) -> str:
        return subject.complete("Once upon a time", Sampling(8), path)[0]

    with ThreadPoolExecutor(16) as pool:
        first = list(pool.map(answer, files))
        after_one_round = resident_mb()
        assert list(pool.map(answer, files[:40])) == first[:40]  # these have left meanwhile
        alone = [answer(path) for path in files[::25]]
    assert alone == first[::25]
    assert len(set(first)) > 90
    assert sum(path.stat().st_size for path in subject._current.adapters) <= decoder.MAX_ADAPTER_BYTES
    bound = before + 2 * decoder.MAX_ADAPTER_BYTES / 1e6 + 350  # two generations at the most
    assert max(after_one_round, resident_mb()) < bound
    subject.close()


@pytest.mark.model
def test_memory_comes_back_when_generations_of_large_adapters_leave(tmp_path):
    """glibc keeps what is freed in pieces of up to 32 MB, unless it is asked to return it."""
    files = lora_files(tmp_path, 12, rank=32)
    subject = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    for path in files:
        subject.complete("q", Sampling(1), path)
    grown = resident_mb()
    for path in files:
        path.unlink()
    (tmp_path / "small").mkdir()
    small = lora_files(tmp_path / "small", 1, rank=1)
    subject.complete("q", Sampling(1), small[0])
    assert resident_mb() < grown - 100
    subject.close()


@pytest.mark.model
def test_a_real_answer_that_is_given_up_or_too_long_ends_within_tokens(monkeypatch):
    subject = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    monkeypatch.setattr(decoder, "COMPLETION_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(TookTooLong, match="longer than 0.5 seconds"):
        subject.complete("Once upon a time", Sampling(2000))
    assert time.monotonic() - started < 3
    monkeypatch.setattr(decoder, "COMPLETION_SECONDS", 300)
    given_up = threading.Event()
    threading.Timer(0.3, given_up.set).start()
    with pytest.raises(CallerGone):
        subject.complete("Once upon a time", Sampling(2000), None, given_up)
    assert subject.complete("Once upon a time", Sampling(4))[0]
    subject.close()


@pytest.mark.model
def test_a_damaged_real_file_harms_no_other(tmp_path):
    good, bad = lora_files(tmp_path, 2)
    bad.write_bytes(bad.read_bytes()[:100_000])
    subject = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    before = subject.complete("Once upon a time", Sampling(8), good)
    with pytest.raises(Failed, match="can't be read"):
        subject.complete("Once upon a time", Sampling(8), bad)
    assert subject.complete("Once upon a time", Sampling(8), good) == before
    subject.close()
