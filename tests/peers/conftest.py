"""Skips with a sentence where an environment of other people's software can't be made, whatever asked for it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from . import environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except environment.Unavailable as reason:
        pytest.skip(str(reason))
