"""Our files: the source of our modules, and what it imports, which private attributes it touches, which strings it has.

For `test_walls.py` and the other tests of rules that the source keeps.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PUBLIC_IN_SPITE = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of namedtuples and of os


@dataclass(frozen=True)
class Import:
    """One module that another imports.

    Attributes:
        module: its full name.
        line: where.
        at_top: whether it happens when the importing module is imported, and not later in a function.
    """

    module: str
    line: int
    at_top: bool


def files(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder, without the copies that Jupyter keeps of those that someone has opened."""
    return sorted(path for path in folder.rglob(pattern) if ".ipynb_checkpoints" not in path.parts)


def modules(package: Path) -> dict[str, Path]:
    """Every module below a package's folder, by full name."""
    found = {}
    for path in files(package, "*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def sources(package: Path) -> dict[str, str]:
    """The text of every module below a package's folder, by full name."""
    return {name: path.read_text(encoding="utf-8") for name, path in modules(package).items()}


def imports(source: str, module: str, known: Collection[str], is_package: bool = False) -> list[Import]:
    """What a module imports, without what is imported for type checkers alone.

    Args:
        source: the module's text.
        module: its full name, against which relative imports are read.
        known: our own modules: `from package import name` is an import of `package.name` if that is one of them.
        is_package: whether the text is an `__init__.py`.
    """
    base = module if is_package else module.rpartition(".")[0]
    found = []
    for node, at_top in _statements(ast.parse(source).body, True):
        if isinstance(node, ast.Import):
            found += [Import(name.name, node.lineno, at_top) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, base)
            targets = {f"{origin}.{name.name}" if f"{origin}.{name.name}" in known else origin for name in node.names}
            found += [Import(target, node.lineno, at_top) for target in sorted(targets)]
    return found


def _origin(node: ast.ImportFrom, base: str) -> str:
    """The full name after `from`."""
    if not node.level:
        return node.module
    above = ".".join(base.split(".")[: len(base.split(".")) - node.level + 1])
    return f"{above}.{node.module}" if node.module else above


def _statements(body: list[ast.stmt], at_top: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """All statements, inner ones included, and whether each runs when the module is imported."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _statements(node.orelse, at_top)
            continue
        yield node, at_top
        inner_at_top = at_top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, []), inner_at_top)
        for handler in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
            yield from _statements(handler.body, inner_at_top)


def private_attributes(source: str) -> list[tuple[str, int]]:
    """Private attributes of anything but `self`, `cls` and `super()`: name and line."""
    return [
        (node.attr, node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in PUBLIC_IN_SPITE
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]


def strings(source: str) -> list[tuple[str, int]]:
    """Every string constant and its line."""
    return [
        (node.value, node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
