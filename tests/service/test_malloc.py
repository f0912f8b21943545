"""The hints about freed memory: glibc takes them, and any other C library is left alone."""

from __future__ import annotations

import ctypes
import platform

import pytest

from helpers.service import malloc


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to ask elsewhere")
def test_glibc_takes_every_hint(monkeypatch):
    answers = []
    real = ctypes.CDLL(None)

    class Library:
        def __getattr__(self, name):
            return lambda *arguments: answers.append((name, getattr(real, name)(*arguments)))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    malloc.return_large_blocks()
    malloc.keep_blocks()
    malloc.give_back()
    assert [name for name, _ in answers] == ["mallopt", "mallopt", "mallopt", "malloc_trim"]
    assert [taken for name, taken in answers if name == "mallopt"] == [1, 1, 1]  # 1: taken, 0: refused


@pytest.mark.parametrize("broken", [OSError, TypeError])
def test_without_such_a_library_nothing_happens(monkeypatch, broken):
    asked = []

    def no_library(name):
        asked.append(name)
        raise broken

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    malloc.return_large_blocks()
    malloc.keep_blocks()
    malloc.give_back()
    assert len(asked) == 4
