"""What an engine tells of its weights by their files alone: the part that is the same wherever the computing is done.

`LocalEngine` and the engine on a cluster (`cluster/engine.py`) inherit it.
"""

from __future__ import annotations

from pathlib import Path

from ..engine import Engine
from ..weights_identity import WeightsIdentity
from . import portable
from .model_files import Weights


class HeldWeights(Engine):
    """An engine with a model's files on this machine.

    Args:
        weights: the model on disk.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    @property
    def weights_name(self) -> str:
        return self._weights.name

    @property
    def weights(self) -> WeightsIdentity | None:
        return self._weights.identity

    def weights_named_in(self, folder: Path) -> WeightsIdentity | None:
        return portable.weights_named_in(folder)

    def adapter_files(self, folder: Path, base_name: str) -> dict[str, Path | bytes]:
        return portable.adapter_files(folder, base_name)

    def base_files(self) -> dict[str, Path]:
        return portable.base_files(self._weights.folder)
