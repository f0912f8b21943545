"""The service on a real Ray cluster: learns and answers, outlives workers and nodes, and ends with its head."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.bench.ray_kills import cluster, under_load, wait_for_workers
from tests.conftest import TOKEN
from tests.peers import environment
from tests.real.test_real_engine import FACTS, ask, sample
from tests.support import process_tree, ray_nodes
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.skipif(os.name == "nt", reason="signals")]

FAILED_SECONDS = 120


@pytest.fixture(scope="module", autouse=True)
def python() -> Path:
    """The interpreter that has Ray; where it can't be had, a skip with the reason."""
    try:
        return ray_nodes.interpreter()
    except environment.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_cluster_of_this_machine_learns_and_answers_and_never_sees_the_token(data, python):
    service = ray_nodes.service(data, "--ray", "local", "--ray-workers", "2")
    wait_for_workers(service, 2)
    adapter = service.gradient().list_models(only_base=True)[-1].create_model_adapter(name="mine")
    question, answer = FACTS[0]
    assert ask(adapter, question).strip() != answer
    losses = [adapter.fine_tune(samples=[sample(question, answer)]).sum_loss for _ in range(2)]
    assert losses[1] < losses[0]
    assert ask(adapter, question).strip() == answer
    base = service.gradient().list_models(only_base=True)[-1]
    assert ask(base, question).strip() != answer
    started = process_tree.tree(service.process.pid)[1:]
    assert len([process for process in started if ray_nodes.is_worker(process)]) == 2
    assert not [process for process in started if TOKEN in str(process.environ()) + str(process.cmdline())]
    assert service.stop() == 0
    wait_until(lambda: not any(process.is_running() for process in started), 30)


def test_kills_of_workers_and_nodes_under_load_lose_no_call(data):
    done, figures = under_load(data, 2, 4)
    print(done)
    assert figures.wrong == []
    assert figures.rounds > 0
    assert sum(kill.again for kill in done) > 0  # or no call was on one that was killed


def test_a_service_whose_cluster_has_lost_its_head_ends_with_a_sentence_and_all_its_adapters(data):
    with cluster(data, "tests.support.ray_service") as (nodes, service):
        adapter = service.gradient().list_models(only_base=True)[-1].create_model_adapter(name="mine")
        adapter.fine_tune(samples=[{"inputs": "It is a lamp."}])
        nodes.head.kill()
        assert service.process.wait(FAILED_SECONDS) == 1
        assert "Gradient service failed: The head of the Ray cluster (" in service.log()
        assert "Traceback" not in service.log()
        assert (data / "adapters" / adapter.id / "v1" / "learned.json").exists()


def test_a_cluster_that_is_not_there_is_said_in_one_sentence(data, python):
    service = subprocess.run(
        [str(python), "-m", "helpers.service", "--data-dir", str(data), "--ray", "127.0.0.1:9", "--quiet"],
        capture_output=True,
        text=True,
        timeout=FAILED_SECONDS,
        env=ray_nodes.variables(),
    )
    assert service.returncode == 1
    assert service.stderr.splitlines()[-1].startswith("Gradient service failed: It can't join the Ray cluster at 127.")
    assert "Traceback" not in service.stderr
