"""Skips with a sentence where the environment of other people's software can't be made."""

from __future__ import annotations

import pytest

from . import environment


@pytest.fixture(scope="session", autouse=True)
def peers():
    try:
        return environment.python()
    except environment.Unavailable as reason:
        pytest.skip(str(reason))
