"""Vectors as they are kept, and the search among them: every one is compared, which takes 10 ms for twenty thousand.

Called by `ingestion.py` and `collections.py`. numpy is imported by the first search.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence


def packed(vector: Sequence[float]) -> bytes:
    """A vector in 32-bit floats, without the zeros at its end: the model's own numbers are fewer than the API's."""
    length = len(vector)
    while length and vector[length - 1] == 0:
        length -= 1
    return struct.pack(f"<{length}f", *vector[:length])


def ranked(question: Sequence[float], kept: Sequence[bytes]) -> Iterator[tuple[int, float]]:
    """All vectors by their likeness to a question's.

    Args:
        question: a vector of length 1.
        kept: packed vectors of length 1.

    Yields:
        Place in `kept` and cosine of each, the likest first; of equal ones the earlier first.
    """
    import numpy as np

    width = max(map(len, kept), default=0)
    table = np.frombuffer(b"".join(one.ljust(width, b"\0") for one in kept), "<f4").reshape(len(kept), width // 4)
    cosines = table @ np.asarray(question[: width // 4], "<f4")
    for at in np.argsort(-cosines, kind="stable"):
        yield int(at), float(cosines[at])
