"""The walls of the house: which room imports which library and which other room. The tables here are the rules.

An import inside a function counts as well, except for circles; one for type checkers alone counts nowhere. Each rule is
shown a source that breaks it, so that it can't pass by looking at nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.notebooks import ROOT
from tests.support.source import files, imports, modules, private_attributes, strings

# A room is all modules below these names; of two names that fit, the longer one counts. A new module of the service
# needs a place here: until it has one it counts as one of the helpers, which know little of the service.
ROOMS = {
    "facts": (
        "helpers.environment",
        "helpers.private_file",
        "helpers.renaming",
        "helpers.console",
        "helpers.language",
    ),
    "helpers": ("helpers",),
    "exercises": ("helpers.exercises",),
    "forms": ("helpers.forms",),
    "program": ("helpers.service.__main__", "helpers.service.server", "helpers.service.commands"),
    "outside": ("helpers.service.launcher", "helpers.service.paths", "helpers.service.logs"),
    "http": ("helpers.service.http",),
    "calls": ("helpers.service.calls",),
    "blocks": ("helpers.service.blocks",),
    "retrieval": (
        "helpers.service.collections",
        "helpers.service.ingestion",
        "helpers.service.documents",
        "helpers.service.pdf",
        "helpers.service.rag_prompt",
    ),
    "keeping": (
        "helpers.service.scheduler",
        "helpers.service.database",
        "helpers.service.store",
        "helpers.service.collection_store",
        "helpers.service.learners",
        "helpers.service.overview",
        "helpers.service.catalog",
    ),
    "cutting": ("helpers.service.chunkers", "helpers.service.vectors"),
    "seam": (
        "helpers.service.engine",
        "helpers.service.refusals",
        "helpers.service.weights_identity",
        "helpers.service.malloc",
    ),
    "local": ("helpers.service.local",),
    "cluster": ("helpers.service.cluster",),
    "model files": (
        "helpers.service.local.model_files",
        "helpers.service.local.embedder_files",
        "helpers.service.local.gguf_convert",
        "helpers.service.local.wheel_files",
    ),
    "tuner": ("helpers.service.tuner",),
    "tuner's process": ("helpers.service.tuner.process", "helpers.service.tuner.pool"),
    "tuner's job": ("helpers.service.tuner.job",),
    "weights file": ("helpers.service.tuner.weights_file",),
}

MAY_IMPORT = {
    "facts": set(),
    "helpers": {"facts", "outside", "model files"},
    "exercises": {"facts", "helpers", "forms", "outside"},
    "forms": {"facts", "helpers", "outside"},
    "program": {
        "facts",
        "outside",
        "http",
        "calls",
        "keeping",
        "seam",
        "local",
        "cluster",
        "model files",
        "tuner's process",
    },
    "outside": {"facts"},
    "http": {"facts", "outside", "calls", "blocks", "retrieval", "keeping", "cutting", "seam"},
    "calls": {"facts", "blocks", "retrieval", "keeping", "seam"},
    "blocks": {"cutting", "seam"},
    "retrieval": {"outside", "keeping", "cutting", "seam"},
    "keeping": {"facts", "cutting", "seam"},
    "cutting": set(),
    "seam": {"facts"},
    "local": {"facts", "outside", "seam", "model files", "tuner's job", "weights file"},
    "cluster": {"facts", "outside", "seam", "local", "model files"},
    "model files": {"facts", "outside", "seam", "weights file"},
    "tuner": {"seam", "tuner's job", "weights file"},
    "tuner's process": {"outside", "seam", "tuner", "tuner's job"},
    "tuner's job": {"facts"},
    "weights file": set(),
}

# Where a library may be imported; one that is not in this table may be imported nowhere.
LIBRARIES = {
    "fastapi": ("helpers.service.http",),
    "starlette": ("helpers.service.http",),
    "uvicorn": ("helpers.service.http",),
    "prometheus_client": ("helpers.service.http",),
    "pydantic": (
        "helpers.service.http",
        "helpers.endpoint_fields",
        "helpers.embeddings",
        "helpers.llm",
        "helpers.errors",
    ),
    "xllamacpp": ("helpers.service.local.decoder",),
    "psutil": ("helpers.service.local.cores",),
    "numpy": (
        "helpers.service.tuner",
        "helpers.service.vectors",
        "helpers.service.local.gguf_convert",
        "helpers.service.local.bert",
        "helpers.service.local.embedder",
    ),
    "pypdf": ("helpers.service.pdf",),
    "threadpoolctl": ("helpers.service.tuner.recipe", "helpers.service.local.embedder"),
    "safetensors": ("helpers.service.tuner", "helpers.service.local.gguf_convert"),
    "gguf": ("helpers.service.tuner.adapter_files", "helpers.service.local.gguf_convert"),
    "tokenizers": ("helpers.service.local.gguf_convert", "helpers.service.local.embedder"),
    "filelock": ("helpers.service.launcher", "helpers.service.local.wheel_files", "helpers.service.cluster.parcels"),
    "ray": ("helpers.service.cluster.on_ray",),
    "platformdirs": ("helpers.service.paths", "helpers.auth"),
    "gradientai": ("helpers.sdk", "helpers.sdk_classes", "helpers.errors", "helpers.forms"),
    "urllib3": ("helpers.sdk", "helpers.errors", "helpers.hanging_up"),
    "langchain_core": ("helpers.llm", "helpers.embeddings"),
    "ipywidgets": ("helpers.forms",),
    "pytest": ("helpers.pytest_plugin",),
    "IPython": ("helpers.cell_clock", "helpers.forms", "helpers.plots", "helpers.token_views"),
    "matplotlib": ("helpers.plots",),
    "packaging": ("helpers.offline",),
    "tqdm": ("helpers.progress_bars",),
}

# What importing this alone loads: the standard library and us.
LIGHT = [
    "helpers",
    "helpers.connection",
    "helpers.doctor",
    "helpers.environment",
    "helpers.exercises",
    "helpers.service.__main__",
    "helpers.service.calls",
    "helpers.service.tuner.pool",
]

SDK_DOOR = "helpers.sdk"
KERNEL_DOOR = "helpers.forms.comms"
FACTS = "helpers.environment"
MODULES = {name: path for name, path in modules(ROOT / "helpers").items() if name != "helpers.setup"}  # pip's


def is_below(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def room_of(module: str) -> str:
    fitting = [(len(name), room) for room, names in ROOMS.items() for name in names if is_below(module, (name,))]
    return max(fitting)[1]


def foreign_rooms(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Imports of rooms that a room must not know."""
    here = room_of(module)
    for found in imports(source, module, MODULES, is_package):
        if found.module.split(".")[0] == "helpers":
            there = room_of(found.module)
            if there != here and there not in MAY_IMPORT[here]:
                yield f"{module}:{found.line}: {here!r} must not import {found.module} of {there!r}"


def foreign_libraries(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Imports of libraries that have another place."""
    for found in imports(source, module, MODULES, is_package):
        library = found.module.split(".")[0]
        ours = library == "helpers" or library in sys.stdlib_module_names
        if not ours and not is_below(module, LIBRARIES.get(library, ())):
            yield f"{module}:{found.line}: {library} may be imported in {LIBRARIES.get(library, 'no module')}"


def foreign_secrets(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Private attributes of others: the SDK's are behind one door, the kernel's behind another, and ours have none."""
    if module not in (SDK_DOOR, KERNEL_DOOR):
        for name, line in private_attributes(source):
            yield f"{module}:{line}: {name} is private to another; if it is the SDK's, {SDK_DOOR} is the place for it"


def facts_again(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Names of environment variables that are written out again."""
    if module != FACTS:
        for text, line in strings(source):
            if re.fullmatch(r"GRADIENT_[A-Z_]+", text):
                yield f"{module}:{line}: {text} has a name in {FACTS}"


RULES = [foreign_rooms, foreign_libraries, foreign_secrets, facts_again]


def circle(sources: dict[str, str], packages: set[str]) -> list[str]:
    """Modules that import one another when they are imported, as far as one leads to the next; empty if none do."""
    graph = {  # a package that says `from . import part` names its part, not itself
        module: {found.module for found in imports(source, module, sources, module in packages) if found.at_top}
        for module, source in sources.items()
    }
    try:
        TopologicalSorter({module: there & set(sources) - {module} for module, there in graph.items()}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("rule", RULES)
def test_no_module_breaks_a_rule(rule: Callable[..., Iterator[str]]):
    found = [
        said
        for module, path in MODULES.items()
        for said in rule(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_no_modules_import_one_another_in_a_circle():
    sources = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}
    assert circle(sources, {module for module, path in MODULES.items() if path.name == "__init__.py"}) == []


@pytest.mark.parametrize("module", LIGHT)
def test_what_is_imported_all_the_time_loads_the_standard_library_alone(module):
    ours = {"helpers", "__mp_main__"}  # multiprocessing calls the main module so
    assert {name for name in loaded_by(module) if name not in sys.stdlib_module_names} <= ours


def test_the_service_loads_nothing_that_tunes_or_embeds_before_it_does():
    loaded = loaded_by("helpers.service.server, helpers.service.local.engine, helpers.service.tuner.process")
    heavy = {"torch", "transformers", "peft", "gguf", "numpy", "safetensors", "tokenizers", "xllamacpp"}
    assert heavy.isdisjoint(loaded)


def loaded_by(module: str) -> set[str]:
    """Top-level names of all that an import adds in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    added = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    return {name.split(".")[0] for name in added}


# --- the rules can fail


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (foreign_rooms, "helpers.service.calls", "from .http import app"),
        (foreign_rooms, "helpers.service.scheduler", "from . import calls"),
        (foreign_rooms, "helpers.service.engine", "from .store import Store"),
        (foreign_rooms, "helpers.service.refusals", "import helpers.service.http.envelope"),
        (foreign_rooms, "helpers.service.local.engine", "def tune():\n    from ..tuner.recipe import Tuner"),
        (foreign_rooms, "helpers.service.server", "from .tuner import llama"),
        (foreign_rooms, "helpers.service.tuner.process", "from ..local.decoder import Decoder"),
        (foreign_rooms, "helpers.connection", "from .forms import form"),
        (foreign_rooms, "helpers.plots", "from .service.calls import Calls"),
        (foreign_libraries, "helpers.service.calls", "import fastapi"),
        (foreign_libraries, "helpers.service.server", "def run():\n    import uvicorn"),
        (foreign_libraries, "helpers.service.local.engine", "from xllamacpp import Server"),
        (foreign_libraries, "helpers.service.scheduler", "try:\n    pass\nexcept OSError:\n    import torch.nn"),
        (foreign_libraries, "helpers.plots", "import a_new_library"),
        (foreign_libraries, "helpers.service.cluster.routing", "import ray"),
        (foreign_rooms, "helpers.service.calls", "from .cluster import engine"),
        (foreign_secrets, "helpers.forms.form", "url = self.gradient._api_client.configuration.host"),
        (foreign_secrets, "helpers.doctor", "from . import connection\nconnection._set_by_us"),
        (facts_again, "helpers.llm", "import os\nos.environ['GRADIENT_API_URL']"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule, module, source):
    assert len(list(rule(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("helpers.service.engine", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .calls import Calls"),
        ("helpers.service.http.guard", "import starlette.types\nfrom .. import logs, refusals\nfrom . import status"),
        ("helpers.sdk", "gradient._models_api"),
        ("helpers.forms.form", "self._x, cls._y, super()._z, error.__traceback__, times._asdict()"),
        ("helpers.llm", "'call connect() first, which sets GRADIENT_API_URL'"),
    ],
)
def test_a_rule_finds_nothing_where_nothing_is_wrong(module, source):
    assert [said for rule in RULES for said in rule(module, source)] == []


def test_a_circle_is_found_and_a_later_import_is_none():
    assert circle({"p": "", "p.a": "from . import b", "p.b": "from .c import x", "p.c": "import p.a"}, {"p"})
    assert not circle({"p": "", "p.a": "from . import b", "p.b": "def later():\n    from . import a"}, {"p"})
    assert circle({"p": "from .a import x", "p.a": "from . import something_of_p"}, {"p"})


def test_every_folder_of_code_is_a_package_so_that_it_is_installed():
    folders = {path.parent for path in files(ROOT / "helpers", "*.py")}
    assert [folder.name for folder in folders if not (folder / "__init__.py").exists()] == []
