"""Fine-tuning: LoRA on the weights that llama.cpp answers with, dequantised.

Runs in a process of its own (`process.py` starts it), so that its memory goes when it is idle and its work never holds
up an answer. The network is in `llama.py`, what learns in `lora.py`, the optimizer in `adamw.py`. Lesson 6 calls
`fresh`, `loss_and_gradients` and `clipped`, which are a step, on the network of `small.py`.

The recipe, measured on SmolLM2-135M-Instruct: LoRA on the three MLP matrices of the upper half of the layers with
alpha = 2 × rank, AdamW without weight decay, B matrices at B_RATE times the learning rate, or B_RATE_OF_MANY where the
samples are more than a step takes, gradients clipped at 1.0. What the lower half makes of the samples never changes, so
it is computed once a call. Against all layers and one rate, a single fact takes 3 or 4 steps instead of 7.
`tests/bench/TRIED.md` says what else was tried.

A call takes at least one step and stops as soon as every trainable token is the likeliest one by a margin (its loss is
under ln 2), or after MAX_PASSES passes, or once LEARN_SECONDS have passed since it began: so a rate that is too small,
and samples that are too many, end it with what was learned until then. A call whose samples were all known before takes
that one step, on the batch that is known least. Samples that contradict each other are never all learned, and at the
full rate the loss then swings from one to the other and ends wherever it happens to be; so the rate falls in the later
passes.

The last step goes further than it has to, and what goes too far costs what the model knew. So a call that has learned
its samples then shrinks its update to the smallest part on which they are nearly not learned any more. Of 80 unrelated
answers (50 of the base model's are right), 34 to 37 are right after one fact, by the draw of LoRA's first matrices;
with parts of an eighth it was 25 to 32. A call whose samples were known before shrinks nothing.

With the gradients clipped, a learning rate that is far too high does not end in NaN: the loss jumps to 20 or 100 nats a
token within four steps, and falls back later to an adapter that answers nothing. So a call has diverged as soon as a
batch is worse than a guess that takes every token for equally likely, and RUN_AWAY times as bad as at the start.
Measured at ranks 1, 8 and 32: this ends every call at 0.1, 0.5 and 0.99 within six steps, and none on a readable
sample at 5e-4 to 1e-2.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from .. import malloc
from . import adapter_files
from .adamw import B_RATE, B_RATE_OF_MANY, AdamW
from .batches import BATCH, Batch, BeforeStep, Prepared, trainable_tokens
from .job import Ended, GivenUp, NanLoss, Signals, TuningJob, TuningProgress, TuningResult
from .llama import Llama
from .lora import TARGETS, Lora, Named

MAX_PASSES = 10
LEARN_SECONDS = 900  # after which no step begins; others wait for their fine-tune meanwhile
FULL_PASSES = 4  # at the full learning rate; after them it falls in a line
LEARNED = math.log(2)  # a token with less loss than this has more than half of the probability
CLOSE = 0.8  # an update is small enough when its greatest loss is above this part of LEARNED
SHRINK_LOOKS = 4  # at the samples, at most, to find it
CLIP = 1.0
RUN_AWAY = 1.5  # a one-token sample rises to 1.25 times its first loss at rank 32 and 1e-2, and is learned all the same
SEED = 0  # equal calls give equal adapters
# While something is answered, a step waits so many times as long as the one before it took. Of another's 64 tokens this
# makes 1.03 times as long as alone (1 made it 1.45), and of a fine-tune beside answers without a pause 2.5 times.
GIVE_WAY = 2.0
LOOK_SECONDS = 0.005  # how often a step that gives way looks whether the answer is there
TELL_SECONDS = 10.0  # how often a fine-tune says how far it is


class Tuner:
    """Holds the base model and tunes one adapter at a time on it.

    Args:
        folder: Hugging Face folder of the base model.
        signals: what the service says while a fine-tune runs; see `Signals`.
        tell: told now and then how far a fine-tune is.
    """

    def __init__(
        self,
        folder: Path,
        signals: Signals | None = None,
        tell: Callable[[TuningProgress], None] = lambda progress: None,
    ) -> None:
        self._signals = signals or Signals.alone()
        self._tell = tell
        self._step_began = self._told = time.monotonic()
        self._blas = ThreadpoolController()
        malloc.keep_blocks()
        self._model = Llama(folder)

    def tune(self, job: TuningJob) -> TuningResult:
        """Tunes an adapter further and writes it.

        Args:
            job: the samples, the adapter's hyperparameters, its folder so far, and the folder to write.

        Raises:
            NanLoss: the loss ran away, or it or a weight stopped being a number; nothing was written.
            GivenUp: no one waits for it any more; nothing was written.
        """
        lora = fresh(self._model, job.rank) if job.start is None else adapter_files.read_lora(job.start, self._model)
        b_rate = B_RATE if len(job.samples) <= BATCH else B_RATE_OF_MANY
        optimizer = AdamW(lora, job.learning_rate, adapter_files.read_optimizer(job.start), b_rate)
        self._step_began = self._told = time.monotonic()
        deadline = self._step_began + LEARN_SECONDS
        # What stops being a number is looked for, see `_finite`.
        with np.errstate(over="ignore", invalid="ignore"), tempfile.TemporaryFile(dir=job.into) as spare:
            prepared = Prepared(self._model, job.samples, lora.layers[0], spare, self._before_step)
            result = _optimise(self._model, lora, optimizer, prepared, self._before_step, deadline)
        adapter_files.write(job.into, lora, optimizer.state, self._model)
        return result

    def _before_step(self, progress: TuningProgress) -> None:
        """Gives way to answers, ends if no one waits any more, takes the threads that are right for this step, and says
        now and then how far it is."""
        give_way_until = time.monotonic() + GIVE_WAY * (time.monotonic() - self._step_began)
        while self._signals.completing.value and time.monotonic() < give_way_until and not self._signals.given_up.value:
            time.sleep(LOOK_SECONDS)
        if self._signals.given_up.value:
            raise GivenUp
        self._set_threads(self._signals.threads)
        self._step_began = time.monotonic()
        if self._step_began - self._told >= TELL_SECONDS:
            self._told = self._step_began
            self._tell(progress)

    def _set_threads(self, threads: int) -> None:
        for library in self._blas.lib_controllers:
            library.set_num_threads(threads)


def fresh(model: Llama, rank: int) -> Lora:
    """An adapter of the upper half of the layers that adds nothing yet: A as peft draws it, B zero.

    Args:
        model: the network.
        rank: of the matrices.
    """
    draw = np.random.default_rng(SEED)
    layers = tuple(range(model.upper_half, model.layer_count))
    a, b = {}, {}
    for name in TARGETS:
        rows, columns = model.sizes[name]
        uniform = draw.uniform(-1, 1, (len(layers), rank, columns)) / math.sqrt(columns)
        a[name] = uniform.astype(model.dtype)
        b[name] = np.zeros((len(layers), rows, rank), model.dtype)
    return Lora(layers, 2.0, a, b)


class Loss(NamedTuple):
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


def _loss(losses: np.ndarray, weights: np.ndarray) -> Loss:
    mean = float((losses * weights).sum() / weights.sum())
    return Loss(len(losses), _finite(losses.sum()), mean, float(losses.max()))


def _losses(model: Llama, lora: Lora, prepared: Prepared, before_step: BeforeStep, steps: int = 0) -> list[Loss]:
    """The loss of each batch as it is now."""
    losses, weights, seen, of = [], [], 0, prepared.samples
    for number, samples in enumerate(prepared.looks):
        before_step(TuningProgress("looking", seen, of, steps))
        look = prepared.look(number)
        hidden, _ = model.above(look.hidden, look.packing, lora, keep=False)
        losses.append(model.losses(hidden[:, look.trainable], look.targets)[0])
        weights.append(look.weights)
        seen += len(samples)
    ends = np.cumsum([trainable_tokens(batch) for batch in prepared.batches])[:-1]
    of_batches = (np.split(np.concatenate(values), ends) for values in (losses, weights))
    return [_loss(*own) for own in zip(*of_batches, strict=True)]


def loss_and_gradients(model: Llama, lora: Lora, batch: Batch) -> tuple[Loss, Callable[[], Named]]:
    """How wrong the network is on a batch, and in which direction it would be less so.

    Args:
        model, lora: the network and the adapter that learns.
        batch: the samples.

    Returns:
        The loss before any update, and what computes the gradients of its weighted mean over the tokens, if they are
        wanted; it may be called once.
    """
    hidden, trace = model.above(batch.hidden, batch.packing, lora)
    losses, back = model.losses(hidden[:, batch.trainable], batch.targets)

    def gradients() -> Named:
        nonlocal back
        d_hidden = np.zeros_like(hidden)
        d_hidden[:, batch.trainable] = back(batch.weights / len(batch.targets))
        del back  # and its 19 MB of logits
        return model.gradients(d_hidden, trace, batch.packing, lora)

    return _loss(losses, batch.weights), gradients


def _optimise(
    model: Llama, lora: Lora, optimizer: AdamW, prepared: Prepared, before_step: BeforeStep, deadline: float
) -> TuningResult:
    """Learns the samples, and shrinks the update as far as they can spare it if they were not known before."""
    start = _copied(lora)
    trained = _train(model, lora, optimizer, prepared, before_step, deadline)
    if trained.ended is Ended.LEARNED and _max_loss(trained.first) >= LEARNED and time.monotonic() < deadline:

        def loss_at(part: float) -> float:
            _interpolate(lora, start, end, part)
            return _max_loss(_losses(model, lora, prepared, before_step, trained.steps))

        end = _copied(lora)
        _interpolate(lora, start, end, _smallest_scale(loss_at, _max_loss(trained.first), _max_loss(trained.last)))
    for values in lora.named().values():
        _finite(values.sum())
    return TuningResult(
        sum(loss.tokens for loss in trained.first),
        sum(loss.total for loss in trained.first),
        trained.steps,
        sum(len(own) for own, loss in zip(prepared.batches, trained.last, strict=True) if loss.most < LEARNED),
        trained.ended,
    )


class Trained(NamedTuple):
    """What `_train` did.

    Attributes:
        first: each batch's loss before the first update.
        last: and when it was last looked at.
        steps: how many there were.
        ended: why there were no more.
    """

    first: list[Loss]
    last: list[Loss]
    steps: int
    ended: Ended


def _train(
    model: Llama, lora: Lora, optimizer: AdamW, prepared: Prepared, before_step: BeforeStep, deadline: float
) -> Trained:
    """Passes over the batches that are not learned yet; once none is left, all are looked at together."""
    several = len(prepared.batches) > 1
    # The first update would change the others' losses; that of a single batch is read as it steps.
    first = _losses(model, lora, prepared, before_step) if several else []
    known = several and _max_loss(first) < LEARNED
    last, steps = list(first), 0
    pending = (
        [max(range(len(first)), key=lambda number: first[number].most)] if known else [*range(len(prepared.batches))]
    )
    for share in _learning_rate_schedule():
        stepped = []
        for number in pending:
            if steps and time.monotonic() > deadline:
                return Trained(first, last, steps, Ended.TIME)
            before_step(TuningProgress("learning", prepared.before(number), prepared.samples, steps))
            loss, gradients = loss_and_gradients(model, lora, prepared.batch(number))
            first, last = first or [loss], last or [loss]
            last[number] = loss
            if loss.mean > max(math.log(model.vocabulary), RUN_AWAY * first[number].mean):
                raise NanLoss
            if not steps or loss.most >= LEARNED:
                optimizer.step(clipped(gradients()), share)
                steps += 1
                stepped.append(number)
            del gradients  # and what the layers left for it, 60 MB, before the next batch's
        if known:
            return Trained(first, last, steps, Ended.LEARNED)
        pending = stepped
        if not pending and several:
            last = _losses(model, lora, prepared, before_step, steps)
            pending = [number for number, loss in enumerate(last) if loss.most >= LEARNED]
        if not pending:
            return Trained(first, last, steps, Ended.LEARNED)
    return Trained(first, last, steps, Ended.PASSES)


def _learning_rate_schedule() -> Iterator[float]:
    """Of the learning rate, for each pass: all of it at first, then it falls in a line."""
    for number in range(MAX_PASSES):
        yield min(1.0, (MAX_PASSES - number) / (MAX_PASSES - FULL_PASSES))


def _smallest_scale(loss_at: Callable[[float], float], first: float, last: float) -> float:
    """The smallest part of an update after which all is still learned, nearly.

    By false position: the logarithm of the greatest loss falls nearly in a line where it crosses what counts as
    learned. Two looks find it mostly; halvings would need six.

    Args:
        loss_at: the greatest loss of a token after a part of the update.
        first, last: what it gives for 0 and for 1.
    """
    aim = math.log(LEARNED * (1 + CLOSE) / 2)
    low, high = (0.0, math.log(first)), (1.0, math.log(max(last, 1e-9)))
    for _ in range(SHRINK_LOOKS):
        if high[1] > math.log(LEARNED * CLOSE):
            break
        part = low[0] + (high[0] - low[0]) * (low[1] - aim) / (low[1] - high[1])
        loss = math.log(loss_at(part))
        low, high = (low, (part, loss)) if loss < math.log(LEARNED) else ((part, loss), high)
    return high[0]


def _interpolate(lora: Lora, start: Named, end: Named, part: float) -> None:
    """Puts the adapter on the way from start to end."""
    for name, values in lora.named().items():
        values[:] = start[name] + part * (end[name] - start[name])


def _max_loss(losses: Sequence[Loss]) -> float:
    return max(loss.most for loss in losses)


def _copied(lora: Lora) -> Named:
    return {name: values.copy() for name, values in lora.named().items()}


def clipped(gradients: Named) -> Named:
    """The gradients, made shorter in place if they are longer than CLIP together (arXiv 1211.5063).

    Raises:
        NanLoss: one of them is no finite number.
    """
    length = math.sqrt(_finite(sum(float(np.vdot(values, values)) for values in gradients.values())))
    for values in gradients.values():
        values *= min(1.0, CLIP / (length + 1e-6))
    return gradients


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NanLoss
    return float(value)
