"""What a public name's docstring owes its reader: three arguments or more are named, and so is every refusal by name.

ruff (`D`) sees to it that there is a docstring. What only passes on to something that has one refers to that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.support.source import sources

REFERS = re.compile(r"[Aa]s (for )?`|langchain-core's|[Tt]he SDK's own")  # "As `batch`."
MOST_UNNAMED = 2  # arguments that a summary speaks for


def unnamed(source: str) -> Iterator[str]:
    """Arguments of public functions, and of classes' `__init__`, that their docstring does not name."""
    for name, function, text in _documented(ast.parse(source).body):
        given = [one.arg for one in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
        given = [one for one in given if one not in ("self", "cls")]
        missing = [one for one in given if not re.search(rf"\b{one}\b", text)]
        if missing and len(given) > MOST_UNNAMED and not REFERS.search(text):
            yield f"{name}: {', '.join(missing)}"


def unsaid(source: str) -> Iterator[str]:
    """Exceptions that a public function raises itself and its docstring does not name, nor refusals as a whole."""
    for name, function, text in _documented(ast.parse(source).body):
        for node in _own(function):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                raised = ast.unparse(node.exc.func).rpartition(".")[2]
                if raised[0].isupper() and raised not in text and not re.search(r"Refusal|efuse|Raises ", text):
                    yield f"{name}: {raised}"


def _documented(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """Public functions by name, each with the docstring that speaks of its arguments."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            made = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
            if made is not None:
                yield node.name, made, ast.get_docstring(node) or ""
            yield from _documented(node.body, f"{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            text = ast.get_docstring(node)
            if text is not None:
                yield f"{within}{node.name}", node, text


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions in it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from _own(node)


@pytest.mark.parametrize("rule", [unnamed, unsaid])
def test_no_docstring_owes_anything(rule):
    ours = sources(ROOT / "helpers").items()
    assert [f"{module}.{said}" for module, source in ours for said in rule(source)] == []


@pytest.mark.parametrize(
    ("rule", "source", "count"),
    [
        (unnamed, 'def f(a, b, c):\n    """Adds a and b."""', 1),
        (unnamed, 'def f(a, b, c):\n    """Adds a, b and c."""', 0),
        (unnamed, 'def f(a, b, c):\n    """As `g`."""', 0),
        (unnamed, 'class A:\n    """An A."""\n    def __init__(self, a, b, c):\n        pass', 1),
        (unnamed, 'def _f(a, b, c):\n    """Private."""', 0),
        (unsaid, 'def f():\n    """Nothing."""\n    raise ValueError("x")', 1),
        (unsaid, 'def f():\n    """Raises:\n        ValueError: always.\n    """\n    raise ValueError("x")', 0),
        (unsaid, 'def f():\n    """Nothing."""\n    def g():\n        raise ValueError("x")', 0),
    ],
)
def test_a_rule_finds_what_is_owed_and_nothing_else(rule, source, count):
    assert len(list(rule(source))) == count
