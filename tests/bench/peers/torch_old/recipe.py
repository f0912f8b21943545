"""The recipe of the tuner that this project had until it was written in numpy, in torch: see `torch_tuner.py`.

It is that of `helpers/service/tuner/recipe.py` on that day, without files and without giving way. Since then B learns
faster there, and what the samples can spare of an update is found more closely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.optim.adamw import adamw

from .llama import TARGETS, Llama, Lora, Rotary

NOT_TRAINABLE = -100


class NanLoss(ArithmeticError):
    """As in the service."""


class TokenSample(NamedTuple):
    """As in the service."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    multiplier: float = 1.0


class TuningResult(NamedTuple):
    """As in the service."""

    trainable_tokens: int
    sum_loss: float
    steps: int


BATCH = 4
MAX_PASSES = 10
FULL_PASSES = 4  # at the full learning rate; after them it falls in a line
LEARNED = math.log(2)  # a token with less loss than this has more than half of the probability
HALVINGS = 3  # to an eighth of the change, in as many looks at the samples
CLIP = 1.0
B_MOST = 1e-2  # but not beyond this rate, at which rank 32 begins to break, unless the learning rate itself is
B_RATE = 4  # LoRA's B matrices, which begin at 0, learn so many times as fast as A (LoRA+, arXiv 2402.12354)
RUN_AWAY = 1.5  # a one-token sample rises to 1.25 times its first loss at rank 32 and 1e-2, and is learned all the same
SEED = 0  # equal calls give equal adapters


class Tuner:
    """Holds the base model and tunes one fresh adapter at a time on it.

    Args:
        folder: Hugging Face folder of the base model.
        floats: name of a torch type for the frozen matrices; None for the one that suits the CPU.
    """

    def __init__(self, folder: Path, floats: str | None) -> None:
        self._model = Llama(folder, "cpu", getattr(torch, floats) if floats else matrix_type("cpu"))

    def tune(self, samples: Sequence[TokenSample], rank: int, learning_rate: float) -> tuple[Lora, TuningResult]:
        """Tunes a fresh adapter."""
        fresh = _fresh(self._model, rank)

        def learning(half: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: matrices.requires_grad_() for name, matrices in half.items()}

        lora = replace(fresh, a=learning(fresh.a), b=learning(fresh.b))
        optimizer = _AdamW(lora, learning_rate, {})
        starts = range(0, len(samples), BATCH)
        batches = [_batch(self._model, samples[start : start + BATCH], lora.first) for start in starts]
        return lora, _optimise(self._model, lora, optimizer, batches, lambda: None)


def matrix_type(device: str) -> torch.dtype:
    """The floats that the frozen matrices are kept in.

    16 bits (bfloat16) where the CPU multiplies such matrices in hardware (Intel's AMX), which takes a third of the time
    and half of the memory; 32 elsewhere. With AVX-512 alone bfloat16 takes 2.5 times as long, with AVX-512's own
    instructions for it as long as 32 bits, with AVX2 4 times, and backwards 50 times (measured on 26 tokens).
    """
    matrices_in_hardware = device == "cpu" and torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.bfloat16 if matrices_in_hardware else torch.float32


def _fresh(model: Llama, rank: int) -> Lora:
    """An adapter of the upper half of the layers that adds nothing yet: A as peft draws it, B zero."""
    torch.manual_seed(SEED)
    count = model.layer_count - model.upper_half
    a, b = {}, {}
    for name in TARGETS:
        rows, columns = model.sizes[name]
        a[name] = torch.empty(count, rank, columns).uniform_(-1, 1) / math.sqrt(columns)
        b[name] = torch.zeros(count, rows, rank)
    return Lora(model.upper_half, 2.0, a, b)


class _AdamW:
    """AdamW without weight decay, with two learning rates and a state that can be kept.

    torch's optimizer classes import its compiler when one is made, which takes a second; its function does not.

    Args:
        lora: what learns.
        rate: the learning rate of the A matrices.
        state: `state` of an earlier optimizer of the same adapter; empty for a fresh one.
    """

    def __init__(self, lora: Lora, rate: float, state: dict[str, torch.Tensor]) -> None:
        self._learning = lora.named()
        self._rates = {"a": rate, "b": rate * max(1.0, min(B_RATE, B_MOST / rate))}
        self.state: dict[str, torch.Tensor] = {}
        for name, values in self._learning.items():
            fresh = {"mean": torch.zeros_like(values), "square": torch.zeros_like(values), "steps": torch.tensor(0.0)}
            for part, start in fresh.items():
                self.state[f"{name}.{part}"] = state.get(f"{name}.{part}", start).to(start.device)

    @torch.no_grad()
    def step(self, share: float = 1.0) -> None:
        """Moves all matrices by their gradients, at a share of the learning rates, and clears the gradients."""
        for name, values in self._learning.items():
            adamw(
                [values],
                [values.grad],
                [self.state[f"{name}.mean"]],
                [self.state[f"{name}.square"]],
                [],
                [self.state[f"{name}.steps"]],
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=share * self._rates[name[0]],
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
            values.grad = None


@dataclass(frozen=True)
class _Batch:
    """Samples side by side, padded on the right: no token sees one after it, so that padding needs no mask.

    Attributes:
        hidden: what the layers below the adapted ones make of the tokens, (samples, tokens, width). They never change,
            so it is computed once a call.
        rotary: of the tokens' positions.
        labels: (samples, tokens): the token where it is to be learned, else NOT_TRAINABLE.
        weights: a weight per sample.
    """

    hidden: torch.Tensor
    rotary: Rotary
    labels: torch.Tensor
    weights: torch.Tensor


@torch.no_grad()
def _batch(model: Llama, samples: Sequence[TokenSample], first: int) -> _Batch:
    ids = torch.zeros(len(samples), max(len(sample.ids) for sample in samples), dtype=torch.long)
    labels = torch.full_like(ids, NOT_TRAINABLE)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        labels[row, : len(sample.ids)] = torch.tensor(sample.labels)
    weights = torch.tensor([sample.multiplier for sample in samples])
    hidden, rotary = model.embed(ids)
    return _Batch(model.below(hidden, rotary, first), rotary, labels.to(model.device), weights.to(model.device))


def _token_losses(model: Llama, lora: Lora, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each trainable token in nats, and the weight of the sample that it is in: two vectors.

    The output layer is the widest matrix of a small model, so it runs on the trainable positions alone.
    """
    hidden = model.above(batch.hidden, batch.rotary, lora)
    targets = batch.labels[:, 1:]  # a position predicts the token after it
    trainable = targets != NOT_TRAINABLE
    logits = model.logits(hidden[:, :-1][trainable])
    losses = torch.nn.functional.cross_entropy(logits, targets[trainable], reduction="none")
    return losses, batch.weights[:, None].expand_as(targets)[trainable]


class _Loss(NamedTuple):
    """A batch's loss in nats.

    Attributes:
        tokens: how many have one.
        total: its sum.
        mean: per token, where a sample counts by its weight.
        most: the greatest of a token.
    """

    tokens: int
    total: float
    mean: float
    most: float

    @property
    def learned(self) -> bool:
        return self.most < LEARNED


def _optimise(
    model: Llama, lora: Lora, optimizer: _AdamW, batches: list[_Batch], before_step: Callable[[], None]
) -> TuningResult:
    """Learns the batches, and takes back what they can spare of it if they were not known before."""
    start = _copied(lora)
    first, steps, learned = _train(model, lora, optimizer, batches, before_step)
    if learned and not all(loss.learned for loss in first):
        _take_back(model, lora, start, batches, before_step)
    for values in lora.named().values():
        _finite(values.sum())
    return TuningResult(sum(loss.tokens for loss in first), sum(loss.total for loss in first), steps)


def _train(
    model: Llama, lora: Lora, optimizer: _AdamW, batches: list[_Batch], before_step: Callable[[], None]
) -> tuple[list[_Loss], int, bool]:
    """Passes over the batches until all is learned; a batch that is learned already is not trained again.

    Returns:
        Each batch's loss before the first update, how many steps it took, and whether all is learned.
    """
    # The first update would change the others' losses; that of a single batch is read as it steps.
    first = list(_losses(model, lora, batches, before_step)) if len(batches) > 1 else []
    uniform = math.log(model.vocabulary)
    steps = 0
    for number_of_pass in range(MAX_PASSES):
        learned = True
        share = min(1.0, (MAX_PASSES - number_of_pass) / (MAX_PASSES - FULL_PASSES))
        for number, batch in enumerate(batches):
            before_step()
            losses, weights = _token_losses(model, lora, batch)
            now = _loss(losses, weights)
            first = first or [now]
            if now.mean > max(uniform, RUN_AWAY * first[number].mean):
                raise NanLoss
            if steps and now.learned:
                continue
            learned = False
            _step(lora, optimizer, (losses * weights).mean(), share)
            steps += 1
        if learned:
            break
    return first, steps, learned


@torch.no_grad()
def _take_back(
    model: Llama, lora: Lora, start: dict[str, torch.Tensor], batches: list[_Batch], before_step: Callable[[], None]
) -> None:
    """Leaves the smallest part of the way from `start` on which all is still learned, found by halving."""
    end = _copied(lora)
    too_little, enough = 0.0, 1.0

    def go(part: float) -> None:
        for name, values in lora.named().items():
            torch.lerp(start[name], end[name], part, out=values)

    for _ in range(HALVINGS):
        middle = (too_little + enough) / 2
        go(middle)
        learned = all(loss.learned for loss in _losses(model, lora, batches, before_step))
        too_little, enough = (too_little, middle) if learned else (middle, enough)
    go(enough)


@torch.no_grad()
def _losses(model: Llama, lora: Lora, batches: list[_Batch], before_step: Callable[[], None]) -> Iterator[_Loss]:
    """The batches' losses, each read when it is asked for, without gradients."""
    for batch in batches:
        before_step()
        yield _loss(*_token_losses(model, lora, batch))


def _copied(lora: Lora) -> dict[str, torch.Tensor]:
    return {name: values.detach().clone() for name, values in lora.named().items()}


def _loss(losses: torch.Tensor, weights: torch.Tensor) -> _Loss:
    losses = losses.detach()
    mean = (losses * weights).sum() / weights.sum()
    return _Loss(losses.numel(), _finite(losses.sum()).item(), mean.item(), losses.max().item())


def _step(lora: Lora, optimizer: _AdamW, loss: torch.Tensor, share: float) -> None:
    loss.backward()
    _finite(torch.nn.utils.clip_grad_norm_(lora.named().values(), CLIP))
    optimizer.step(share)


def _finite(value: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(value):
        raise NanLoss
    return value
