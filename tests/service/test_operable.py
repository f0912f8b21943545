"""The service can be looked after: its log, its metrics, and the commands status, stop and logs."""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import types
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers import __version__, connect
from helpers.environment import LOCAL_TOKEN_VARIABLE
from helpers.service import __main__ as program
from helpers.service import commands, launcher, logs, server
from helpers.service.engine import Load
from helpers.service.http import serve
from tests.conftest import ROOT, TOKEN, WORKSPACE, ended_cleanly, file_mode
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, call, fetch

COMPLETE = f"/api/models/{BASE_ID}/complete"
PROMPT = "the prompt that no one else may read"


@pytest.fixture
def log(tmp_path):
    """The lines of the log file, written by the handler and the formatter of the service."""
    handler = logs.PrivateRotatingFile(tmp_path / logs.LOG_FILE)
    handler.setFormatter(logs.KeyValues())
    logger = logging.getLogger()
    service, level = logging.getLogger("gradient.service"), logging.getLogger("gradient.service").level
    logger.addHandler(handler)
    service.setLevel(logging.INFO)
    yield lambda: (tmp_path / logs.LOG_FILE).read_text(encoding="utf-8").splitlines()
    logger.removeHandler(handler)
    service.setLevel(level)
    handler.close()


def fields(line: str) -> dict[str, str]:
    """A line's keys and values; a key that comes twice would be a forged one."""
    pairs = [pair.split("=", 1) for pair in shlex.split(line)]
    assert len({key for key, _ in pairs}) == len(pairs), line
    return dict(pairs)


def metrics(server, headers=HEADERS) -> dict[tuple, float]:
    """Every sample of /metrics by its name and the values of its labels."""
    status, text, got = fetch(server, "GET", "/metrics", headers=headers)
    assert (status, got["content-type"].split(";")[0]) == (200, "text/plain")
    families = text_string_to_metric_families(text.decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


# --- the log


def test_every_request_is_one_line_with_its_id_workspace_call_status_and_time(server, log):
    _, _, headers = call(server, "POST", COMPLETE, {"query": "q"}, {**HEADERS, "x-request-id": "mine-1"})
    assert headers["x-request-id"] == "mine-1"
    (line,) = log()
    said = fields(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert 0 <= int(said.pop("ms")) < 10_000
    assert said == {
        "level": "info",
        "event": "request",
        "request": "mine-1",
        "workspace": WORKSPACE,
        "method": "POST",
        "path": COMPLETE,
        "status": "200",
    }


def test_a_fine_tune_says_its_samples_tokens_and_steps(server, base, log):
    adapter = base.create_model_adapter(name="a")
    adapter.fine_tune(samples=[{"inputs": PROMPT}])
    said = fields(log()[-1])
    assert (said["samples"], said["tokens"], said["steps"]) == ("1", "1", "1")


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "a\tb", 'quote"', "caf\xe9"])
def test_a_request_id_that_is_no_short_token_is_replaced(server, given):
    headers = HEADERS if given is None else {**HEADERS, "x-request-id": given}
    ids = {call(server, "GET", "/api/models", headers=headers)[2]["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", id_) for id_ in ids)


def test_refusals_and_crashes_carry_their_request_id_too(server, engine, log):
    engine.fail = RuntimeError("secret detail")
    for headers, status in [({}, 401), ({**HEADERS, "x-request-id": "r1"}, 500)]:
        got, answer, answered = call(server, "POST", COMPLETE, {"query": "q"}, headers)
        assert got == status
        assert answered["x-request-id"] in log()[-1]
    assert "r1" in answer["message"]


def test_no_caller_can_forge_a_line_or_a_field(server, log):
    forged = "/api/%0atime=now%20level=info%20event=request%20%22status=200%22%E2%80%A8%1b[31m%5c%22"
    call(server, "GET", forged, headers={**HEADERS, "x-request-id": "x status=200", "x-gradient-workspace-id": "w =1"})
    call(server, "GET", "/api/" + "a" * 5000)
    first, second = log()
    assert fields(first)["event"] == fields(second)["event"] == "request"
    assert (fields(first)["status"], fields(first)["workspace"]) == ("400", "-")
    assert first.isascii()
    assert first.isprintable()
    assert len(second) < 1000


def test_an_error_is_one_line_without_its_text(server, engine, log):
    engine.fail = RuntimeError(f"{PROMPT}\ntime=now level=info")
    call(server, "POST", COMPLETE, {"query": PROMPT})
    crash, _ = log()
    assert fields(crash)["error"] == "RuntimeError"
    assert "fake_engine.py" in fields(crash)["where"]


def test_tokens_and_prompts_are_never_logged(server, engine, log):
    adapter = call(server, "POST", "/api/models", {"model": {"name": PROMPT, "baseModelId": BASE_ID}})[1]["id"]
    wrong = "a-token-of-another-service"
    for headers in (HEADERS, {**HEADERS, "Authorization": f"Bearer {wrong}"}):
        for path in ("complete", "fine-tune", "nothing"):
            for body in ({"query": PROMPT}, {"samples": [{"inputs": PROMPT}]}, {"rubbish": PROMPT}):
                call(server, "POST", f"/api/models/{adapter}/{path}?{wrong}", body, headers)
    for failure in (
        RuntimeError(PROMPT),
        UnicodeEncodeError("utf-8", PROMPT, 0, 1, PROMPT),
        OSError(28, "full", PROMPT),
    ):
        engine.fail = failure
        call(server, "POST", COMPLETE, {"query": PROMPT})
    text = "\n".join(log())
    assert len(log()) == 1 + 2 * 9 + 2 * 3
    assert not any(secret in text for secret in (TOKEN, wrong, PROMPT, "prompt"))


def test_the_log_is_bounded_and_private(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = logs.PrivateRotatingFile(folder / logs.LOG_FILE)
    for number in range(1000):
        handler.emit(logging.LogRecord("x", logging.INFO, "x", 1, f"line {number}", None, None))
    handler.close()
    files = list(folder.iterdir())
    assert len(files) == 1 + logs.OLDER_FILES
    assert sum(file.stat().st_size for file in files) <= 2000 * len(files)
    assert {file_mode(file) for file in files} == {0o600}
    assert "line 999" in (folder / logs.LOG_FILE).read_text()


# --- metrics


def test_metrics_count_requests_by_call_and_status_and_never_by_id(server, base):
    before = metrics(server)
    adapter = base.create_model_adapter(name="a")
    adapter.fine_tune(samples=[{"inputs": "x"}, {"inputs": "y"}])
    call(server, "GET", f"/api/models/{uuid.uuid4()}_model_adapter")
    call(server, "GET", "/api/no/such/call")
    call(server, "FLY", "/api/models")
    after = metrics(server)

    def grown(*key) -> float:
        return after.get(key, 0) - before.get(key, 0)

    tune = "POST /models/{model_id}/fine-tune"
    assert grown("gradient_requests_total", tune, "200") == 1
    assert grown("gradient_request_seconds_count", tune) == 1
    assert grown("gradient_requests_total", "GET /models/{model_id}", "404") == 1
    assert grown("gradient_requests_total", "other", "404") == 2
    assert grown("gradient_fine_tunes_total") == grown("gradient_fine_tune_steps_total") == 1
    assert grown("gradient_fine_tune_tokens_total") == 2
    assert after[("gradient_adapters",)] == 1
    assert not any(word in str(after.keys()) for word in (adapter.id, WORKSPACE, "no/such", "FLY"))


def test_metrics_tell_what_runs_what_waits_and_what_was_refused(server, engine, base):
    adapter = base.create_model_adapter(name="a")
    engine.tune_seconds = 0.5
    work = [
        threading.Thread(target=adapter.fine_tune, kwargs={"samples": [{"inputs": "x"}]}),
        threading.Thread(target=adapter.complete, kwargs={"query": "q"}),
    ]
    for thread in work:
        thread.start()
        time.sleep(0.1)
    during = metrics(server)
    for thread in work:
        thread.join(10)
    after = metrics(server)
    names = [("gradient_requests_running",), ("gradient_requests_waiting",)]
    assert [during[name] for name in names] == [1, 1]
    assert [after[name] for name in names] == [0, 0]
    server.status.calls, calls = None, server.status.calls
    call(server, "GET", "/api/models")
    refused = metrics(server)[("gradient_requests_refused_total",)]
    server.status.calls = calls
    assert refused == after[("gradient_requests_refused_total",)] + 1


def test_metrics_demand_the_token_of_a_service_that_has_one(server, tmp_path):
    for headers in ({}, {"Authorization": "Bearer a-wrong-token"}):
        assert call(server, "GET", "/metrics", headers=headers)[0] == 401
    assert metrics(server, {"Authorization": f"Bearer {TOKEN}"})
    (tmp_path / "open").mkdir()
    without = ThreadedServer(FakeEngine(), tmp_path / "open").start()
    assert metrics(without, {})[("gradient_adapters",)] == 0
    without.stop()


# --- status, stop and logs


def test_status_stop_and_logs_of_a_service_from_start_to_end(start_service, tmp_path, capsys):
    service = start_service(tmp_path / "a data folder", module="tests.support.fake_service")
    base = service.gradient().get_base_model(base_model_slug="nous-hermes2")
    base.create_model_adapter(name="mine")
    options = ["--data-dir", str(service.data)]

    def run(*arguments: str) -> tuple[int, str]:
        return program.main([*arguments]), capsys.readouterr().out

    code, said = run("status", *options)
    assert code == commands.DONE
    assert (
        f"ready at {service.url} (process {service.process.pid}, version {__version__}): up 0 h 0 min, adapters 1, "
        in said
    )
    assert "requests running 0 and waiting 0" in said
    assert run(*options, "status")[0] == commands.DONE
    code, printed = run("logs", *options, "-n", "2")
    assert (code, printed.count("\n")) == (commands.DONE, 2)
    assert "method=GET path=/metrics " in printed
    code, ended = run("stop", *options)
    assert code == commands.DONE
    assert ended_cleanly(service.process.wait(10))
    assert run("status", *options)[0] == run("stop", *options)[0] == commands.NOTHING_THERE
    assert os.name == "nt" or "event=end" in run("logs", *options)[1]
    text = (service.data / logs.LOG_FILE).read_text()
    assert not any(TOKEN in output for output in (said, printed, ended, text, service.log()))


def test_commands_say_one_sentence_when_nothing_runs(tmp_path, capsys):
    for command in ("status", "stop", "logs"):
        assert program.main([command, "--data-dir", str(tmp_path / "nowhere")]) == commands.NOTHING_THERE
        said = capsys.readouterr().out
        assert said.count("\n") == 1
        assert str(tmp_path / "nowhere") in said
    assert not (tmp_path / "nowhere").exists()


def test_status_of_a_loading_service_says_what_it_waits_for(server, tmp_path, capsys):
    server.write_address(tmp_path)
    server.status.calls, calls = None, server.status.calls
    server.status.doing = "Downloading the model"
    code = commands.status(tmp_path)
    server.status.calls = calls
    assert (code, "Downloading the model" in capsys.readouterr().out) == (commands.NOT_YET, True)


def test_logs_follow_what_is_added_past_a_new_file(tmp_path):
    path = tmp_path / logs.LOG_FILE
    path.write_text("first\n" * 50)
    command = [sys.executable, "-m", "helpers.service", "logs", "--data-dir", str(tmp_path), "-n", "1", "--follow"]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert following.stdout.readline() == "first\n"
        with path.open("a") as file:
            file.write("second\n")
        assert following.stdout.readline() == "second\n"
        path.replace(tmp_path / "older")
        path.write_text("third\n")
        assert following.stdout.readline() == "third\n"
    finally:
        following.kill()
        following.wait(10)


def test_a_service_that_runs_already_is_named_with_the_command_that_ends_it(start_service, tmp_path, capsys):
    service = start_service(tmp_path / "a room", module="tests.support.fake_service")
    assert program.main(["--data-dir", str(service.data)]) == 1
    said = capsys.readouterr().err
    assert f"{service.url} (process {service.process.pid})" in said
    command = re.search(r"`python -m helpers\.service (.*?)`", said)[1]
    words = [word.strip('"') for word in shlex.split(command, posix=False)]  # a folder of Windows has backslashes
    assert program.main(words) == commands.DONE
    assert ended_cleanly(service.process.wait(10))


def test_a_service_that_holds_the_folder_and_does_not_answer_is_no_other_one(tmp_path, capsys):
    with launcher.only_one(tmp_path):
        assert program.main(["--data-dir", str(tmp_path)]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_what_frees_it(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # pytest's own is not to be replaced
    port = server.url.split(":")[2].removesuffix("/api")
    assert program.main(["--data-dir", str(tmp_path / "other"), "--port", port, "--quiet"]) == 1
    said = capsys.readouterr().err
    assert f"port {port} (" in said
    assert "helpers.service stop" in said
    assert said.count("\n") == 1


# --- connections


@pytest.mark.parametrize(
    ("limits", "asked"),
    [((256, -1), [(10_240, -1)]), ((1024, 4096), [(4096, 4096)]), ((20_000, 20_000), []), ((-1, -1), [])],
    ids=["macOS", "Linux", "enough", "no limit"],
)
def test_as_many_connections_are_allowed_as_the_system_gives(limits, asked, monkeypatch):
    given = []
    system = types.SimpleNamespace(
        RLIMIT_NOFILE=7, RLIM_INFINITY=-1, getrlimit=lambda _: limits, setrlimit=lambda _, both: given.append(both)
    )
    monkeypatch.setitem(sys.modules, "resource", system)
    serve.allow_many_connections()
    assert given == asked


def test_where_the_system_has_no_such_limit_nothing_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows: importing it fails
    serve.allow_many_connections()


# --- the recipe in notebooks/INSTRUCTORS.md


def recipe(language: str, word: str) -> str:
    """The first block of that language on the page that has the word in it."""
    page = (ROOT / "notebooks" / "INSTRUCTORS.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(rf"```{language}\n(.*?)```", page, re.S) if word in block)


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        *(("--port", value) for value in ("99999", "65536", "-1", "80.5", "http", "")),
        *(("--idle-hours", value) for value in ("-1", "nan", "inf", "eight")),
        *(("--lines", value) for value in ("-5", "many")),
    ],
)
def test_an_argument_that_is_none_is_said_so(capsys, option, wrong):
    with pytest.raises(SystemExit) as ended:
        program.main([f"{option}={wrong}"])
    assert ended.value.code == 2
    assert f"{wrong} is no" in capsys.readouterr().err


def test_each_port_that_there_is_is_taken():
    assert [program._parse(["--port", text]).port for text in ("0", "8080", "65535")] == [0, 8080, 65535]


def test_the_recipe_for_a_room_works_as_it_is_written(start_service, tmp_path, monkeypatch, capsys):
    python, _, module, *options = shlex.split(recipe("sh", "helpers.service"))
    assert (python, module) == (".venv/bin/python", "helpers.service")
    assert program._parse(options).port == 8080
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    options[options.index("8080")] = "0"
    service = start_service(tmp_path / "room", *options, module="tests.support.fake_service", token=None)
    given = {
        "THE-MACHINE:8080": service.url.removeprefix("http://").removesuffix("/api"),
        "THE-TOKEN": service.log().split('token="')[1].split('"')[0],
    }
    cell = recipe("python", "connect(")
    for word, real in given.items():
        cell = cell.replace(word, real)
    exec(cell)  # noqa: S102 - as a learner runs it
    assert capsys.readouterr().out == f"Connected to the local Gradient service at {service.url}, workspace ada.\n"
    for line in recipe("sh", "export").splitlines():
        name, value = shlex.split(line)[1].split("=", 1)
        for word, real in given.items():
            value = value.replace(word, real)
        monkeypatch.setenv(name, value)
    connect()
    assert (
        capsys.readouterr().out == f"Connected to the local Gradient service at {service.url}, workspace learner_07.\n"
    )


@pytest.mark.parametrize(("every", "here"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::0", "[::1]")])
def test_what_listens_for_others_says_where_they_reach_it(monkeypatch, every, here):
    monkeypatch.setattr(serve.socket, "gethostname", lambda: "the-machine")
    assert serve.url_of(every, 8080) == f"http://{here}:8080/api"
    assert serve.urls_for_others(every, 8080)[0] == "http://the-machine:8080/api"
    said = " ".join(serve.urls_for_others(every, 8080))
    assert not any(name in said for name in ("127.0.0.1", "0.0.0.0", "[::"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "192.168.1.20", "classroom.example"])
def test_what_listens_on_one_address_is_reached_there_alone(host):
    assert serve.urls_for_others(host, 8080) == []
    assert host in serve.url_of(host, 8080)


def test_a_room_says_at_its_start_and_in_its_status_where_others_reach_it(start_service, tmp_path, capsys):
    service = start_service(tmp_path / "room", "--host", "0.0.0.0", module="tests.support.fake_service")
    port = service.url.rsplit(":", 1)[1]
    line = service.process.stdout.readline()
    assert line.startswith("For other machines (GRADIENT_API_URL): http://")
    assert line.rstrip().endswith(f":{port}")
    assert "127.0.0.1" not in line
    cell = service.process.stdout.readline()
    assert cell.startswith("To paste: from helpers import connect; connect(url=")
    assert line.split(" or ")[-1].split(": ")[-1].strip() in cell
    assert TOKEN not in cell + service.log()
    assert commands.status(service.data) == commands.DONE
    said = capsys.readouterr().out.splitlines()
    assert said[1] == f"Other machines reach it at {line.split(': ', 1)[1].strip()}."
    service.stop()


@pytest.mark.parametrize(
    ("others", "url"),
    [
        (["http://the-machine:80/api", "http://192.168.1.20:80/api"], "http://192.168.1.20:80/api"),
        (["http://the-machine:80/api"], "http://the-machine:80/api"),
        ([], "http://192.168.1.7:80/api"),
    ],
)
@pytest.mark.parametrize("made", [True, False])
def test_a_room_is_told_one_cell_with_the_address_that_others_know_and_a_new_token_once(capsys, others, url, made):
    options = program._parse(["--host", "0.0.0.0" if others else "192.168.1.7", *([] if made else ["--token", TOKEN])])
    program._settle_token(options)
    server._say_ready(options, "http://127.0.0.1:80/api" if others else url, others)
    out, err = capsys.readouterr()
    cell = f'from helpers import connect; connect(url="{url}", token="{options.token if made else "THE-TOKEN"}", '
    assert [cell in text for text in (out, err)] == [not made, made]
    assert (out + err).count(options.token) == made


def test_a_service_for_this_machine_alone_has_no_cell_to_paste(capsys):
    options = program._parse([])
    program._settle_token(options)
    server._say_ready(options, "http://127.0.0.1:80/api", [])
    assert capsys.readouterr() == ("Gradient service ready at http://127.0.0.1:80/api\n", "")


def test_both_shells_are_told_the_same():
    powershell = re.findall(r'^\$env:(\w+) = "(.*)"$', recipe("powershell", "$env"), re.M)
    assert powershell == re.findall(r"^export (\w+)=(.*)$", recipe("sh", "export"), re.M)
    assert len(powershell) == 3


def test_every_command_on_the_pages_is_one_that_the_service_takes():
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "notebooks/INSTRUCTORS.md")]
    lines = [line for page in pages for line in re.findall(r"python -m helpers\.service([^`\n]*)", page)]
    assert {program._parse(shlex.split(line)).command for line in lines} == {"serve", "status", "logs", "stop", "reset"}


# --- how busy the machine is


class SharedMachine(FakeEngine):
    """An engine beside other programs."""

    def load(self) -> Load:
        return Load(threads=1, cores=2, others=0.94)


def test_log_and_metrics_say_how_many_threads_there_are_and_what_others_use(tmp_path, log):
    server = ThreadedServer(SharedMachine(), tmp_path).start()
    try:
        assert call(server, "POST", COMPLETE, {"query": PROMPT})[0] == 200
        assert (fields(log()[-1])["threads"], fields(log()[-1])["others"]) == ("1", "0.9")
        found = metrics(server)
        assert found[("gradient_threads",)] == 1
        assert found[("gradient_cores",)] == 2
        assert found[("gradient_cores_used_by_other_programs",)] == 0.94
        assert call(server, "GET", "/health")[1]["load"] == {"threads": 1, "cores": 2, "others": 0.94, "tuners": 0}
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("others", "said"),
    [("0.1", []), ("0.94", ["other programs use 0.9 cores, so answers and fine-tunes take longer"])],
)
def test_status_says_that_other_programs_use_the_processor_when_they_do(others, said):
    found = {"gradient_threads": 1.0, "gradient_cores": 2.0, "gradient_cores_used_by_other_programs": float(others)}
    assert commands._of_the_machine(found) == ["threads 1 on 2 cores", *said]
    assert commands._of_the_machine({}) == []
