"""Types stay checked: mypy is strict with `helpers`, and whoever imports it gets its types. `.ci/run` runs mypy."""

from __future__ import annotations

import configparser
import importlib.resources
import re

from tests.conftest import ROOT
from tests.support.source import sources

SETTINGS = {
    "files": "helpers",
    "strict": "true",
    "python_version": "3.10",
    "platform": "linux",
    "ignore_missing_imports": "true",
    "disallow_subclassing_any": "false",
    "untyped_calls_exclude": "IPython",
    "warn_return_any": "false",
}


def test_mypy_is_strict_and_nothing_is_loosened_but_what_is_listed_here():
    config = configparser.ConfigParser()
    config.read(ROOT / ".mypy.ini", encoding="utf-8")
    assert {name: dict(config[name]) for name in config.sections()} == {"mypy": SETTINGS}


def test_what_mypy_lets_pass_in_a_line_has_a_code_and_a_reason():
    lines = [line for source in sources(ROOT / "helpers").values() for line in source.splitlines()]
    passing = [line for line in lines if "type: ignore" in line]
    assert 0 < len(passing) < 15
    assert [line for line in passing if not re.search(r"  # type: ignore\[[\w, -]+\]  # \S", line)] == []


def test_the_package_as_installed_says_that_it_is_typed():
    assert importlib.resources.files("helpers").joinpath("py.typed").is_file()
    packed = re.search(
        r"^package-data = \{ helpers = \[(.*)\] \}$", (ROOT / "helpers/pyproject.toml").read_text("utf-8"), re.M
    )
    assert '"py.typed"' in packed[1]
