"""Every path, link and import that the README and the notebooks name is there."""

from __future__ import annotations

import ast
import importlib
import re
from importlib.util import find_spec

import pytest

from tests.support.notebooks import EDITION_FILES, FILES, FOLDER, ROOT, code_cells, prose, read, solutions
from tests.support.source import files

PAGES = [
    ROOT / "README.md",
    ROOT / ".github" / "CONTRIBUTING.md",
    *(page for folder in ("notebooks", "helpers", "tests") for page in files(ROOT / folder, "*.md")),
]
OF_THE_HOST = ("http", "#", "../../actions/", "../../codespaces")  # GitHub's pages of whichever repository it is
FOLDERS = ("notebooks/", "helpers/", "tests/", "data/", ".ci/")


def texts() -> list[tuple[str, str]]:
    """Name and prose of every page and notebook."""
    pages = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in PAGES]
    return pages + [(str(path.relative_to(ROOT)), prose(read(path))) for path in [*FILES, *EDITION_FILES]]


@pytest.mark.parametrize(("name", "text"), texts(), ids=[name for name, _ in texts()])
def test_every_relative_link_and_named_path_exists(name, text):
    here = (ROOT / name).parent
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(OF_THE_HOST)]
    for link in links:
        assert (here / link.split("#")[0]).exists(), link
    for quoted in re.findall(r"`([\w./*-]+)`", text):
        if quoted.startswith(FOLDERS) and not re.search("NN_|/xx/", quoted):  # a name that someone is to choose
            assert (ROOT / quoted).exists() or (here / quoted).exists(), quoted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_import_and_data_file_of_a_notebook_exists(path):
    notebook = read(path)
    for source in [*(cell.source for cell in code_cells(notebook)), *solutions(notebook)]:
        for node in ast.walk(compile(source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "helpers":
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}"), source
        for data in re.findall(r'Path\("([^"]+)"\)', source):
            assert (FOLDER / data).exists(), data


def test_the_copy_that_jupyter_keeps_of_an_opened_page_is_no_page_of_ours(tmp_path):
    for path in (tmp_path / "README.md", tmp_path / ".ipynb_checkpoints" / "README-checkpoint.md"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("[a lesson](gone.ipynb)", encoding="utf-8")
    assert files(tmp_path, "*.md") == [tmp_path / "README.md"]


def test_the_top_level_holds_the_five_and_dotfiles_only():
    import subprocess

    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    top = {name.split("/")[0] for name in tracked}
    assert {name for name in top if not name.startswith(".")} == {
        "notebooks",
        "helpers",
        "tests",
        "requirements.txt",
        "README.md",
    }


def test_the_map_of_the_helpers_shows_every_module_and_room():
    """A module of `helpers` itself by its name, what lies deeper by its folder."""
    text = (ROOT / "helpers" / "README.md").read_text(encoding="utf-8")
    small = {"__init__.py", "setup.py", "pytest_plugin.py", "private_file.py"}
    modules = {path.name for path in (ROOT / "helpers").glob("*.py")} - small
    folders = {
        path.parent.relative_to(ROOT / "helpers").as_posix() for path in (ROOT / "helpers").rglob("*/__init__.py")
    }
    assert [name for name in sorted(modules) if f"[`{name}`]({name})" not in text] == []
    assert [name for name in sorted(folders) if f"]({name})" not in text] == []
