"""Signs of life are there, end, and can be hidden."""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from helpers import neighbours, progress, waiting
from helpers.forms.form import Form
from tests.support.waiting import wait_until


def test_progress_gives_every_item_and_names_what_is_done(capsys):
    assert list(progress([1, 2, 3], "asking")) == [1, 2, 3]
    assert "asking" in capsys.readouterr().err


def test_waiting_shows_a_clock_until_the_block_ends(capsys):
    with waiting("Fine-tuning"):
        time.sleep(0.6)
    assert "Fine-tuning: 00:0" in capsys.readouterr().err


def test_waiting_ends_when_the_block_fails():
    with pytest.raises(KeyError), waiting("Fine-tuning"):
        raise KeyError


def test_both_can_be_hidden(capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress([1], "asking")) == [1]
    with waiting("Fine-tuning"):
        pass
    assert capsys.readouterr().err == ""


# --- other programs


@pytest.fixture
def service(monkeypatch):
    """An endpoint whose /health says what its list holds; how often it was asked is the list's second item."""
    said: list = [{"load": {"threads": 1, "cores": 2, "others": 0.94}}, 0]

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            said[1] += 1
            body = json.dumps(said[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GRADIENT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setattr(neighbours, "SLOW_SECONDS", 0.05)
    yield said
    server.shutdown()
    server.server_close()


BUSY = "other programs use 0.9 of 2 cores, so this takes longer"


def test_a_wait_that_takes_long_says_once_that_other_programs_use_the_processor(service, capsys):
    with waiting("Fine-tuning"):
        time.sleep(0.5)
    assert BUSY in capsys.readouterr().err
    assert service[1] == 1
    for _ in progress([1, 2], "asking"):
        time.sleep(0.3)
    assert BUSY in capsys.readouterr().err


def test_a_form_whose_work_takes_long_says_so_beside_what_it_does(service):
    form, end = Form(), threading.Event()
    form._start("Asking…", lambda: str(end.wait(10)))
    wait_until(lambda: "Other programs use 0.9 of 2 cores" in form._status.value)
    assert "Asking…" in form._status.value
    end.set()
    form.wait(5)
    assert "Other programs" not in form._status.value


@pytest.mark.parametrize(
    "health", [{}, {"load": None}, {"load": {"cores": 2, "others": 0.1}}, {"load": {"cores": "x", "others": 1}}, []]
)
def test_nothing_is_said_where_others_leave_room_or_no_one_knows(service, health):
    service[0] = health
    assert neighbours.sentence() == ""


@pytest.mark.parametrize("url", ["", "https://127.0.0.1:1/api", "http://127.0.0.1:1/api", "http://[", "what is this"])
def test_an_endpoint_that_is_no_local_service_is_no_fault(monkeypatch, url):
    monkeypatch.setenv("GRADIENT_API_URL", url)
    assert neighbours.sentence() == ""


def test_a_hidden_bar_and_a_short_wait_ask_no_one(service, monkeypatch):
    monkeypatch.setattr(neighbours, "SLOW_SECONDS", 5)
    with waiting("Fine-tuning"):
        pass
    monkeypatch.setattr(neighbours, "SLOW_SECONDS", 0.01)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with waiting("Fine-tuning"):
        time.sleep(0.1)
    assert service[1] == 0
