"""An adapter's folder: what peft opens, what llama.cpp opens, and what the next fine-tune goes on from.

    adapter_config.json, adapter_model.safetensors    an ordinary PEFT folder
    adapter.gguf                                      the same matrices as llama.cpp reads them, in 16-bit floats
    optimizer.safetensors                             AdamW's state

Only `recipe.py` calls this, in the tuner's process. The files are written here and made durable by the store.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import load_file, save

from .job import CONFIG_FILE, GGUF_FILE, WEIGHTS_FILE
from .llama import Llama
from .lora import TARGETS, Lora, Named

OPTIMIZER_FILE = "optimizer.safetensors"

_GGUF_NAMES = {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


def read_lora(folder: Path, model: Llama) -> Lora:
    """The matrices of a folder that `write` made; one without `layers_to_transform` adapts all layers.

    Args:
        folder: the adapter's.
        model: what it adapts.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    layers = tuple(sorted(config.get("layers_to_transform") or range(model.layer_count)))
    stored = load_file(folder / WEIGHTS_FILE)

    def stacked(half: str) -> dict[str, np.ndarray]:
        return {name: np.stack([stored[_peft_name(layer, name, half)] for layer in layers]) for name in TARGETS}

    return Lora(layers, config["lora_alpha"] / config["r"], stacked("A"), stacked("B"))


def read_optimizer(folder: Path | None) -> Named:
    """The optimizer's state by name; empty for a fresh adapter, or one that has none."""
    path = None if folder is None else folder / OPTIMIZER_FILE
    return load_file(path) if path is not None and path.exists() else {}


def write(folder: Path, lora: Lora, optimizer: Named, model: Llama) -> None:
    """Writes all files.

    Args:
        folder: existing and empty.
        lora: the matrices.
        optimizer: the optimizer's state by name.
        model: what the matrices adapt.

    Raises:
        OSError: the disk is full or forbidden.
    """
    matrices = {
        (layer, name, half): matrix
        for half, stack in (("A", lora.a), ("B", lora.b))
        for name in TARGETS
        for layer, matrix in zip(lora.layers, stack[name], strict=True)
    }
    write_gguf(folder / GGUF_FILE, matrices, lora.rank * lora.scale)
    (folder / CONFIG_FILE).write_text(json.dumps(_config(lora, model), indent=2), encoding="utf-8")
    peft = {_peft_name(*key): matrix for key, matrix in matrices.items()}
    for file, arrays in ((WEIGHTS_FILE, peft), (OPTIMIZER_FILE, optimizer)):  # `save_file` would raise no OSError
        (folder / file).write_bytes(save(arrays, metadata={"format": "pt"}))


def _peft_name(layer: int, name: str, half: str) -> str:
    return f"base_model.model.model.layers.{layer}.mlp.{name}.lora_{half}.weight"


def _config(lora: Lora, model: Llama) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model.folder),
        "r": lora.rank,
        "lora_alpha": round(lora.rank * lora.scale),
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(TARGETS),
        "layers_to_transform": list(lora.layers),
        "inference_mode": True,
    }


def write_gguf(path: Path, matrices: dict[tuple[int, str, str], np.ndarray], alpha: float) -> None:
    """Writes an adapter as llama.cpp reads it.

    Args:
        path: the file.
        matrices: by layer, one of TARGETS, and "A" or "B".
        alpha: LoRA's; llama.cpp divides it by the rank.

    Raises:
        OSError: the disk is full or forbidden.
    """
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for (layer, name, half), matrix in matrices.items():
        writer.add_tensor(f"blk.{layer}.{_GGUF_NAMES[name]}.weight.lora_{half.lower()}", matrix.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
