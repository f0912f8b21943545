"""Runs the programs of other people's clients against a service, and says what each of their calls gave.

Called by the tests of the clients. A program gets an address, a token and a workspace by the three variables that
Gradient's own documentation names, and nothing of this kit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.environment import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE
from tests.conftest import TOKEN, WORKSPACE

from . import environment

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 120
QUIET = {  # what these would send home, were there a network
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LANGSMITH_TRACING": "false",
    "ANONYMIZED_TELEMETRY": "False",
}
ANSWER = "Foo-bears live in the tall grass behind the moon."  # what programs/steps teaches

Told = dict[str, Any]


def tell(program: str, url: str, folder: Path, *steps: str, of: str = "frameworks") -> Told:
    """What the steps of a program gave, by name.

    Args:
        program: a file of programs/.
        url: of the service.
        folder: with the files to upload, and for those that the program writes.
        steps: which ones; all of them if none is named.
        of: the environment, a file of environments/.
    """
    interpreter = str(environment.python(environment.named(of)))
    return _run(program, url, (folder, *steps), interpreter, {})


def tell_node(program: str, url: str, folder: Path, *steps: str) -> Told:
    """The same of a program for Node."""
    interpreter, packages = environment.node()
    return _run(program, url, (folder, *steps), str(interpreter), {"NODE_PATH": str(packages)})


def _run(program: str, url: str, arguments: tuple, interpreter: str, more: Mapping[str, str]) -> Told:
    given = {URL_VARIABLE: url, TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE, **QUIET, **more}
    said = environment.run(PROGRAMS / program, *arguments, seconds=SECONDS, interpreter=interpreter, given=given)
    return json.loads(said.splitlines()[-1])
