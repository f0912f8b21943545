"""Fine-tuning: LoRA through torch and peft, on the weights that llama.cpp answers with, dequantised.

Runs in a process of its own (`tuner_process.py` starts it and is its only caller), because torch needs seconds to load
and a gigabyte to live in, and because work in another process never holds up an answer. This is the only module of the
service that imports torch.

The recipe, measured on SmolLM2-135M-Instruct: LoRA on the three MLP matrices of the upper half of the layers with
alpha = 2 × rank, AdamW without weight decay, B matrices at B_RATE times the learning rate, gradients clipped at 1.0.
What the lower half makes of the samples never changes, so it is computed once a call. Against all layers and one rate,
a single fact takes 4 steps and 0.54 s instead of 7 and 1.51 s. Of 36 unrelated answers 19 stay right instead of 15, but
with a loss on the answers only 15 instead of 21. B rates of 6 and 8 save another step and forget more; a third of the
layers (the uppermost ten) saves 0.1 s and forgets more.

A call takes at least one step and stops as soon as every trainable token is the likeliest one by a margin (its loss is
under ln 2), or after MAX_PASSES passes.

With the gradients clipped, a learning rate that is far too high does not end in NaN: the loss jumps to 20 or 100 nats a
token within four steps, and falls back later to an adapter that answers nothing. So a call has diverged as soon as a
batch is worse than a guess that takes every token for equally likely, and RUN_AWAY times as bad as at the start.
Measured at ranks 1, 8 and 32: this ends every call at 0.1, 0.5 and 0.99 within six steps, and none on a readable
sample at 5e-4 to 1e-2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import torch
from gguf import GGUFWriter
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from .tuning_job import GGUF_FILE, NOT_TRAINABLE, GivenUp, NanLoss, TokenSample, TuningJob, TuningResult, threads

TARGETS = {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}  # peft's name: GGUF's name
BATCH = 4
MAX_PASSES = 10
LEARNED = math.log(2)  # a token with less loss than this has more than half of the probability
CLIP = 1.0
B_MOST = 1e-2  # but not beyond this rate, at which rank 32 begins to break, unless the learning rate itself is
B_RATE = 4  # LoRA's B matrices, which begin at 0, learn so many times as fast as A (LoRA+, arXiv 2402.12354)
RUN_AWAY = 1.5  # a one-token sample rises to 1.25 times its first loss at rank 32 and 1e-2, and is learned all the same
SEED = 0  # equal calls give equal adapters

WEIGHTS_FILE = "adapter_model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"

_LORA_NAME = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.mlp\.(\w+)\.lora_([AB])\.weight")


@dataclass(frozen=True)
class _Batch:
    """Samples side by side, padded on the right: no token sees one after it, so that padding needs no mask.

    Attributes:
        hidden: what the layers below the adapted ones make of the tokens, (samples, tokens, width). They never change,
            so it is computed once a call.
        positions: cosines and sines of the tokens' positions, as the layers take them.
        labels: (samples, tokens): the token where it is to be learned, else NOT_TRAINABLE.
        weights: a weight per sample.
    """

    hidden: torch.Tensor
    positions: tuple[torch.Tensor, torch.Tensor]
    labels: torch.Tensor
    weights: torch.Tensor


class Tuner:
    """Holds the base model and tunes one adapter at a time on it.

    Args:
        folder: Hugging Face folder of the base model.
        answering: how many completions are being answered right now. While there are any, steps use half of the
            cores: llama.cpp's and torch's threads both wait by spinning, and more threads than cores then slow both
            down tenfold (measured on two cores: 12 tokens/s and 1.4 s a step against 34 and 0.4).
        given_up: set once no one waits for the fine-tune any more.
    """

    def __init__(
        self, folder: Path, answering: Synchronized | None = None, given_up: Synchronized | None = None
    ) -> None:
        self._answering = answering
        self._given_up = given_up
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._base = _load_base(folder).to(self._device)

    def tune(self, job: TuningJob) -> TuningResult:
        """Tunes an adapter further and writes it.

        Args:
            job: the samples, the adapter's hyperparameters, its folder so far, and the folder to write.

        Raises:
            NanLoss: the loss ran away, or it or a weight stopped being a number; nothing was written.
            GivenUp: no one waits for it any more; nothing was written.
        """
        model = self._adapted(job)
        try:
            optimizer = self._optimizer(model, job)
            batches = self._batches(model, job.samples)
            result = _optimise(model, optimizer, batches, self._before_step)
            _write(model, optimizer, job)
            return result
        finally:
            self._base = model.unload()

    def _before_step(self) -> None:
        if self._given_up is not None and self._given_up.value:
            raise GivenUp
        busy = self._answering is not None and self._answering.value > 0
        torch.set_num_threads(max(1, threads() // 2) if busy else threads())

    def _adapted(self, job: TuningJob) -> PeftModel:
        if job.start is None:
            layers = self._base.config.num_hidden_layers
            config = LoraConfig(
                r=job.rank,
                lora_alpha=2 * job.rank,
                target_modules=list(TARGETS),
                layers_to_transform=list(range(layers // 2, layers)),
                task_type="CAUSAL_LM",
            )
        else:
            config = LoraConfig.from_pretrained(job.start)
            config.inference_mode = False  # as it was saved, for those who only ask it
        torch.manual_seed(SEED)
        model = get_peft_model(self._base, config)
        if job.start is not None:
            set_peft_model_state_dict(model, load_file(job.start / WEIGHTS_FILE, device=self._device))
        return model

    def _optimizer(self, model: PeftModel, job: TuningJob) -> torch.optim.Optimizer:
        """AdamW as the adapter's last call left it, but with the job's learning rate, or a fresh one."""
        rate = job.learning_rate
        times = max(1.0, min(B_RATE, B_MOST / rate))
        optimizer = create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=rate, loraplus_lr_ratio=times, weight_decay=0.0
        )
        if job.start is None:
            return optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        state = torch.load(job.start / OPTIMIZER_FILE, weights_only=True, map_location=self._device)
        if len(state["param_groups"]) == len(rates):  # an earlier version had one group: its adapters start anew
            optimizer.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        return optimizer

    def _batches(self, model: PeftModel, samples: Sequence[TokenSample]) -> list[_Batch]:
        batches = []
        for start in range(0, len(samples), BATCH):
            self._before_step()
            batches.append(_batch(model, samples[start : start + BATCH], self._device))
        return batches


def _load_base(folder: Path) -> LlamaForCausalLM:
    """Builds the model around the file's tensors, three times as fast as `from_pretrained`, in 32-bit floats.

    bfloat16 is slower than float32 on CPUs without native support.
    """
    config = LlamaConfig.from_pretrained(folder)
    config.dtype = torch.float32
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    state = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    model.name_or_path = str(folder)  # peft writes it into adapter_config.json
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are computed, not stored
    return model.eval().requires_grad_(False)


def _first_layer(model: PeftModel) -> int:
    """The lowest layer that has an adapter; 0 if all have one, as in adapters of earlier versions."""
    return min(model.peft_config["default"].layers_to_transform or [0])


def _batch(model: PeftModel, samples: Sequence[TokenSample], device: str) -> _Batch:
    width = max(len(sample.ids) for sample in samples)
    ids = torch.zeros(len(samples), width, dtype=torch.long)
    labels = torch.full_like(ids, NOT_TRAINABLE)
    for row, sample in enumerate(samples):
        length = len(sample.ids)
        ids[row, :length] = torch.tensor(sample.ids)
        labels[row, :length] = torch.tensor(sample.labels)
    weights = torch.tensor([sample.multiplier for sample in samples])
    llama = model.get_base_model().model
    with torch.no_grad():
        hidden = llama.embed_tokens(ids.to(device))
        positions = llama.rotary_emb(hidden, torch.arange(width, device=device)[None])
        for layer in llama.layers[: _first_layer(model)]:
            hidden = layer(hidden, position_embeddings=positions)
    return _Batch(hidden, positions, labels.to(device), weights.to(device))


def _token_losses(model: PeftModel, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each trainable token in nats, and the weight of the sample that it is in: two vectors.

    The output layer is the widest matrix of a small model, so it runs on the trainable positions alone.
    """
    llama, hidden = model.get_base_model(), batch.hidden
    for layer in llama.model.layers[_first_layer(model) :]:
        hidden = layer(hidden, position_embeddings=batch.positions)
    hidden = llama.model.norm(hidden)
    targets = batch.labels[:, 1:]  # a position predicts the token after it
    trainable = targets != NOT_TRAINABLE
    logits = llama.lm_head(hidden[:, :-1][trainable])
    losses = torch.nn.functional.cross_entropy(logits, targets[trainable], reduction="none")
    return losses, batch.weights[:, None].expand_as(targets)[trainable]


def _optimise(
    model: PeftModel, optimizer: torch.optim.Optimizer, batches: list[_Batch], before_step: Callable[[], None]
) -> TuningResult:
    """Passes over the batches until all is learned; a batch that is learned already is not trained again."""
    count, sum_loss = 0, 0.0
    first: dict[int, float] = {}  # each batch's loss before the first update
    if len(batches) > 1:  # it has to be read before the first batch updates
        with torch.no_grad():
            for number, batch in enumerate(batches):
                before_step()
                losses, weights = _token_losses(model, batch)
                first[number] = _weighted_mean(losses, weights)
                count, sum_loss = count + losses.numel(), sum_loss + _finite(losses.sum()).item()
    uniform = math.log(model.config.vocab_size)
    steps = 0
    for _ in range(MAX_PASSES):
        learned = True
        for number, batch in enumerate(batches):
            before_step()
            losses, weights = _token_losses(model, batch)
            if len(batches) == 1 and steps == 0:
                count, sum_loss = losses.numel(), _finite(losses.sum()).item()
            now = _weighted_mean(losses, weights)
            if now > max(uniform, RUN_AWAY * first.setdefault(number, now)):
                raise NanLoss
            if steps and _finite(losses.max()).item() < LEARNED:
                continue
            learned = False
            _step(model, optimizer, (losses * weights).mean())
            steps += 1
        if learned:
            break
    _check_finite(model)
    return TuningResult(count, sum_loss, steps)


def _weighted_mean(losses: torch.Tensor, weights: torch.Tensor) -> float:
    """Loss per token in nats, where a sample counts by its multiplier."""
    return ((losses.detach() * weights).sum() / weights.sum()).item()


def _step(model: PeftModel, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    _finite(norm)
    optimizer.step()


def _finite(value: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(value):
        raise NanLoss
    return value


def _check_finite(model: PeftModel) -> None:
    for weight in model.parameters():
        if weight.requires_grad:
            _finite(weight.sum())


def _write(model: PeftModel, optimizer: torch.optim.Optimizer, job: TuningJob) -> None:
    """Writes the PEFT folder, the optimizer's state beside it, and the adapter as llama.cpp reads it."""
    state = {name: weight.detach().cpu().contiguous() for name, weight in get_peft_model_state_dict(model).items()}
    config = model.peft_config["default"]
    config.inference_mode = True
    config.save_pretrained(job.into)
    save_file(state, job.into / WEIGHTS_FILE, metadata={"format": "pt"})
    torch.save(optimizer.state_dict(), job.into / OPTIMIZER_FILE)
    _write_gguf(state, job.into / GGUF_FILE, alpha=config.lora_alpha)


def _write_gguf(state: dict[str, torch.Tensor], path: Path, alpha: float) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(alpha))
    for name, tensor in state.items():
        layer, module, half = _LORA_NAME.fullmatch(name).groups()
        writer.add_tensor(f"blk.{layer}.{TARGETS[module]}.weight.lora_{half.lower()}", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
