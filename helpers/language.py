"""In which language the helpers speak: English, or one that has a catalogue in `locale/`.

A notebook of another edition begins with `from helpers import language; language.use("es")`; GRADIENT_LANGUAGE does the
same for all. Whatever says something to a learner asks here at the time when it says it. The service's API speaks
English, and so does the model.
"""

from __future__ import annotations

import functools
import gettext as catalogues
import os
from pathlib import Path

from .environment import LANGUAGE_VARIABLE

ENGLISH = "en"
FOLDER = Path(__file__).parent / "locale"
DOMAIN = "helpers"


def use(code: str) -> None:
    """Lets the helpers speak a language from here on, in this process and in what it starts.

    Args:
        code: "es", say; "en" is the language of the texts themselves.

    Raises:
        ValueError: there is no catalogue for it.
    """
    if code not in (there := available()):
        names = ", ".join(there)
        raise ValueError(_("The helpers speak {names}, and {code!r} is none of these.", names=names, code=code))
    os.environ[LANGUAGE_VARIABLE] = code


def available() -> list[str]:
    """The languages there are, English first."""
    return [ENGLISH, *sorted(path.parents[1].name for path in FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))]


def _(text: str, /, **fields: object) -> str:
    """A text in the language that is chosen; one that its catalogue has not stays English.

    Args:
        text: the English text, as it stands between the quotes, with a `{name}` for each field.
        fields: what differs from time to time. It is put in by `str.format`, so languages may have it in any order;
            without any field, braces are braces.
    """
    said = _catalogue(chosen()).gettext(text)
    return said.format(**fields) if fields else said


def later(text: str) -> str:
    """The text itself: marks what is written down now, for the catalogues, and translated when it is said."""
    return text


def chosen() -> str:
    """The language that is asked for, whether or not there is a catalogue."""
    return os.environ.get(LANGUAGE_VARIABLE, "").strip() or ENGLISH


@functools.lru_cache(maxsize=8)
def _catalogue(code: str) -> catalogues.NullTranslations:
    """A language's catalogue: that of "es" for "es_MX.UTF-8", and an empty one where there is none."""
    return catalogues.translation(DOMAIN, FOLDER, [code], fallback=True)
