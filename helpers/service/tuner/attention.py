"""Causal self-attention over samples that are packed beside each other, forwards and backwards. Called by `llama.py`.

Each token gathers from the tokens before it, within its sample alone (arXiv 1706.03762). Positions enter by turning
queries and keys (rotary embedding, arXiv 2104.09864); several query heads share a key head (arXiv 2305.13245).

The shares that tokens take of each other grow with the square of a sample's length: 116 MB a layer at 1792 tokens and
nine heads. So a sample is gone through in blocks of BLOCK tokens, each of which looks at no more than the tokens up to
its end, and the shares of a sample of several blocks are computed once more on the way back instead of kept.

Shapes: N tokens in all, T in one sample, each a column; H query heads and K key heads of width W, G = H / K; B tokens
in a block, which see S.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

BLOCK = 256  # tokens whose shares are in memory at once: 17 MB for the last ones of 1792 with nine heads
COLUMNS = 8  # N is a multiple of it, which matrix products reward: 24 columns take less time than 23


class Heads(NamedTuple):
    """How many query and key heads there are, and how wide they are."""

    queries: int
    keys: int
    width: int


class Kept(NamedTuple):
    """What a sample's way forward leaves for its way back.

    Attributes:
        heads: its queries, keys and values, (H + 2 K, W, T).
        shares: of a sample of one block, (K, G T, T); None if there are more.
    """

    heads: np.ndarray
    shares: np.ndarray | None


class Packing:
    """The samples of a batch: which columns are theirs, and what their positions make of it.

    Args:
        lengths: tokens of each sample.
        heads: the model's.
        theta: base of the rotary embedding.
        dtype: of the numbers.

    Attributes:
        columns: N. The last few may belong to no sample; nothing that is computed in them reaches a sample.
        slices: the columns of each sample.
    """

    def __init__(self, lengths: Sequence[int], heads: Heads, theta: float, dtype: np.dtype) -> None:
        ends = np.cumsum(lengths).tolist()
        self.columns = -(-ends[-1] // COLUMNS) * COLUMNS
        self.slices = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        self._heads = heads
        positions = np.zeros(self.columns)
        positions[: ends[-1]] = np.concatenate([np.arange(length) for length in lengths])
        angles = np.outer(theta ** (-np.arange(0, heads.width, 2) / heads.width), positions)
        angles = np.tile(angles, (2, 1)).astype(dtype)  # a head's two halves are the coordinates, as Llama lays them
        self._cosines, self._sines = np.cos(angles), np.sin(angles)
        longest = min(max(lengths), BLOCK)
        self._later = np.triu(np.full((longest, longest), -np.inf, dtype), 1)  # a token sees itself and those before

    def attention(self, qkv: np.ndarray) -> tuple[np.ndarray, list[Kept]]:
        """What each token gathers, (H W, N), and what `attention_back` needs.

        Args:
            qkv: queries, keys and values of each token below each other, ((H + 2 K) W, N); changed in place.
        """
        queries, keys, width = self._heads
        heads = qkv.reshape(-1, width, self.columns)
        heads[:-keys] = self._rotated(heads[:-keys])
        gathered, kept = np.zeros((queries * width, self.columns), qkv.dtype), []
        for own in self.slices:
            of_sample, shares = heads[:, :, own], None
            for block, query, key, value in self._blocks(of_sample):
                shares = self._softmax(query @ key)
                gathered[:, own][:, block] = self._ungrouped(shares @ value.swapaxes(1, 2))
            kept.append(Kept(of_sample, shares if of_sample.shape[2] <= BLOCK else None))
        return gathered, kept

    def attention_back(self, d_gathered: np.ndarray, kept: list[Kept]) -> np.ndarray:
        """The gradient of `qkv`, from that of what was gathered.

        Args:
            d_gathered: the gradient of what `attention` gave, (D, N).
            kept: what `attention` kept.
        """
        queries, keys, width = self._heads
        d_heads = np.zeros((queries + 2 * keys, width, self.columns), d_gathered.dtype)
        for own, left in zip(self.slices, kept, strict=True):
            d_own = d_heads[:, :, own]
            for block, query, key, value in self._blocks(left.heads):
                shares = self._softmax(query @ key) if left.shares is None else left.shares
                d_out = self._grouped(d_gathered[:, own][:, block])
                d_shares = d_out @ value
                d_scores = (d_shares - (d_shares * shares).sum(-1, keepdims=True)) * shares * width**-0.5
                d_query = self._ungrouped(d_scores @ key.swapaxes(1, 2))
                d_own[:queries, :, block] = d_query.reshape(queries, width, -1)
                d_own[queries:-keys, :, : block.stop] += query.swapaxes(1, 2) @ d_scores
                d_own[-keys:, :, : block.stop] += d_out.swapaxes(1, 2) @ shares
        d_heads[:-keys] = self._rotated_back(d_heads[:-keys])
        return d_heads.reshape(-1, self.columns)

    def _blocks(self, heads: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Of each block of a sample: its tokens, their queries, (K, G B, W), and the keys and values that they see,
        (K, W, S) both."""
        queries, keys, _ = self._heads
        for start in range(0, heads.shape[2], BLOCK):
            block = slice(start, min(start + BLOCK, heads.shape[2]))
            seen = heads[queries:, :, : block.stop]
            yield block, self._grouped(heads[:queries, :, block]), seen[:keys], seen[keys:]

    def _grouped(self, heads: np.ndarray) -> np.ndarray:
        """A block's query heads by the key head that they share, a row for each token: (K, G B, W)."""
        queries, keys, width = self._heads
        return heads.reshape(keys, queries // keys, width, -1).swapaxes(2, 3).reshape(keys, -1, width)

    def _ungrouped(self, groups: np.ndarray) -> np.ndarray:
        """The way back, to a column for each token: (H W, B)."""
        queries, keys, width = self._heads
        return groups.reshape(keys, queries // keys, -1, width).swapaxes(2, 3).reshape(queries * width, -1)

    def _softmax(self, scores: np.ndarray) -> np.ndarray:
        """Softmax of a block's scores over the tokens that each may see, (K, G B, S) both."""
        groups, seen = self._heads.queries // self._heads.keys, scores.shape[2]
        tokens = scores.shape[1] // groups
        by_head = scores.reshape(len(scores), groups, tokens, seen)
        by_head *= self._heads.width**-0.5
        by_head[..., seen - tokens :] += self._later[:tokens, :tokens]
        scores -= scores.max(-1, keepdims=True)
        shares = np.exp(scores, out=scores)
        shares /= shares.sum(-1, keepdims=True)
        return shares

    def _rotated(self, heads: np.ndarray) -> np.ndarray:
        lower, upper = np.split(heads, 2, 1)
        return heads * self._cosines + np.concatenate((-upper, lower), 1) * self._sines

    def _rotated_back(self, d_heads: np.ndarray) -> np.ndarray:
        lower, upper = np.split(d_heads * self._sines, 2, 1)
        return d_heads * self._cosines + np.concatenate((upper, -lower), 1)
