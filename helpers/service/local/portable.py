"""The files by which others open what was tuned here, and what they tell. Called by `LocalEngine`.

An adapter's folder names its base model by a path of this machine, which means nothing elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..tuner.job import CONFIG_FILE
from ..weights import DEFAULT, WeightsIdentity
from .model_files import is_of_the_default

BASE_NAME = "base_model_name_or_path"


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
