"""`python -m tests.editions es`: takes the lessons as they are now over into an edition, and says what is to translate.

    python -m tests.editions es                      code, order, outputs, new and removed cells, and the
                                                     catalogue of what the helpers say; translations stay
    python -m tests.editions es --export FOLDER      a sheet of each lesson, for translators; sheet.py says how it looks
    python -m tests.editions es --import SHEET ...   puts what translators wrote into the edition

A language that has no folder yet gets one. `tests/README.md` tells the whole story.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat

from tests.support.notebooks import FILES, FOLDER, ROOT, read

from . import catalogue, outputs, sheet
from .edition import DONE, open_edition, states, take_over, translate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.editions", description="Keeps an edition in step.")
    parser.add_argument("language", help='of the edition: "es", say')
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write a sheet of each lesson there")
    parser.add_argument("--import", type=Path, nargs="+", metavar="SHEET", dest="sheets", default=[])
    given = parser.parse_args()
    sheets = {f"{path.stem}.ipynb": path for path in given.sheets}
    unknown = sorted(set(sheets) - {path.name for path in FILES})
    if unknown:
        print(f"A sheet has its lesson's name, and there is no lesson {unknown[0]}.", file=sys.stderr)
        return 1
    left = catalogue.update(given.language)
    print(f"{catalogue.po_file(given.language).relative_to(ROOT)}: {len(left)} texts to translate")
    for path in FILES:
        bring_up_to_date(path, given.language, sheets.get(path.name), given.export)
    if not sheets and given.export is None:  # which change words alone
        try:
            outputs.write(FOLDER / given.language / path.name for path in FILES)
        except outputs.NotRecorded as reason:
            print(reason, file=sys.stderr)
            return 1
    return 0


def bring_up_to_date(path: Path, language: str, written: Path | None, export_to: Path | None) -> None:
    """Writes the edition of one lesson, and says which cells are to be translated.

    Args:
        path: the English lesson.
        language: the edition's.
        written: a translator's sheet to import first.
        export_to: the folder for a sheet of what there is then.
    """
    english, target = read(path), FOLDER / language / path.name
    edition = take_over(english, open_edition(target), language)
    if written is not None:
        translate(edition, sheet.read(written.read_text(encoding="utf-8")))
    target.parent.mkdir(exist_ok=True)
    nbformat.write(edition, target)
    if export_to is not None:
        export_to.mkdir(parents=True, exist_ok=True)
        text = sheet.export(path.name, language, english, edition)
        (export_to / f"{path.stem}.txt").write_text(text, encoding="utf-8", newline="\n")
    left = [f"{cell.id} ({state})" for cell, _, state in states(english, edition) if state != DONE]
    print(f"{path.name}:", f"to translate: {', '.join(left)}" if left else "all translated")


if __name__ == "__main__":
    sys.exit(main())
