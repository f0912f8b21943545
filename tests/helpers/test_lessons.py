"""A copy of the lessons to work in, and pages that JupyterLab opens rendered."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import copy_lessons
from tests.support.notebooks import FOLDER, NAMES, ROOT


def test_a_copy_has_all_that_the_lessons_need_and_changes_nothing(tmp_path):
    folder = copy_lessons(tmp_path / "mine")
    assert {path.name for path in folder.iterdir()} >= {*NAMES, "README.md", "data"}
    (folder / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="there already"):
        copy_lessons(folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == "mine"
    assert (FOLDER / "README.md").read_text(encoding="utf-8") != "mine"


def test_a_copy_that_is_interrupted_can_be_made_again(tmp_path, monkeypatch):
    def breaks(folder: str, names: list[str]) -> set[str]:
        if Path(folder) != FOLDER:  # the first of the inner folders, when something is there already
            raise KeyboardInterrupt
        return set()

    monkeypatch.setattr(shutil, "ignore_patterns", lambda *_: breaks)
    with pytest.raises(KeyboardInterrupt):
        copy_lessons(tmp_path / "mine")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert copy_lessons(tmp_path / "mine") == tmp_path / "mine"


def test_the_command_says_how_to_open_the_copy_and_refuses_in_a_sentence(tmp_path):
    command = [sys.executable, "-m", "helpers.lessons", str(tmp_path / "mine")]
    first, second = (subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60) for _ in range(2))
    assert first.returncode == 0
    assert "lab" in first.stdout
    assert "README.md" in first.stdout
    assert second.returncode == 1
    assert "Traceback" not in second.stderr


def test_jupyterlab_opens_pages_rendered_where_the_kit_is_installed(tmp_path):
    """Not by the checkout's own file: by what the set-up has put where JupyterLab looks."""
    from jupyterlab_server.settings_utils import _get_overrides

    overrides, error = _get_overrides(str(tmp_path))
    assert not error
    viewers = overrides["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers["markdown"] == "Markdown Preview"
