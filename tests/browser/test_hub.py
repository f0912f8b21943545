"""A room of three on one JupyterHub, with the real engine: who sees what, and what a learner can't break."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from gradientai import Gradient, ModelAdapter

from tests.browser.hub import PASSWORD, Hub, Learner
from tests.browser.lab import expect
from tests.conftest import ROOT
from tests.lessons import BY_FILE
from tests.peers.environment import Unavailable
from tests.support.notebooks import NAMES, read
from tests.support.waiting import wait_until

pytestmark = pytest.mark.hub
LESSON = "03_fine_tuning.ipynb"
LESSON_SECONDS = 900  # alone on two cores it takes two minutes, and here there are three
RESTART_SECONDS = 90  # the hub looks every half a minute whether its service runs
CONNECTED = "import os\nfrom helpers import connect\ngradient = connect(quiet=True)"
WORKSPACE = 'print(os.environ["GRADIENT_WORKSPACE_ID"])'
MAKE = 'print(gradient.get_base_model(base_model_slug="nous-hermes2").create_model_adapter(name={name!r}).id)'
SEEN = 'print([model.name for model in gradient.list_models(only_base=False) if model.id.endswith("_model_adapter")])'
ASK_FOR = """
for other in {others}:
    try:
        print(gradient.get_model_adapter(model_adapter_id=other))
    except Exception as error:
        print(type(error).__name__)
"""
STOP = "from helpers import stop_local_service\nstop_local_service()"


def checkout() -> set[Path]:
    """What is in the folders in which a hub might leave something."""
    folders = [ROOT, ROOT / ".jupyterhub", ROOT / "notebooks"]
    return {path for folder in folders for path in folder.iterdir() if path.name not in (".artifacts", "__pycache__")}


@pytest.fixture(scope="module")
def before() -> set[Path]:
    return checkout()


@pytest.fixture(scope="module")
def hub(before, browser, tmp_path_factory) -> Iterator[Hub]:
    try:
        running = Hub(tmp_path_factory.mktemp("hub"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def learners(hub, browser) -> list[Learner]:
    """Three who have logged in at the same time."""
    room = [Learner(hub, browser, name) for name in ("ann", "ben", "eva")]
    for learner in room:
        learner.log_in()
    room[0].picture("hub-starting")
    for learner in room:
        learner.wait_for_server()
    room[0].picture("hub-lessons")
    return room


@pytest.fixture(scope="module")
def workspaces(learners) -> list[str]:
    return [learner.ran("workspace.ipynb", CONNECTED, WORKSPACE)[-1].strip() for learner in learners]


def adapters(hub: Hub, workspace: str) -> dict[str, str]:
    """Id and name of each of a workspace's adapters, by the plain SDK."""
    service = hub.service()
    gradient = Gradient(host=service.url, access_token=service.token, workspace_id=workspace)
    found = gradient.list_models(only_base=False)
    return {model.id: model.name for model in found if isinstance(model, ModelAdapter)}


def test_a_wrong_password_opens_nothing(hub, browser):
    stranger = Learner(hub, browser, "mallory")
    stranger.log_in(PASSWORD[:-1])
    expect(stranger.page.locator(".login_error")).to_be_visible()
    stranger.picture("hub-login")
    stranger.page.goto(f"{hub.url}/user/mallory/lab")
    expect(stranger.page.locator("#password_input")).to_be_visible()


def test_each_learner_has_a_copy_of_the_lessons_of_their_own(learners):
    for learner in learners:
        assert {*NAMES, "README.md", "data"} <= {path.name for path in learner.folder.iterdir()}
    (learners[0].folder / "README.md").write_text("ann's", encoding="utf-8")
    assert "ann's" not in {(learner.folder / "README.md").read_text(encoding="utf-8") for learner in learners[1:]}


def test_each_learner_has_a_workspace_of_their_own_which_their_name_does_not_tell(learners, workspaces):
    assert len({*workspaces}) == len(learners)
    assert not [
        learner.name for learner, workspace in zip(learners, workspaces, strict=True) if learner.name in workspace
    ]


def test_three_do_lesson_3_at_once_and_each_gets_the_right_answers(hub, learners, workspaces):
    pages = [learner.opened(LESSON) for learner in learners]
    for page in pages:
        page.start_all()
    seen: list[set[str]] = [set() for _ in learners]
    deadline = time.monotonic() + LESSON_SECONDS
    while not all(page.ended() for page in pages):
        assert time.monotonic() < deadline, hub.log()[-3000:]
        for mine, workspace in zip(seen, workspaces, strict=True):
            mine.update(adapters(hub, workspace))
        pages[0].page.wait_for_timeout(1000)
    for learner, page in zip(learners, pages, strict=True):
        page.wait_for_all()
        page.save()
        learner.picture(f"hub-lesson-{learner.name}")
        BY_FILE[LESSON].holds(read(page.path))
    assert min(map(len, seen)) > 1
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert [adapters(hub, workspace) for workspace in workspaces] == [{}, {}, {}]


def test_no_learner_sees_or_opens_an_adapter_of_another(learners):
    ids = [learner.ran("make.ipynb", CONNECTED, MAKE.format(name=learner.name))[-1].strip() for learner in learners]
    for learner, own in zip(learners, ids, strict=True):
        others = [other for other in ids if other != own]
        *_, seen, asked = learner.ran("see.ipynb", CONNECTED, SEEN, ASK_FOR.format(others=others))
        assert seen.strip() == str([learner.name])
        assert asked.split() == ["UnknownAdapter"] * len(others)


def test_a_learner_who_stops_the_local_service_does_not_stop_the_rooms(hub, learners):
    running = hub.service()
    assert learners[0].ran("stop.ipynb", STOP)[-1] == "No local Gradient service was running.\n"
    assert hub.service() == running


def test_a_service_that_dies_is_started_again_under_the_same_address_with_all_adapters(hub, learners, workspaces):
    was, kept = hub.service(), adapters(hub, workspaces[0])
    os.kill(was.pid, signal.SIGKILL)
    wait_until(lambda: (now := hub.service()) and now.instance != was.instance, RESTART_SECONDS)
    now = hub.service()
    assert (now.url, now.token) == (was.url, was.token)
    assert adapters(hub, workspaces[0]) == kept != {}
    assert learners[0].ran("again.ipynb", CONNECTED, SEEN)[-1].strip() == str([*kept.values()])


def _has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for whoever has inherited it to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_hub_that_was_killed_finds_learners_and_adapters_again_and_leaves_no_second_service(
    hub, learners, workspaces
):
    was, kept = hub.service(), adapters(hub, workspaces[1])
    hub.kill()
    hub.start()
    wait_until(lambda: (now := hub.service()) and now.instance != was.instance, RESTART_SECONDS)
    wait_until(lambda: _has_ended(was.pid), RESTART_SECONDS)
    *_, workspace, seen = learners[1].ran("still.ipynb", CONNECTED, WORKSPACE, SEEN)
    assert workspace.strip() == workspaces[1]
    assert adapters(hub, workspaces[1]) == kept != {}
    assert seen.strip() == str([*kept.values()])


def test_the_hubs_log_has_neither_the_password_nor_the_services_token(hub, learners):
    assert learners[0].name in hub.log()
    assert not [secret for secret in (PASSWORD, hub.service().token) if secret in hub.log()]


def test_a_hub_leaves_nothing_in_the_checkout(hub, learners, before):
    assert checkout() == before
