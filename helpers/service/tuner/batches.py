"""The samples of one fine-tune in batches: small ones, each a step, and large ones, to look at without learning, since
products with many columns are sooner done than as many with few.

What the layers below the adapted ones make of the tokens never changes, so it is computed once a call: 2.3 KB a token.
It is kept in memory up to KEPT_TOKENS, and beyond that in a file. All else is made of the samples anew for each batch,
so that a call of a hundred long samples takes no more memory than one of a few. Called by `recipe.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from .attention import Packing
from .job import NOT_TRAINABLE, TokenSample, TuningProgress
from .llama import Llama

BATCH = 4  # samples a step
BATCH_TOKENS = 1792  # a step's memory grows with them; a longer sample is a batch by itself
LOOK_TOKENS = 1024  # at once where nothing is learned; 40 MB
KEPT_TOKENS = 20_000  # 46 MB at the width of SmolLM2-135M

BeforeStep = Callable[[TuningProgress], None]
"""Called before each piece of work, with how far it is; may wait, and may raise to end the fine-tune."""


@dataclass
class Batch:
    """Samples beside each other, N tokens in all.

    Attributes:
        packing: where each sample lies.
        hidden: what the layers below the adapted ones make of the tokens, (D, N).
        trainable: the tokens whose successor is to be learned.
        targets: that successor, for each of them.
        weights: the weight of the sample that each of them is in.
    """

    packing: Packing
    hidden: np.ndarray
    trainable: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Prepared:
    """All samples of a call in batches, with what the layers below the adapted ones make of them.

    Args:
        model: the network.
        samples: of the call.
        first: the lowest adapted layer.
        spare: an open file for what is too much for memory; the caller closes it after the last batch.
        before_step: called before each piece of work.

    Attributes:
        batches: the samples of each step.
        looks: the samples of each look: several batches' together.
        samples: how many there are.
    """

    def __init__(
        self, model: Llama, samples: Sequence[TokenSample], first: int, spare: BinaryIO, before_step: BeforeStep
    ) -> None:
        self._model = model
        self.samples = len(samples)
        self.batches = list(_within(([sample] for sample in samples), BATCH_TOKENS, BATCH))
        self.looks = list(_within(self.batches, LOOK_TOKENS))
        self._places = list(_places(self.batches, self.looks))
        many = sum(len(sample.ids) for sample in samples) > KEPT_TOKENS
        self._hidden: _OnDisk | dict[int, np.ndarray] = _OnDisk(spare) if many else {}
        self._run_frozen_layers(first, before_step)

    def batch(self, number: int) -> Batch:
        """The samples of a step."""
        look, start = self._places[number]
        samples = self.batches[number]
        packing = self._packing(samples)
        beside = np.zeros((self._model.width, packing.columns), self._model.dtype)
        end = packing.slices[-1].stop
        beside[:, :end] = self._hidden[look][:, start : start + end]
        return packed(self._model, samples, packing, beside)

    def look(self, number: int) -> Batch:
        """The samples of a look."""
        samples = self.looks[number]
        return packed(self._model, samples, self._packing(samples), self._hidden[number])

    def before(self, number: int) -> int:
        """How many samples are in the batches before this one."""
        return sum(len(batch) for batch in self.batches[:number])

    def _run_frozen_layers(self, first: int, before_step: BeforeStep) -> None:
        """Each layer below works once a call, so its memory is given back as soon as all samples have been through."""
        for at, samples in enumerate(self.looks):
            self._hidden[at] = embedded(self._model, samples, self._packing(samples))
        for number in range(first):
            for at, samples in enumerate(self.looks):
                done = (number + at / len(self.looks)) / first
                before_step(TuningProgress("reading", int(done * self.samples), self.samples))
                self._hidden[at] = self._model.through(number, self._hidden[at], self._packing(samples))
            if number < self._model.upper_half:
                self._model.forget(number)

    def _packing(self, samples: Sequence[TokenSample]) -> Packing:
        return self._model.packing([len(sample.ids) for sample in samples])


def embedded(model: Llama, samples: Sequence[TokenSample], packing: Packing) -> np.ndarray:
    """What enters the first layer of samples beside each other, (D, N).

    Args:
        model: the network.
        samples: those of the batch.
        packing: where each of them lies.
    """
    beside = np.zeros((model.width, packing.columns), model.dtype)
    for sample, own in zip(samples, packing.slices, strict=True):
        beside[:, own] = model.embed(sample.ids)
    return beside


def packed(model: Llama, samples: Sequence[TokenSample], packing: Packing, hidden: np.ndarray) -> Batch:
    """A batch of samples whose tokens the layers below have made `hidden` of, (D, N).

    Args:
        model: the network.
        samples: those of the batch.
        packing: where each of them lies.
        hidden: what enters the lowest adapted layer, (D, N).
    """
    # The last token of a sample has no successor.
    after = np.concatenate([(*sample.labels[1:], NOT_TRAINABLE) for sample in samples])
    weights = np.concatenate([np.full(len(sample.ids), sample.multiplier, model.dtype) for sample in samples])
    trainable = np.flatnonzero(after != NOT_TRAINABLE)
    return Batch(packing, hidden, trainable, after[trainable], weights[trainable])


def trainable_tokens(samples: Sequence[TokenSample]) -> int:
    """How many tokens of the samples have a loss."""
    return sum(label != NOT_TRAINABLE for sample in samples for label in sample.labels[1:])


def _within(groups: Iterable[list[TokenSample]], tokens: int, most: int | None = None) -> Iterator[list[TokenSample]]:
    """Groups of samples joined, in their order, as far as they have so many tokens together and are so many samples."""
    joined: list[TokenSample] = []
    for group in groups:
        together = [*joined, *group]
        if joined and (len(together) > (most or len(together)) or sum(len(one.ids) for one in together) > tokens):
            yield joined
            joined = []
        joined = [*joined, *group]
    yield joined


def _places(batches: Sequence[list[TokenSample]], looks: Sequence[list[TokenSample]]) -> Iterator[tuple[int, int]]:
    """For each batch, the look in which it lies as a whole, and its first column there."""
    look, column, left = 0, 0, len(looks[0])
    for batch in batches:
        if not left:
            look, column, left = look + 1, 0, len(looks[look + 1])
        yield look, column
        column += sum(len(sample.ids) for sample in batch)
        left -= len(batch)


class _OnDisk:
    """Arrays by number, in a file; one that replaces another has its shape.

    Args:
        file: open for writing and reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._kept: dict[int, tuple[int, tuple[int, ...], np.dtype]] = {}

    def __setitem__(self, number: int, values: np.ndarray) -> None:
        offset = self._kept[number][0] if number in self._kept else self._file.seek(0, os.SEEK_END)
        self._file.seek(offset)
        self._file.write(values.tobytes())
        self._kept[number] = (offset, values.shape, values.dtype)

    def __getitem__(self, number: int) -> np.ndarray:
        offset, shape, dtype = self._kept[number]
        self._file.seek(offset)
        values = np.frombuffer(self._file.read(int(np.prod(shape)) * dtype.itemsize), dtype)
        return values.reshape(shape)
