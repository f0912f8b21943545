"""Fine-tuning: LoRA on the weights that llama.cpp answers with, dequantised.

Runs in a process of its own (`process.py` starts it and is its only caller), because torch needs a second to load
and most of a gigabyte to live in, and because work in another process never holds up an answer. This, `llama.py` (the
network) and `adapter_files.py` (what is written) are the only modules of the service that import torch.

The recipe, measured on SmolLM2-135M-Instruct: LoRA on the three MLP matrices of the upper half of the layers with
alpha = 2 × rank, AdamW without weight decay, B matrices at B_RATE times the learning rate, gradients clipped at 1.0.
What the lower half makes of the samples never changes, so it is computed once a call. Against all layers and one rate,
a single fact takes 4 steps instead of 7. Of 36 unrelated answers 19 stay right instead of 15, but with a loss on the
answers only 15 instead of 21. `tests/bench/TRIED.md` says what else was tried.

A call takes at least one step and stops as soon as every trainable token is the likeliest one by a margin (its loss is
under ln 2), or after MAX_PASSES passes. Samples that contradict each other are never all learned, and at the full rate
the loss then swings from one to the other and ends wherever it happens to be; so the rate falls in the later passes.

The last step goes further than it has to, and what goes too far costs what the model knew. So a call that has learned
its samples then takes back as much of its change as they can spare. Of 29 unrelated questions that the base model
answers, it answers 23 after one fact instead of 15, and 26 instead of 16 with a loss on the answers only; the scores of
twenty facts, also asked in other words, stay as they are. A call whose samples were known before takes nothing back.

With the gradients clipped, a learning rate that is far too high does not end in NaN: the loss jumps to 20 or 100 nats a
token within four steps, and falls back later to an adapter that answers nothing. So a call has diverged as soon as a
batch is worse than a guess that takes every token for equally likely, and RUN_AWAY times as bad as at the start.
Measured at ranks 1, 8 and 32: this ends every call at 0.1, 0.5 and 0.99 within six steps, and none on a readable
sample at 5e-4 to 1e-2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.optim.adamw import adamw

from .. import malloc
from . import adapter_files
from .job import NOT_TRAINABLE, GivenUp, NanLoss, Signals, TokenSample, TuningJob, TuningResult
from .llama import TARGETS, Llama, Lora, Rotary

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
# While something is answered, a step waits so many times as long as the one before it took. Of another's 64 tokens this
# makes 1.03 times as long as alone (1 made it 1.45), and of a fine-tune beside answers without a pause 2.5 times.
GIVE_WAY = 2.0
LOOK_SECONDS = 0.005  # how often a step that gives way looks whether the answer is there


class Tuner:
    """Holds the base model and tunes one adapter at a time on it.

    Args:
        folder: Hugging Face folder of the base model.
        signals: what the service says while a fine-tune runs; see `Signals`.
    """

    def __init__(self, folder: Path, signals: Signals | None = None) -> None:
        self._signals = signals or Signals.alone()
        self._step_began = time.monotonic()
        malloc.keep_blocks()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = Llama(folder, device, matrix_type(device))

    def tune(self, job: TuningJob) -> TuningResult:
        """Tunes an adapter further and writes it.

        Args:
            job: the samples, the adapter's hyperparameters, its folder so far, and the folder to write.

        Raises:
            NanLoss: the loss ran away, or it or a weight stopped being a number; nothing was written.
            GivenUp: no one waits for it any more; nothing was written.
        """
        lora = self._lora(job)
        state = {} if job.start is None else adapter_files.read_optimizer(job.start)
        optimizer = _AdamW(lora, job.learning_rate, state)
        self._step_began = time.monotonic()
        result = _optimise(self._model, lora, optimizer, self._batches(job.samples, lora), self._before_step)
        adapter_files.write(job.into, lora, optimizer.state, self._model)
        return result

    def _before_step(self) -> None:
        """Gives way to answers, ends if no one waits any more, and takes the threads that are right for this step."""
        give_way_until = time.monotonic() + GIVE_WAY * (time.monotonic() - self._step_began)
        while self._signals.completing.value and time.monotonic() < give_way_until and not self._signals.given_up.value:
            time.sleep(LOOK_SECONDS)
        if self._signals.given_up.value:
            raise GivenUp
        threads = self._signals.threads.value
        torch.set_num_threads(max(1, threads // 2) if self._signals.completing.value else threads)
        self._step_began = time.monotonic()

    def _lora(self, job: TuningJob) -> Lora:
        """The adapter so far, or a fresh one, ready to learn."""
        lora = _fresh(self._model, job.rank) if job.start is None else adapter_files.read_lora(job.start, self._model)

        def learning(half: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: matrices.to(self._model.device).requires_grad_() for name, matrices in half.items()}

        return replace(lora, a=learning(lora.a), b=learning(lora.b))

    def _batches(self, samples: Sequence[TokenSample], lora: Lora) -> list[_Batch]:
        batches = []
        for start in range(0, len(samples), BATCH):
            self._before_step()
            batches.append(_batch(self._model, samples[start : start + BATCH], lora.first))
        return batches


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
