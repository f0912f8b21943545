"""The recording and the replaying engine: by content, in any order, with state, and nothing made up."""

from __future__ import annotations

import threading

import pytest
from gradientai import Gradient

from helpers.service import refusals
from helpers.service.engine import AdapterState, CompletionRequest, SamplePart, TuningSample
from tests.stub.recorded_engine import RecordedEngine, RecordingEngine, load_recordings, save_recordings
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine

ASK = CompletionRequest("q")
NEVER = threading.Event()  # no one gives up here
FRESH = AdapterState("nous-hermes2")


def sample(text: str) -> list[TuningSample]:
    return [TuningSample((SamplePart(text),))]


@pytest.fixture
def recording() -> RecordingEngine:
    return RecordingEngine(FakeEngine())


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir()
    return made


def replayed(recording, tmp_path) -> RecordedEngine:
    """What was recorded, through the file."""
    save_recordings(recording, tmp_path / "recordings.json")
    return load_recordings(tmp_path / "recordings.json")


def test_state_matters_and_order_does_not(recording, tmp_path):
    before = recording.complete(ASK, "nous-hermes2", FRESH, NEVER)
    recording.fine_tune(sample("learned"), FRESH, folder(tmp_path, "a"), NEVER)
    after = recording.complete(ASK, "nous-hermes2", AdapterState("nous-hermes2", folder=tmp_path / "a"), NEVER)
    stub = replayed(recording, tmp_path)
    stub.fine_tune(sample("learned"), FRESH, folder(tmp_path, "b"), NEVER)
    tuned = AdapterState("nous-hermes2", folder=tmp_path / "b")
    assert stub.complete(ASK, "nous-hermes2", tuned, NEVER) == after
    assert stub.complete(ASK, "nous-hermes2", FRESH, NEVER) == before
    assert before != after


def test_repeated_questions_replay_their_answers_in_a_circle(recording, tmp_path):
    engine = recording._real
    answers = []
    for _ in range(2):
        answers.append(recording.complete(ASK, "nous-hermes2", None, NEVER))
        engine.fail = None
    recording.recordings[next(iter(recording.recordings))]["answers"][1]["text"] = "the second"
    stub = replayed(recording, tmp_path)
    texts = [stub.complete(ASK, "nous-hermes2", None, NEVER).text for _ in range(4)]
    assert texts == ["echo: q", "the second", "echo: q", "the second"]


def test_refusals_are_recorded_too(recording, tmp_path):
    recording._real.fail = refusals.TooLong("too long")
    with pytest.raises(refusals.TooLong):
        recording.complete(ASK, "nous-hermes2", None, NEVER)
    with pytest.raises(refusals.TooLong):
        recording.fine_tune(sample("x"), FRESH, folder(tmp_path, "a"), NEVER)
    stub = replayed(recording, tmp_path)
    with pytest.raises(refusals.TooLong, match="too long"):
        stub.complete(ASK, "nous-hermes2", None, NEVER)
    with pytest.raises(refusals.TooLong, match="too long"):
        stub.fine_tune(sample("x"), FRESH, folder(tmp_path, "b"), NEVER)


@pytest.mark.parametrize(
    ("request_", "base", "adapter"),
    [
        (CompletionRequest("other"), "nous-hermes2", None),
        (CompletionRequest("q", temperature=0.1), "nous-hermes2", None),
        (ASK, "bloom-560m", None),
        (ASK, "nous-hermes2", FRESH),
    ],
    ids=["prompt", "parameter", "base", "adapter"],
)
def test_what_was_not_recorded_is_refused_with_the_command(recording, tmp_path, request_, base, adapter):
    recording.complete(ASK, "nous-hermes2", None, NEVER)
    with pytest.raises(refusals.NotServed, match=r"python -m tests\.stub\.record"):
        replayed(recording, tmp_path).complete(request_, base, adapter, NEVER)


def test_recording_the_same_twice_writes_the_same(recording, tmp_path):
    recording.complete(ASK, "nous-hermes2", None, NEVER)
    recording.complete(CompletionRequest("b"), "nous-hermes2", None, NEVER)
    other = RecordingEngine(FakeEngine())
    other.complete(CompletionRequest("b"), "nous-hermes2", None, NEVER)
    other.complete(ASK, "nous-hermes2", None, NEVER)
    save_recordings(recording, tmp_path / "one.json")
    save_recordings(other, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


def test_what_is_recorded_of_others_is_kept_and_what_is_asked_anew_replaced(recording, tmp_path):
    others = {"another": {"refusal": None}}
    for given in (others, None):
        recording.recordings.clear()
        recording.complete(ASK, "nous-hermes2", None, NEVER)
        save_recordings(recording, tmp_path / "recordings.json", given)
        written = load_recordings(tmp_path / "recordings.json").recordings
        assert written == {**(given or {}), **recording.recordings}
    again = RecordingEngine(FakeEngine())
    again.complete(ASK, "nous-hermes2", None, NEVER)
    save_recordings(again, tmp_path / "recordings.json", written)
    assert load_recordings(tmp_path / "recordings.json").recordings == again.recordings


def test_a_collection_is_replayed_from_other_files_in_another_order(recording, tmp_path):
    """Vectors are recorded by text, and the stub keeps collections of its own."""

    def lesson(engine, name, *texts):
        paths = [folder(tmp_path, f"{name}-{number}") / "facts.txt" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        server = ThreadedServer(engine, folder(tmp_path, name)).start()
        try:
            gradient = Gradient(host=server.url, access_token="a-token-for-all", workspace_id="w")
            collection = gradient.create_rag_collection(name=name, slug="bge-large", filepaths=list(map(str, paths)))
            base = gradient.get_base_model(base_model_slug="nous-hermes2")
            rag = {"collectionId": collection.id_}
            return base.complete(query="Is Gouda Dutch?", rag=rag, max_generated_token_count=9).generated_output
        finally:
            server.stop()

    said = lesson(recording, "recorded", "Gouda is Dutch.", "Brie is French.")
    assert "Gouda is Dutch." in said
    assert lesson(replayed(recording, tmp_path), "replayed", "Brie is French.", "Gouda is Dutch.") == said
