"""What pip installs of `helpers`: all of it, a new folder without a word anywhere, and what it says of itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from helpers import __version__
from tests.conftest import ROOT
from tests.support.source import files

BUILD_SECONDS = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of a copy of `helpers` that has one folder more."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "helpers"
    shutil.copytree(ROOT / "helpers", copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    (copy / "a_new_room").mkdir()
    (copy / "a_new_room" / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.mark.peers
def test_a_new_folder_is_installed_and_nothing_is_left_out(wheel):
    there = {Path(name) for name in wheel.namelist()}
    written = {path.relative_to(ROOT) for kind in ("*.py", "*.mo") for path in files(ROOT / "helpers", kind)}
    assert written <= there
    assert {Path("helpers/a_new_room/__init__.py"), Path("helpers/py.typed")} <= there


@pytest.mark.peers
def test_the_package_says_its_version_and_its_terms(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    said = Parser().parsestr(wheel.read(name).decode())
    assert (said["Version"], said["License-Expression"]) == (__version__, "MIT")
