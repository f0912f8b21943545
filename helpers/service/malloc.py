"""Hints to the C library about freed memory: give it back (the decoder), or keep it for the next step (the tuner).

They reach glibc, by mallopt(3) and malloc_trim(3). Elsewhere there are no such calls, and all functions do nothing.
This stands outside of `local/` and `tuner/` because both need it, and neither may need the other.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGE = 1_000_000  # bytes
_LARGEST = 32 * 1024 * 1024  # bytes; glibc takes no higher limit
_KEPT = 128_000_000  # bytes


def return_large_blocks() -> None:
    """Large blocks come from the system one by one from now on, and go back to it when they are freed.

    glibc raises its limit for that to 32 MB as it goes, and then the blocks of one llama.cpp server lie scattered
    between those of the next: 50 MB more after eight of them.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)


def keep_blocks() -> None:
    """What is freed stays with this process from now on, up to 128 MB.

    A training step frees what the next one needs again. Without this, a step on 26 tokens meets 7000 pages that the
    system has to clear first: a tenth of its time, and up to half in a virtual machine.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGEST)
    _call("mallopt", _M_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Returns what is free to the system; glibc keeps it otherwise."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):
        getattr(ctypes.CDLL(None), name)(*arguments)
