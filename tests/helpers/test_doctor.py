"""The doctor: one line per check, OK or FAIL with a remedy, whatever is wrong with the computer."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers import __version__, connection, doctor
from helpers.environment import (
    CACHE_DIR_VARIABLE,
    DATA_DIR_VARIABLE,
    PYTHONS,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_VARIABLE,
)
from helpers.service import launcher, paths
from helpers.service.local import model_files
from tests.conftest import ROOT, TOKEN, WORKSPACE

LINE = re.compile(r"\[OK\] [a-z ]+: .*[^.]|\[FAIL\] [a-z ]+: .*[^.]\. [A-Z].*[^.]\.")
NAMES = [look.__name__.replace("_", " ") for look in doctor.CHECKS]


def assert_ok(finding: doctor.Finding, said: str) -> None:
    assert finding.ok, finding
    assert said in finding.detail
    assert LINE.fullmatch(str(finding))


def assert_fails(finding: doctor.Finding, said: str, remedy: str) -> None:
    assert not finding.ok, finding
    assert said in finding.detail
    assert remedy in finding.remedy
    assert LINE.fullmatch(str(finding))


def install(monkeypatch, **versions: str) -> None:
    """Makes these the only packages that are installed; `_` stands for `-`."""

    def version(name: str) -> str:
        if name.replace("-", "_") not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.fixture
def cached(monkeypatch) -> None:
    monkeypatch.setattr(model_files, "is_cached", lambda cache: True)


@pytest.fixture
def read_only(monkeypatch) -> None:
    """No file can be made anywhere (permission bits would not stop root)."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)


# --- the lines ---


def run(*options: str, **environment: str) -> tuple[int, list[str]]:
    command = [sys.executable, *options, "-m", "helpers.doctor"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("options", "environment"),
    [((), {}), ((), {TOKEN_VARIABLE: TOKEN}), (("-S",), {"PYTHONPATH": ""})],
    ids=["as it is", "half of the credentials", "nothing installed"],
)
def test_the_command_prints_one_line_per_check_and_its_exit_code_says_whether_any_fails(options, environment):
    code, lines = run(*options, **environment)
    assert [re.split(r"[]:] ?", line)[1] for line in lines] == NAMES
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert code == any(line.startswith("[FAIL]") for line in lines)
    assert code == 1 or not (options or environment)
    assert TOKEN not in "".join(lines)


def test_a_notebook_gets_the_same_lines_and_a_bool(monkeypatch, capsys):
    good, bad = doctor.Finding("good", True, "fine"), doctor.Finding("bad", False, "broken", "Mend it")
    monkeypatch.setattr(doctor, "CHECKS", (lambda: good,))
    assert doctor.check() is True
    monkeypatch.setattr(doctor, "CHECKS", (lambda: bad, lambda: good))
    assert doctor.check() is False
    assert capsys.readouterr().out == "[OK] good: fine\n[FAIL] bad: broken. Mend it.\n[OK] good: fine\n"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(ModuleNotFoundError("No module named 'x'"), "pip install -r"), (ValueError("two\nlines"), "run the check again")],
    ids=["a missing package", "anything else"],
)
def test_a_check_that_breaks_is_a_line_with_the_reason_and_the_others_still_run(monkeypatch, capsys, error, remedy):
    def some_part():
        raise error

    monkeypatch.setattr(doctor, "CHECKS", (some_part, doctor.python))
    assert doctor.check() is False
    broken, other = capsys.readouterr().out.splitlines()
    assert broken.startswith(f"[FAIL] some part: could not be checked ({type(error).__name__}: ")
    assert remedy in broken
    assert other.startswith("[OK] python")


def test_the_doctor_imports_nothing_heavy():
    script = "import sys; from helpers import doctor; doctor.check(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert {"numpy", "gradientai", "langchain_core", "xllamacpp"}.isdisjoint(done.stderr.split())


# --- python and packages ---


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 14, 9)], ids=["oldest", "newest"])
def test_a_supported_python_is_ok(monkeypatch, version):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
    assert_ok(doctor.python(), f"3.{version[1]}")


@pytest.mark.parametrize(
    ("version", "said"), [((3, 9, 18), "3.9"), ((3, 15, 0), "3.15, which has to wait until zstandard")]
)
def test_another_python_fails(monkeypatch, version, said):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
    assert_fails(doctor.python(), said, f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]} and")


def test_an_installed_kit_is_ok():
    found = subprocess.CompletedProcess([], 0, json.dumps(str(ROOT / "helpers" / "__init__.py")), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", lambda *arguments, **options: found)
        assert_ok(doctor.kit(), f"helpers {__version__} can be imported from any folder")


@pytest.fixture
def copied_kit(tmp_path) -> Path:
    """The kit in a folder that no Python knows."""
    shutil.copytree(ROOT / "helpers", tmp_path / "kit" / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "kit"


def with_the_kit_on_its_path(kit: Path, script: str) -> subprocess.CompletedProcess:
    """Runs a script in the temporary folder, as a notebook that begins with `sys.path.insert` would."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(kit)!r}); {script}"]
    return subprocess.run(command, cwd=kit.parent, env=environment, capture_output=True, text=True, timeout=120)


def test_a_kit_on_the_path_alone_fails(monkeypatch, copied_kit):
    done = with_the_kit_on_its_path(copied_kit, "from helpers import doctor; print(doctor.kit())")
    assert done.stdout.startswith("[FAIL] kit: ")  # the tests' Python may have another copy
    assert "pip install -e ./helpers" in done.stdout
    importing_gives(monkeypatch, 1, "ModuleNotFoundError: No module named 'helpers'")
    assert_fails(doctor.kit(), "this program's own path alone", "pip install -e ./helpers")


def test_a_service_runs_the_copy_of_the_kit_that_starts_it(copied_kit):
    script = (
        "import subprocess; from helpers.service import launcher; from pathlib import Path; "
        "real = subprocess.Popen; look = [sys.executable, '-c', 'import helpers; print(helpers.__file__)']; "
        "subprocess.Popen = lambda command, env, **options: real(look, env=env); "
        "launcher._spawn(Path('.'), 'a-token').wait(60)"
    )
    done = with_the_kit_on_its_path(copied_kit, script)
    assert Path(done.stdout.strip()) == copied_kit.resolve() / "helpers" / "__init__.py", done.stderr


@pytest.fixture
def requirements(tmp_path, monkeypatch) -> Path:
    file = tmp_path / "requirements.txt"
    file.write_text("# one==1\n-e ./helpers\nloose>=4,<5\ngguf==2.13.0\nlangchain-core==1.7.2  # why\n")
    monkeypatch.setattr(doctor, "REQUIREMENTS", file)
    return file


def test_pinned_packages_are_ok_in_any_build_of_their_version(monkeypatch, requirements):
    install(monkeypatch, gguf="2.13.0+cpu", langchain_core="1.7.2")
    assert_ok(doctor.packages(), "all 2 pinned versions")


def test_every_wrong_package_is_named_with_the_command_that_mends_it(monkeypatch, requirements):
    install(monkeypatch, gguf="2.12.1")
    finding = doctor.packages()
    assert_fails(finding, "gguf is 2.12.1 (needed: 2.13.0)", "pip install gguf==2.13.0 langchain-core==1.7.2`")
    assert "langchain-core is missing (needed: 1.7.2)" in finding.detail


def test_without_requirements_packages_fail_instead_of_passing_unseen(requirements):
    requirements.unlink()
    assert_fails(doctor.packages(), "no requirements.txt", "pip install -r requirements.txt")


def test_the_real_requirements_pin_what_the_lessons_need():
    assert {"gradientai", "langchain-core", "xllamacpp", "safetensors", "gguf"} <= set(doctor._pinned())


# --- compiled parts ---


def importing_gives(monkeypatch, code: int, stderr: str = "") -> None:
    done = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: done)


def test_compiled_parts_that_load_are_ok(monkeypatch):
    importing_gives(monkeypatch, 0)
    assert_ok(doctor.compiled_parts(), "xllamacpp and numpy load")


MISSING = "Traceback (most recent call last):\nImportError: {}: cannot open shared object file: No such file\n"


@pytest.mark.parametrize(
    ("code", "stderr", "said", "remedy"),
    [
        (1, MISSING.format("libgomp.so.1"), "libgomp.so.1", "apt-get install libgomp1"),
        (1, MISSING.format("libstdc++.so.6"), "libstdc++.so.6", "apt-get install libstdc++6"),
        (1, "ModuleNotFoundError: No module named 'xllamacpp'", "No module", "--no-deps xllamacpp=="),
        (-4, "", "code -4", "--force-reinstall"),
    ],
    ids=["no OpenMP", "no C++", "not installed", "crash"],
)
def test_compiled_parts_that_do_not_load_fail(monkeypatch, code, stderr, said, remedy):
    importing_gives(monkeypatch, code, stderr)
    assert_fails(doctor.compiled_parts(), said, remedy)


# --- disk and memory ---


def give_room(monkeypatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))


@pytest.mark.parametrize(
    ("free", "said"),
    [(900_000_000, "900 MB"), (3_999_000_000, "3 GB"), (77_000_000_000, "more than 10 GB")],
    ids=["little", "some", "much"],
)
def test_enough_room_is_ok_and_said_coarsely(monkeypatch, free, said):
    give_room(monkeypatch, free)
    assert_ok(doctor.disk(), f"{said} free")


def test_a_disk_without_room_for_the_model_fails(monkeypatch):
    give_room(monkeypatch, 500_000_000)
    assert_fails(doctor.disk(), "500 MB free in ", CACHE_DIR_VARIABLE)


def test_a_cached_model_needs_no_room_again(monkeypatch, cached):
    give_room(monkeypatch, 500_000_000)
    assert_ok(doctor.disk(), "500 MB free")


def test_a_disk_without_room_for_adapters_fails(monkeypatch, cached):
    give_room(monkeypatch, 100_000_000)
    assert_fails(doctor.disk(), "200 MB needed", DATA_DIR_VARIABLE)


def meminfo(tmp_path, monkeypatch, text: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr(doctor, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(sys, "platform", "linux")


def test_enough_memory_is_ok(tmp_path, monkeypatch):
    meminfo(tmp_path, monkeypatch, "MemFree:    1 kB\nMemAvailable:    4000000 kB\n")
    assert_ok(doctor.memory(), "4 GB available")


def test_little_memory_fails(tmp_path, monkeypatch):
    meminfo(tmp_path, monkeypatch, "MemAvailable:    1000000 kB\n")
    assert_fails(doctor.memory(), "1 GB available", "Close other")


@pytest.mark.parametrize(("pages", "said"), [(1_000_000, "4 GB"), (None, "unknown")], ids=["told", "not told"])
def test_memory_without_meminfo_is_what_sysconf_says_or_unknown(tmp_path, monkeypatch, pages, said):
    def sysconf(name: str) -> int:
        if pages is None:
            raise ValueError("unrecognized configuration name")
        return pages if name == "SC_AVPHYS_PAGES" else 4096

    meminfo(tmp_path, monkeypatch, "")
    monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    assert_ok(doctor.memory(), said)


@pytest.mark.parametrize(("answered", "said"), [(1, "3 GB"), (0, "unknown")], ids=["told", "not told"])
def test_memory_on_windows_is_what_its_api_says_or_unknown(monkeypatch, answered, said):
    def fill(reference) -> int:
        status = reference._obj
        assert status.length == ctypes.sizeof(status) == 64  # what the API insists on
        status.available = 3_500_000_000
        return answered

    windows = SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=fill))
    monkeypatch.setattr(ctypes, "windll", windows, raising=False)
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(platform="win32"))
    assert_ok(doctor.memory(), said)


# --- the model and the service ---


def test_a_cached_model_is_ok_even_where_nothing_can_be_written(cached, read_only):
    assert_ok(doctor.model_cache(), "cached in ")


def test_a_model_still_to_come_is_ok_and_nothing_is_left_behind(tmp_path):
    assert_ok(doctor.model_cache(), "not yet: connect() will download 93 MB")
    assert list(tmp_path.rglob("*")) == []


def test_a_cache_that_cannot_be_written_fails(read_only):
    assert_fails(doctor.model_cache(), "Permission denied", CACHE_DIR_VARIABLE)


def test_a_file_in_the_place_of_the_cache_fails(tmp_path):
    (tmp_path / "cache").write_text("")
    assert_fails(doctor.model_cache(), "can't be used", CACHE_DIR_VARIABLE)


def test_a_path_in_the_home_folder_is_said_without_the_name_of_the_user(tmp_path, monkeypatch, cached):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert doctor.model_cache().detail == f"cached in {Path('~', 'cache')}"


def test_a_running_service_is_ok_and_its_token_stays_secret(server):
    server.write_address(paths.data_dir())
    assert_ok(doctor.service(), f"running at {server.url}, process {os.getpid()}")
    assert TOKEN not in str(doctor.service())


def test_no_service_is_ok():
    assert_ok(doctor.service(), "not running, connect() starts it")


def test_a_service_that_does_not_answer_fails_and_its_token_stays_secret(tmp_path):
    (tmp_path / "data").mkdir()
    address = {"url": "http://127.0.0.1:1/api", "token": TOKEN, "pid": 7, "instance": "one"}
    (tmp_path / "data" / launcher.ADDRESS_FILE).write_text(json.dumps(address))
    assert_fails(doctor.service(), "does not answer", "connect(), which starts a new one")
    assert TOKEN not in str(doctor.service())


def test_a_data_folder_that_cannot_be_written_fails(read_only):
    assert_fails(doctor.service(), "Permission denied", DATA_DIR_VARIABLE)


def test_who_uses_a_rooms_service_is_promised_no_service_and_no_download_of_their_own(monkeypatch):
    give_room(monkeypatch, 500_000_000)
    rooms = {URL_VARIABLE: "http://room:8080/api", TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE}
    for name, value in rooms.items():
        monkeypatch.setenv(name, value)
    assert_ok(doctor.service(), "not needed here")
    assert_ok(doctor.model_cache(), "not needed here")
    assert_ok(doctor.disk(), "500 MB free")
    monkeypatch.setattr(connection, "_set_by_us", rooms)
    assert_ok(doctor.service(), "connect() starts it")
    assert_ok(doctor.model_cache(), "connect() will download")


# --- port, widgets, credentials ---


def test_a_port_that_can_be_used_is_ok():
    assert_ok(doctor.port(), "127.0.0.1")


@pytest.mark.parametrize("step", ["create_server", "create_connection"])
def test_a_port_that_cannot_be_used_fails(monkeypatch, step):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.socket, step, refuse)
    assert_fails(doctor.port(), "Permission denied", "firewall")


def test_widgets_that_fit_are_ok(monkeypatch):
    install(monkeypatch, ipywidgets="8.1.9", jupyterlab_widgets="3.0.17")
    assert_ok(doctor.widgets(), "ipywidgets 8.1.9, jupyterlab_widgets 3.0.17")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"ipywidgets": "8.1.9", "jupyterlab_widgets": "1.1.0"}, "jupyterlab_widgets 1.1.0"),
        ({"ipywidgets": "7.8.0", "jupyterlab_widgets": "3.0.17"}, "ipywidgets 7.8.0"),
        ({"ipywidgets": "8.1.9"}, "jupyterlab_widgets is missing"),
    ],
    ids=["old browser half", "old kernel half", "no browser half"],
)
def test_widgets_that_do_not_fit_fail(monkeypatch, versions, said):
    install(monkeypatch, **versions)
    assert_fails(doctor.widgets(), said, "pip install")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "uses the local service"),
        (
            {URL_VARIABLE: "https://secret.test/api"},
            "GRADIENT_API_URL set; connect() uses the local service",
        ),
        (
            {URL_VARIABLE: "https://secret.test/api", TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE},
            "GRADIENT_ACCESS_TOKEN, GRADIENT_WORKSPACE_ID, GRADIENT_API_URL set; connect() uses the endpoint",
        ),
    ],
    ids=["none", "only the address", "all"],
)
def test_credentials_that_connect_can_use_are_ok_and_never_shown(monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert_ok(doctor.credentials(), said)
    assert not any(value in str(doctor.credentials()) for value in variables.values())


@pytest.mark.parametrize("url", [None, " \r\n"])
def test_credentials_without_an_address_fail(monkeypatch, url):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv(WORKSPACE_VARIABLE, WORKSPACE)
    if url is not None:
        monkeypatch.setenv(URL_VARIABLE, url)
    assert_fails(doctor.credentials(), "GRADIENT_API_URL is not", "Unset both")


def test_what_connect_has_set_itself_is_told_from_the_users_own(monkeypatch):
    ours = {TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE}
    monkeypatch.setattr(connection, "_set_by_us", ours)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    assert_ok(doctor.credentials(), "connect() uses the local service")


@pytest.mark.parametrize("name", [TOKEN_VARIABLE, WORKSPACE_VARIABLE])
def test_half_of_the_credentials_fails_and_is_never_shown(monkeypatch, name):
    monkeypatch.setenv(name, TOKEN)
    assert_fails(doctor.credentials(), f"only {name} is set", "Set both")
    assert TOKEN not in str(doctor.credentials())
