"""A model's weights as the tuner reads them and as the conversion writes them: one safetensors file of 32-bit floats.

The file is mapped, not read: a matrix costs memory when it is first multiplied with, all tuners of a machine share that
memory, and a start costs nothing. Anything else that reads safetensors (transformers, peft) reads the same file. Called
by `llama.py`, and by `gguf_convert.py` to write.

The format (https://huggingface.co/docs/safetensors, "Format"): the size of the header in 8 bytes, the header as JSON
with each tensor's type, shape and place, the numbers.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_LAYER_PARTS = (
    ("input_layernorm",),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("post_attention_layernorm",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
_SIZE_BYTES = 8
_PAGE = mmap.PAGESIZE


def names_of_layer(number: int) -> list[tuple[str, ...]]:
    """The tensors of a layer as Hugging Face calls them, those together that are multiplied with as one matrix."""
    return [tuple(f"model.layers.{number}.{part}.weight" for part in parts) for parts in _LAYER_PARTS]


class WeightsFile:
    """The tensors of a safetensors file, mapped.

    Args:
        path: the file.

    Raises:
        OSError: it can't be opened.
        ValueError: it is no safetensors file, or is empty.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(self._map[:_SIZE_BYTES], "little")
        self._tensors = json.loads(self._map[_SIZE_BYTES : _SIZE_BYTES + size])
        self._begin = _SIZE_BYTES + size

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, *names: str) -> np.ndarray:
        """Tensors as one, each below the one before it: mapped where they lie so in the file, else copied.

        Raises:
            KeyError: there is no such tensor.
        """
        entries = [self._tensors[name] for name in names]
        first, last = entries[0], entries[-1]
        in_order = all(a["data_offsets"][1] == b["data_offsets"][0] for a, b in zip(entries, entries[1:], strict=False))
        if not in_order:
            return np.concatenate([self.read(name) for name in names])
        begin, end = first["data_offsets"][0], last["data_offsets"][1]
        kind = np.dtype(_TYPES[first["dtype"]])
        numbers = np.frombuffer(self._map, kind, (end - begin) // kind.itemsize, self._begin + begin)
        values = numbers.reshape(-1, *first["shape"][1:])
        return values.astype(np.float32) if kind == np.float16 else values

    def forget(self, *names: str) -> None:
        """Gives the memory of these tensors back to the system; they are read again when they are next used."""
        offsets = [offset for name in names for offset in self._tensors[name]["data_offsets"]]
        begin = -(-(self._begin + min(offsets)) // _PAGE) * _PAGE
        length = self._begin + max(offsets) - begin
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows, which takes pages back by itself
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_DONTNEED, begin, length)


def write(
    path: Path, shapes: dict[str, tuple[int, ...]], values: Callable[[str], np.ndarray], type_name: str = "F32"
) -> None:
    """Writes a file in the order of `shapes`, a tensor at a time, so that a model need not fit into memory.

    Args:
        path: the file.
        shapes: of each tensor, by name.
        values: gives a tensor by its name.
        type_name: how the format calls the type of the numbers.

    Raises:
        OSError: the disk is full or forbidden.
        ValueError: a tensor has another shape.
    """
    kind = np.dtype(_TYPES[type_name]).newbyteorder("<")
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, shape in shapes.items():
        end = begin + kind.itemsize * math.prod(shape)
        header[name] = {"dtype": type_name, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + _SIZE_BYTES) % _PAGE)  # so that the numbers begin with a page
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_SIZE_BYTES, "little") + text)
        for name, shape in shapes.items():
            tensor = np.ascontiguousarray(values(name), dtype=kind)
            if tensor.shape != shape:
                raise ValueError(f"its tensor {name} has the shape {tensor.shape} instead of {shape}")
            file.write(tensor.data)
