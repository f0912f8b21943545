"""The engine on a cluster, with workers on threads instead of Ray: who is chosen, what travels, what a death leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from helpers.environment import LOCAL_TOKEN_VARIABLE
from helpers.service import __main__ as program
from helpers.service import commands, logs, refusals
from helpers.service import server as server_module
from helpers.service.calls import Calls
from helpers.service.cluster import engine as cluster_engine
from helpers.service.cluster import parcels, routing
from helpers.service.cluster.parcels import Inbox, Outbox, Parcel, SentAdapter, pack, unpack
from helpers.service.cluster.routing import Router, Work
from helpers.service.engine import AdapterState, CompletionRequest, Places, SamplePart, TuningSample
from helpers.service.http import metrics
from helpers.service.store import Store
from tests.conftest import TOKEN
from tests.stub.server import ThreadedServer
from tests.support.http_call import call, fetch
from tests.support.thread_workers import ThreadCluster
from tests.support.waiting import wait_until

NEVER = threading.Event()
QUESTION = CompletionRequest("What is it?")
FRESH = AdapterState("nous-hermes2")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Workers keep their adapters below this test's folder."""
    monkeypatch.setattr(parcels.tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def cluster():
    made = ThreadCluster()
    yield made
    made.close()


def samples(*texts: str) -> list[TuningSample]:
    return [TuningSample((SamplePart(text),)) for text in texts]


def tuned(cluster, folder, *texts: str, name: str = "adapter") -> AdapterState:
    """An adapter after a fine-tune, as the store would keep it."""
    into = folder / name / "v1"
    into.mkdir(parents=True)
    cluster.engine.fine_tune(samples(*texts), FRESH, into, NEVER)
    return replace(FRESH, folder=into)


def those_who(cluster, method: str) -> list:
    return [worker for worker in cluster.workers if method in worker.asked]


# --- who is chosen


def test_all_calls_on_an_adapter_go_to_one_worker_and_those_on_many_to_all(cluster, tmp_path):
    adapters = [tuned(cluster, tmp_path, f"text {number}", name=f"adapter {number}") for number in range(12)]
    assert those_who(cluster, "fine_tune") == cluster.workers
    for adapter in adapters:
        before = [worker.asked.count("complete") for worker in cluster.workers]
        for _ in range(3):
            cluster.engine.complete(QUESTION, "nous-hermes2", adapter, NEVER)
        after = [worker.asked.count("complete") for worker in cluster.workers]
        assert sorted(map(int.__sub__, after, before)) == [0, 0, 3]
    assert cluster.store.fetched == []  # who tuned an adapter has it


def test_an_adapter_moves_only_if_its_worker_has_gone():
    def first(names: list[str], key: str) -> str:
        return max(names, key=lambda name: routing._score(name, key))

    names, keys = [f"worker {number}" for number in range(5)], [f"adapter {number}" for number in range(200)]
    before = {key: first(names, key) for key in keys}
    after = {key: first(names[:-1], key) for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == names[-1]}
    assert all(20 < list(before.values()).count(name) < 60 for name in names)


def test_calls_on_base_models_are_spread_over_all_workers(cluster):
    for worker in cluster.workers:
        worker.engine.complete_seconds = 0.2
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER), range(6)))
    assert [worker.asked.count("complete") for worker in cluster.workers] == [2, 2, 2]


def test_a_worker_that_tunes_leaves_the_next_fine_tune_to_the_least_busy(cluster, tmp_path):
    for worker in cluster.workers:
        worker.engine.tune_seconds = 0.3

    def tune(number: int) -> None:
        into = tmp_path / "one adapter" / f"v{number}"  # all are first for the same worker
        into.mkdir(parents=True)
        cluster.engine.fine_tune(samples("text"), FRESH, into, NEVER)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(tune, range(3)))
    assert [worker.asked.count("fine_tune") for worker in cluster.workers] == [1, 1, 1]


def test_places_and_load_are_those_of_all_workers_and_follow_them(cluster):
    one = cluster.workers[0].worker.about().places
    assert cluster.engine.places == Places(3 * one.completions, 3 * one.tunes)
    assert cluster.engine.load().workers == 3
    cluster.add()
    assert cluster.engine.places.tunes == 4 * one.tunes
    for worker in list(cluster.workers):
        worker.leave()
    assert cluster.engine.places == one  # so that who asks is told that there is none
    assert cluster.engine.load().workers == 0


# --- what travels


def test_an_adapter_comes_back_as_it_would_from_a_local_engine(cluster, tmp_path):
    adapter = tuned(cluster, tmp_path, "It is a lamp.")
    assert json.loads((adapter.folder / "learned.json").read_text()) == ["It is a lamp."]
    into = tmp_path / "adapter" / "v2"
    into.mkdir()
    outcome = cluster.engine.fine_tune(samples("It is a boat."), adapter, into, NEVER)
    assert (outcome.trainable_tokens, outcome.steps, outcome.sum_loss) == (1, 1, 5.0)  # it knew of the first call
    assert json.loads((into / "learned.json").read_text()) == ["It is a lamp.", "It is a boat."]
    assert json.loads((adapter.folder / "learned.json").read_text()) == ["It is a lamp."]
    answer = cluster.engine.complete(QUESTION, "nous-hermes2", replace(adapter, folder=into), NEVER)
    assert answer.text == "It is a boat."


def test_a_worker_that_lacks_an_adapter_fetches_it_once(cluster, tmp_path):
    adapter = tuned(cluster, tmp_path, "It is a lamp.")
    those_who(cluster, "fine_tune")[0].leave()
    for _ in range(3):
        assert cluster.engine.complete(QUESTION, "nous-hermes2", adapter, NEVER).text == "It is a lamp."
    assert cluster.store.fetched == ["ticket 0"]


def test_everything_else_that_an_engine_does_is_done_by_a_worker(cluster):
    assert [token.piece for token in cluster.engine.tokenize("two words")] == ["two", "words"]
    assert len(cluster.engine.next_tokens("A", 4, "nous-hermes2", None, NEVER)) == 4
    assert [len(vector) for vector in cluster.engine.embed(("one", "two"), NEVER)] == [1024, 1024]
    assert cluster.engine.embedding_tokens(("one", "two three"), NEVER) == 3
    cluster.workers[1].engine.preparing = ("Downloading", 0.5)
    cluster.router.join(cluster.workers[1], cluster.workers[1].worker.about())
    assert cluster.engine.doing == ("Downloading", 0.5)


@pytest.mark.parametrize(
    "refusal", [refusals.TooLong("Too long."), refusals.LossRanAway(), refusals.Busy("Not yet.", 7)]
)
def test_a_refusal_arrives_as_it_was_raised(cluster, refusal):
    for worker in cluster.workers:
        worker.engine.fail = refusal
    with pytest.raises(type(refusal)) as raised:
        cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER)
    assert vars(raised.value) == vars(refusal)


def test_an_unexpected_error_is_a_sentence_without_its_text_and_the_worker_lives(cluster):
    for worker in cluster.workers:
        worker.engine.fail = ValueError("a secret prompt")
    with pytest.raises(refusals.Failed, match=r"^The call failed in a worker on .+ \(ValueError\)\.$"):
        cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER)
    assert len(cluster.router.workers) == 3


def test_a_call_that_is_given_up_is_ended_in_its_worker_and_keeps_nothing(cluster, tmp_path):
    for worker in cluster.workers:
        worker.engine.tune_seconds = 60.0
    into, given_up = tmp_path / "adapter" / "v1", threading.Event()
    into.mkdir(parents=True)
    threading.Timer(0.1, given_up.set).start()
    with pytest.raises(refusals.CallerGone):
        cluster.engine.fine_tune(samples("text"), FRESH, into, given_up)
    assert sum(worker.engine.given_up for worker in cluster.workers) == 1
    assert list(into.iterdir()) == []


def test_a_call_that_was_given_up_before_it_came_ends_at_once(cluster):
    worker = cluster.workers[0]
    worker.engine.complete_seconds = 60.0
    worker.worker.give_up("early")
    assert isinstance(worker.worker.call("early", "complete", QUESTION, "x", None), refusals.CallerGone)


# --- what a death leaves


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_fine_tune_whose_worker_dies_is_done_by_another_as_if_it_were_the_first(cluster, tmp_path, deaths):
    adapter = tuned(cluster, tmp_path, "It is a lamp.")
    killed = []
    for worker in cluster.workers:
        worker.engine.tune_seconds = 0.1

        def die(worker=worker) -> None:
            if len(killed) < deaths:
                killed.append(worker)
                threading.Timer(0.03, worker.kill).start()

        worker.on_ask = die
    into = tmp_path / "adapter" / "v2"
    into.mkdir()
    assert cluster.engine.fine_tune(samples("It is a boat."), adapter, into, NEVER).sum_loss == 5.0
    assert json.loads((into / "learned.json").read_text()) == ["It is a lamp.", "It is a boat."]
    assert len(killed) == deaths
    assert not set(killed) & set(cluster.router.workers)


def test_an_answer_whose_worker_dies_comes_from_another(cluster, tmp_path):
    adapter = tuned(cluster, tmp_path, "It is a lamp.")
    those_who(cluster, "fine_tune")[0].kill()
    assert cluster.engine.complete(QUESTION, "nous-hermes2", adapter, NEVER).text == "It is a lamp."
    assert len(cluster.router.workers) == 2
    assert cluster.router.why_none == "it was killed"  # which is said if the others go too


def test_a_call_that_workers_die_of_is_given_up_with_a_sentence(tmp_path):
    cluster = ThreadCluster(cluster_engine.TRIES + 1)
    for worker in cluster.workers:
        worker.on_ask = worker.kill
        worker.engine.complete_seconds = 0.1
    with pytest.raises(refusals.Failed, match="4 workers ended one after another .* changed nothing"):
        cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER)
    assert len(cluster.router.workers) == 1
    cluster.close()


def test_a_call_waits_for_a_worker_that_is_started_again(cluster):
    for worker in list(cluster.workers):
        worker.leave()
    threading.Timer(0.2, cluster.add).start()
    assert cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER).text == "echo: What is it?"


def test_a_call_that_no_worker_comes_for_is_refused_with_the_reason(cluster, monkeypatch):
    monkeypatch.setattr(routing, "WAIT_SECONDS", 0.1)
    for worker in list(cluster.workers):
        worker.leave()
    with pytest.raises(refusals.Busy, match=r"no worker at the moment \(it was dismissed\), and nothing was done"):
        cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER)


def test_who_hangs_up_waits_for_no_worker(cluster):
    for worker in list(cluster.workers):
        worker.leave()
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(refusals.CallerGone):
        cluster.engine.complete(QUESTION, "nous-hermes2", None, given_up)


def test_a_cluster_without_its_head_refuses_with_its_sentence(cluster):
    cluster.router.broken = "The head is gone: start it."
    with pytest.raises(refusals.Failed, match="^The head is gone: start it.$"):
        cluster.engine.complete(QUESTION, "nous-hermes2", None, NEVER)
    assert cluster.engine.broken == "The head is gone: start it."


def test_a_worker_that_has_left_is_not_taken_for_the_one_that_replaced_it(cluster):
    old = cluster.workers[0]
    new = ThreadCluster(1).workers[0]
    new.name = old.name
    assert cluster.router.join(new, new.worker.about())
    cluster.router.leave(old, "it died")
    assert old not in cluster.router.workers and new in cluster.router.workers


def test_the_store_commits_what_a_worker_tuned_and_the_sdk_sees_no_difference(cluster, tmp_path):
    from gradientai import Gradient

    server = ThreadedServer(cluster.engine, tmp_path / "data", TOKEN).start()
    try:
        base = Gradient(host=server.url, access_token=TOKEN, workspace_id="w").list_models(only_base=True)[-1]
        adapter = base.create_model_adapter(name="mine")
        adapter.fine_tune(samples=[{"inputs": "It is a lamp."}])
        those_who(cluster, "fine_tune")[0].kill()
        adapter.fine_tune(samples=[{"inputs": "It is a boat."}])
        assert adapter.complete(query="What is it?").generated_output == "It is a boat."
        [version] = (tmp_path / "data" / "adapters" / adapter.id).iterdir()
        assert json.loads((version / "learned.json").read_text()) == ["It is a lamp.", "It is a boat."]
    finally:
        server.stop()


# --- the command


WITHOUT_RAY = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ray" else find(name, *rest)
from helpers.service import __main__
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_where_ray_is_missing_a_sentence_says_how_to_install_it(tmp_path):
    given = ["--ray", "local", "--quiet", "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run([sys.executable, "-c", WITHOUT_RAY, *given], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Gradient service failed: Ray is not installed here")
    assert 'pip install "ray>=2.50,<3"' in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--ray-workers", "2"], "--ray-workers goes with --ray local"),
        (["--ray", "10.0.0.1:6379", "--ray-workers", "2"], "--ray-workers goes with --ray local"),
        (["--ray", "local", "--ray-workers", "0"], "0 is no number of workers"),
        (["--ray", "local", "--token", "a-token-for-all"], "set GRADIENT_LOCAL_TOKEN instead"),
        (["--ray", "local", "--seed", "1"], "leave it out with --ray"),
    ],
)
def test_what_does_not_go_with_ray_is_said_so(capsys, given, said):
    with pytest.raises(SystemExit):
        program._parse(given)
    assert said in capsys.readouterr().err


def test_a_token_of_the_environment_goes_with_ray(monkeypatch):
    monkeypatch.setenv(LOCAL_TOKEN_VARIABLE, TOKEN)
    options = program._parse(["--ray", "local"])
    assert (options.token, options.ray_workers) == (TOKEN, 2)


def test_status_and_metrics_say_how_many_workers_there_are(cluster, tmp_path):
    server = ThreadedServer(cluster.engine, tmp_path / "data").start()
    try:
        found = metrics.read(fetch(server, "GET", "/metrics")[1].decode())
        assert found[metrics.WORKERS] == 3
        assert commands._of_the_machine(found)[0] == "workers 3"
        assert call(server, "GET", "/health")[1]["load"]["workers"] == 3
    finally:
        server.stop()


def test_a_service_whose_engine_is_broken_ends_and_says_why(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(server_module, "make_calls", lambda *_: Calls(cluster.engine, Store(tmp_path / "data")))
    monkeypatch.setattr(server_module, "end_cleanly_on_signals", lambda _: None)  # pytest's own stay
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    (tmp_path / "data").mkdir()
    threading.Timer(0.5, setattr, (cluster.router, "broken", "The head is gone.")).start()
    options = program._parse(["--port", "0", "--quiet"])
    options.says_token = False
    assert server_module.run(options, tmp_path / "data", any_host=False) == "The head is gone."


# --- parcels


@pytest.fixture
def filled(tmp_path):
    folder = tmp_path / "filled"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"\x00\x01" * 50)
    (folder / "b.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_parcel_is_what_was_packed_and_named_by_it(filled, tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    parcel = pack(filled)
    unpack(parcel, into)
    assert pack(into) == parcel
    assert parcel.size == 102
    (into / "b.json").write_text("[]", encoding="utf-8")
    assert pack(into).key != parcel.key
    for name, content in (("ab", "c"), ("a", "bc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(content, encoding="utf-8")
    assert pack(tmp_path / "ab").key != pack(tmp_path / "a").key


def test_a_parcel_writes_nowhere_else(tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    unpack(Parcel("", {"../outside": b"x"}), into)
    assert not (tmp_path / "outside").exists()


def test_a_version_is_packed_once_and_the_oldest_leave_when_there_are_too_many(filled, monkeypatch):
    put: list[Parcel] = []

    def remember(parcel: Parcel) -> int:
        put.append(parcel)
        return len(put)

    outbox = Outbox(remember)
    adapter = replace(FRESH, folder=filled)
    assert outbox.send(adapter) == outbox.send(adapter) == SentAdapter(FRESH, put[0].key, (1,))
    other = filled.with_name("other")
    filled.rename(other)
    monkeypatch.setattr(parcels, "SENT_BYTES", 150)
    assert outbox.send(replace(FRESH, folder=other)).ticket == (2,)
    other.rename(filled)
    assert outbox.send(adapter).ticket == (3,)


def test_a_worker_keeps_as_many_bytes_as_it_may_and_never_removes_what_is_in_use(filled):
    made = {number: Parcel(f"key {number}", {"file": bytes(100)}) for number in range(6)}
    fetched = []

    def fetch(number: int) -> Parcel:
        fetched.append(number)
        return made[number]

    inbox = Inbox(fetch, most=250)
    with inbox.open(SentAdapter(FRESH, "key 0", (0,))) as first:
        for number in range(1, 6):
            with inbox.open(SentAdapter(FRESH, f"key {number}", (number,))) as adapter:
                assert (adapter.folder / "file").stat().st_size == 100
        assert (first.folder / "file").exists()
    assert sorted(path.name for path in inbox.folder.glob("key *")) == ["key 0", "key 5"]
    with inbox.open(SentAdapter(FRESH, "key 1", (1,))):
        assert fetched == [0, 1, 2, 3, 4, 5, 1]


def test_two_calls_that_lack_the_same_adapter_both_get_it():
    together = threading.Barrier(2)

    def fetch(ticket: str) -> Parcel:
        together.wait(5)
        return Parcel("key", {"file": b"content"})

    inbox = Inbox(fetch)

    def read(_: int) -> bytes:
        with inbox.open(SentAdapter(FRESH, "key", ("ticket",))) as adapter:
            return (adapter.folder / "file").read_bytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(read, range(2))) == [b"content"] * 2


def test_what_a_killed_worker_left_is_removed_and_what_a_living_one_has_is_not(tmp_path):
    living, dead = Inbox(dict), Inbox(dict)
    dead._in_use.release()  # as the system does when a process ends
    (dead.folder / "key").mkdir()
    Inbox(dict)
    assert living.folder.exists() and not dead.folder.exists()


def test_a_router_tells_a_call_that_it_may_no_longer_wait():
    router, given_up, ended = Router(), threading.Event(), []

    def ask() -> None:
        with pytest.raises(refusals.CallerGone), router.worker(Work.TUNE, None, given_up):
            pass
        ended.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    given_up.set()
    wait_until(lambda: ended)
    thread.join(5)
