"""Reads a Llama-architecture GGUF and writes it as a Hugging Face folder. Called by `model_files.convert` alone.

The names and the row order of Q and K follow llama.cpp's own converter, which interleaves each head's rotary halves;
here they are laid out again as transformers expects them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize

from ..tuner import weights_file

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def write_huggingface(gguf_file: Path, folder: Path, progress: Callable[[float], None]) -> None:
    """Writes `config.json`, `model.safetensors`, and the tokenizer where its kind is known.

    Args:
        gguf_file: a GGUF file of the Llama architecture, quantised or not.
        folder: an existing folder.
        progress: told the share of tensors done, 0 to 1.

    Raises:
        ValueError: the file can't be read, is of another architecture, or does not describe its model.
    """
    reader = GGUFReader(gguf_file)
    architecture = _value(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"its architecture is {architecture!r}, and only 'llama' models can be fine-tuned here")
    config = _config(reader)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    _write_tokenizer(reader, folder)
    tensors = _in_reading_order({_huggingface_name(tensor.name): tensor for tensor in reader.tensors}, config)
    position = {name: number for number, name in enumerate(tensors)}

    def values(name: str) -> np.ndarray:
        progress(position[name] / len(tensors))
        return _dequantised(tensors[name], config)

    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    weights_file.write(folder / "model.safetensors", shapes, values)


def _in_reading_order(tensors: dict[str | None, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The tensors as the tuner reads them: by layer, and those that it multiplies with as one beside each other."""
    layers = range(config["num_hidden_layers"])
    order = [name for layer in layers for names in weights_file.names_of_layer(layer) for name in names]
    rest = sorted(name for name in tensors if name is not None and name not in order)
    return {name: tensors[name] for name in [*order, *rest]}


def _value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    return default if field is None else field.contents()


def _needed(reader: GGUFReader, key: str) -> Any:
    """The same of what no Llama model can be without."""
    value = _value(reader, key)
    if value is None:
        raise ValueError(f"it has no {key}, which a Llama model needs")
    return value


def _config(reader: GGUFReader) -> dict[str, Any]:
    heads = _needed(reader, "llama.attention.head_count")
    hidden = _needed(reader, "llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": _needed(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _needed(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _value(reader, "llama.attention.head_count_kv", heads),
        "head_dim": hidden // heads,
        "rms_norm_eps": _needed(reader, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": _value(reader, "llama.rope.freq_base", 10000.0),
        "max_position_embeddings": _value(reader, "llama.context_length"),
        "vocab_size": len(_needed(reader, "tokenizer.ggml.tokens")),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "bos_token_id": _value(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _value(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _value(reader, "tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }


def _huggingface_name(gguf_name: str) -> str | None:
    """The name in transformers, or None for tensors that it computes itself (rope_freqs)."""
    stem = gguf_name.removesuffix(".weight")
    if stem in _TOP_NAMES:
        return f"{_TOP_NAMES[stem]}.weight"
    prefix, _, part = stem.rpartition(".")
    if part not in _BLOCK_NAMES:
        return None
    return f"model.layers.{prefix.removeprefix('blk.')}.{_BLOCK_NAMES[part]}.weight"


def _dequantised(tensor: Any, config: dict[str, Any]) -> np.ndarray:
    values = dequantize(tensor.data, tensor.tensor_type)
    for part, heads in (("attn_q.", "num_attention_heads"), ("attn_k.", "num_key_value_heads")):
        if part in tensor.name:
            values = _unpermute_rotary(values, config[heads])
    return values


def _unpermute_rotary(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama.cpp's interleaving of each head's rows: (heads, half, 2, in) becomes (heads, 2, half, in)."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_tokenizer(reader: GGUFReader, folder: Path) -> None:
    """Writes tokenizer.json for the byte-level tokenizer of SmolLM2, so that transformers and peft open the folder.

    The service itself tokenises with llama.cpp; other models' tokenizers are left out rather than guessed.
    """
    if (_value(reader, "tokenizer.ggml.model"), _value(reader, "tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        return
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = _value(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in _value(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = _value(reader, "tokenizer.ggml.token_type")
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    end = tokens[_value(reader, "tokenizer.ggml.eos_token_id")]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": end,
        "clean_up_tokenization_spaces": False,
        "chat_template": _value(reader, "tokenizer.chat_template"),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
