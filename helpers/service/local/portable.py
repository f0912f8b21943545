"""The files by which others open what was tuned here, and what they tell. Called by `LocalEngine`.

An adapter's folder names its base model by a path of this machine, which means nothing elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..tuner.job import CONFIG_FILE, WEIGHTS_FILE
from ..weights_identity import DEFAULT, WeightsIdentity
from .model_files import is_of_the_default

BASE_NAME = "base_model_name_or_path"
BASE_FILES = ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json")


def adapter_files(folder: Path, base_name: str) -> dict[str, Path | bytes]:
    """What peft opens: the matrices as they are on disk, and the configuration with another name of the base model.

    Args:
        folder: what a fine-tune wrote.
        base_name: the name.

    Raises:
        FileNotFoundError: a fine-tune has just replaced the folder.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    renamed = json.dumps({**config, BASE_NAME: base_name}, indent=2)
    return {WEIGHTS_FILE: folder / WEIGHTS_FILE, CONFIG_FILE: renamed.encode()}


def base_files(folder: Path) -> dict[str, Path]:
    """What transformers opens; a tokenizer of a kind that is not known was not converted, and is left out.

    Args:
        folder: into which the weights were converted.
    """
    return {name: folder / name for name in BASE_FILES if (folder / name).exists()}


def weights_named_in(folder: Path) -> WeightsIdentity | None:
    """The default weights, if an adapter's folder names a folder of theirs; of others it tells nothing certain.

    Args:
        folder: what a fine-tune wrote.
    """
    try:
        named = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))[BASE_NAME]
        return DEFAULT if is_of_the_default(named) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
