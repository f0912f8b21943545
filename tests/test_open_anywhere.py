"""What opens the kit elsewhere (a dev container, Binder, GitHub) does what the README says, on what it promises.

None of these can be run here, so they are parsed and held against the files that they stand for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from helpers.environment import PYTHONS
from tests.conftest import ROOT

PROMISED = [*PYTHONS]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_dev_container_is_set_up_by_the_readmes_command():
    container = json.loads(text_of(".devcontainer/devcontainer.json"))
    first = re.search(r"^python3 -m venv .*$", text_of("README.md"), re.MULTILINE)[0]
    assert first.startswith(container["postCreateCommand"] + " && ")
    assert re.search(r"python:(3\.\d+)", container["image"])[1] in PROMISED


def test_binder_installs_the_kits_own_requirements_on_a_python_that_is_promised():
    (line,) = text_of(".binder/requirements.txt").split("\n-r ")[0].splitlines()
    named = ROOT / ".binder" / line.removeprefix("-r ")
    assert named.resolve() == (ROOT / "requirements.txt").resolve()
    assert text_of(".binder/runtime.txt").strip().removeprefix("python-") in PROMISED


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh, in which Binder runs it, to read it")
def test_binders_start_file_is_a_program_that_ends_in_what_it_is_given(tmp_path):
    start = ROOT / ".binder" / "start"
    (tmp_path / "python").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(start), "echo", "lab"], capture_output=True, text=True, timeout=30, env={**os.environ, "PATH": path}
    )
    assert (done.stdout, done.stderr, done.returncode) == ("lab\n", "", 0)
    assert os.name == "nt" or os.access(start, os.X_OK)


def test_a_badge_names_the_workflow_and_what_opens_the_kit():
    """By links that are relative to the repository's own pages, as its address is whoever's fork it is."""
    (workflow,) = re.findall(r"\]\(\.\./\.\./actions/workflows/([\w.]+)\)", text_of("README.md"))
    assert (ROOT / ".github" / "workflows" / workflow).exists()
    assert f"../../actions/workflows/{workflow}/badge.svg" in text_of("README.md")
    for folder, link in ((".devcontainer", "](../../codespaces)"), (".binder", "](https://mybinder.org/)")):
        assert (ROOT / folder).is_dir()
        assert link in text_of("README.md")


def test_the_fast_suite_runs_on_three_systems_and_every_promised_python():
    jobs = yaml.safe_load(text_of(".github/workflows/tests.yml"))["jobs"]
    matrix = jobs["fast"]["strategy"]["matrix"]
    assert matrix["python"] == PROMISED
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    commands = [step["run"] for step in jobs["fast"]["steps"] if "run" in step]
    assert commands[0] == "python -m pip install -r requirements.txt"
    assert re.fullmatch(r"python -m pytest( \${{ .* && '--cov' .* }})?", commands[1])
    assert [step["run"] for step in jobs["slow"]["steps"] if "run" in step] == ["bash .ci/run"]


def test_the_linters_are_the_same_on_every_way():
    ours = re.findall(r"^\.venv/bin/((?:ruff|mypy).*)$", text_of(".ci/run"), re.MULTILINE)
    assert ours == ["ruff check .", "ruff format --check .", "mypy"]
    steps = yaml.safe_load(text_of(".github/workflows/tests.yml"))["jobs"]["lint"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands == ["python -m pip install -r requirements.txt", *(f"python -m {command}" for command in ours)]
    told = text_of(".github/CONTRIBUTING.md")
    assert [command for command in ours if f"`.venv/bin/{command.replace(' --check', '')}`" not in told] == []


def test_the_package_and_the_readme_promise_the_same_pythons():
    text = text_of("helpers/pyproject.toml")
    assert re.findall(r"Python :: (3\.\d+)", text) == PROMISED
    major, minor = map(int, PROMISED[-1].split("."))
    assert f'requires-python = ">={PROMISED[0]},<{major}.{minor + 1}"' in text
    assert f"You need Python {PROMISED[0]} to {PROMISED[-1]} " in text_of("README.md")
