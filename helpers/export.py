"""export_adapter(): an adapter as a folder that stands alone, from the local service, wherever that runs.

The service hands over the files (`service/http/export.py`), this writes them, and says in a README what they are and
how peft opens them. Called by notebooks as `from helpers import export_adapter`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import local_service, renaming, sdk
from .errors import GradientError, one_sentence
from .language import _
from .progress_bars import bar

if TYPE_CHECKING:
    from gradientai import ModelAdapter

BASE_FOLDER = "base"
README = "README.md"
PART = ".part"  # ends the name of a file that is not whole yet
BLOCK_BYTES = 1 << 20


def export_adapter(adapter: ModelAdapter, folder: str | os.PathLike[str], with_base: bool = True) -> Path:
    """Writes an adapter as a folder that peft opens on any machine, without the service and without this kit.

    The adapter's two files, a README that says what it was tuned on and how to open it, and below `base/` the model
    that it was tuned on. The service may be on another machine. A fine-tune after the export changes nothing in the
    folder; export again to the same one to bring it up to date.

    Args:
        adapter: fine-tuned at least once.
        folder: a new or an empty one, or an earlier export of the same adapter, which is overwritten.
        with_base: whether to write the base model as well, 540 MB for the default one.

    Returns:
        The folder.

    Raises:
        GradientError: the adapter was never fine-tuned, or is no more; the service runs another model than it was tuned
            on (with_base=False needs none); the endpoint is not the local service; the folder can't be written, is full
            or in use.
    """
    target = Path(folder).expanduser()
    with one_sentence(sdk.url_of(adapter)):
        local_service.require(adapter, _("hands adapters over"))
        offer = _offer(adapter, with_base)
        with _disk_sentence(target):
            _claim(target, adapter, sum(file["bytes"] for file in offer["files"] + offer["baseFiles"]))
            _write(target / README, readme(offer).encode())
            _fetch_all(adapter, offer, target)
    return target


def _offer(adapter: ModelAdapter, with_base: bool) -> dict[str, Any]:
    """What the service says that it hands over."""
    path = f"/export/adapters/{quote(adapter.id, safe='')}?withBase={str(with_base).lower()}"
    with local_service.answered(adapter, path) as answer:
        return json.loads(answer.read())


@contextlib.contextmanager
def _disk_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except GradientError:  # some are of an OSError's kind too
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise GradientError(
            _(
                "The adapter could not be written to {folder}: {reason}. Make room, or choose another folder.",
                folder=folder,
                reason=reason,
            )
        ) from None


def _claim(folder: Path, adapter: ModelAdapter, needed: int) -> None:
    """Makes the folder, unless it holds what is not ours to overwrite or there is too little room."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()} - {f"{README}{PART}"}
    if there and not _is_export_of(folder, adapter):
        raise GradientError(
            _(
                "{folder} is not empty and no earlier export of this adapter: choose a new folder, "
                "so that nothing in it is overwritten.",
                folder=folder,
            )
        )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GradientError(
            _(
                "The export needs {needed:.0f} MB in {folder} and only {free:.0f} MB are free: make "
                "room, choose a folder on another disk, or leave the base model out with "
                "with_base=False.",
                needed=needed / 1e6,
                folder=folder,
                free=free / 1e6,
            )
        )


def _is_export_of(folder: Path, adapter: ModelAdapter) -> bool:
    try:
        return _id_line(adapter.id) in (folder / README).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False


def _fetch_all(adapter: ModelAdapter, offer: dict[str, Any], target: Path) -> None:
    """Fetches the base model and then the adapter, whose configuration comes last: peft opens nothing without it."""
    wanted = [(f"/export/base/{quote(file['name'])}", target / BASE_FOLDER, file) for file in offer["baseFiles"]]
    wanted += [(f"/export/adapters/{offer['id']}/{quote(file['name'])}", target, file) for file in offer["files"]]
    total = sum(file["bytes"] for path, folder, file in wanted)
    with bar(desc=_("Exporting"), total=total, unit="B", unit_scale=True, leave=False) as moving:
        for path, folder, file in wanted:
            with local_service.answered(adapter, path) as answer:
                _write(folder / Path(file["name"]).name, _moving(answer.stream(BLOCK_BYTES), moving))


def _moving(blocks: Iterator[bytes], moving: Any) -> Iterator[bytes]:
    for block in blocks:
        moving.update(len(block))
        yield block


def _write(path: Path, content: bytes | Iterator[bytes]) -> None:
    """Writes a file that appears under its name only when it is whole."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f"{path.name}{PART}")
    try:
        with part.open("wb") as file:
            for block in [content] if isinstance(content, bytes) else content:
                file.write(block)
        renaming.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


_TEXT = """# {name}

A LoRA adapter, fine-tuned with the notebook kit's local Gradient service; to open it takes neither of the two.

| what | |
| --- | --- |
| tuned on | {weights} |
| files | `adapter_config.json` and `adapter_model.safetensors`, an ordinary PEFT adapter; {base_files} |
{id_line}

## Open it

```sh
pip install torch transformers peft
```

In Python, started in this folder:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, ".")
```

{notes}
"""


def readme(offer: dict[str, Any]) -> str:
    """The README of an exported folder.

    Args:
        offer: what the service said that it hands over.
    """
    has_base = bool(offer["baseFiles"])
    return _TEXT.format(
        name=offer["name"],
        weights=_tuned_on(offer),
        base_files=f"`{BASE_FOLDER}/`, the model that it was tuned on" if has_base else "the base model is not in here",
        id_line=_id_line(offer["id"]),
        base=BASE_FOLDER if has_base else offer["baseName"],
        notes="\n".join(_notes(offer, has_base)),
    )


def _id_line(adapter_id: str) -> str:
    """The line by which a later export knows its own folder again."""
    return f"| adapter | `{adapter_id}` |"


def _tuned_on(offer: dict[str, Any]) -> str:
    if offer["weightsSha256"] is None:
        return f"not recorded; the service that wrote this folder ran {offer['baseName']}"
    public = "" if offer["baseName"] == offer["weightsName"] else f", {offer['baseName']} on the Hugging Face hub"
    return f"{offer['weightsName']}{public}; the SHA-256 of its GGUF file is `{offer['weightsSha256']}`"


def _notes(offer: dict[str, Any], has_base: bool) -> Iterator[str]:
    """What is worth knowing, a line each."""
    if not has_base:
        yield (
            f"- `{offer['baseName']}` is downloaded then, or stands for a folder of yours that holds it. It may be a "
            "little more precise than the quantised weights that the adapter was tuned on: export with "
            "`with_base=True` for those."
        )
    elif not any(file["name"] == "tokenizer.json" for file in offer["baseFiles"]):
        yield f"- The tokenizer is not in here: take the one of {offer['baseName']}."
    else:
        yield f'- The tokenizer: `AutoTokenizer.from_pretrained("{BASE_FOLDER}")`.'
    yield "- A prompt must not end in a space: the space belongs to the word that follows."
