"""What is wrong with the arguments of a call, in one sentence: read off the call's own signature and its type hints.

`sdk_classes.py` asks after a call of the SDK has failed, so that nothing is refused here which an endpoint takes; and
before a fine_tune for what the SDK would drop without a word.
"""

from __future__ import annotations

import difflib
import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union

from .errors import BadInput
from .language import _
from .parameters import RANGES, in_range

# What an endpoint calls the weight of a sample, and the SDK drops without a word.
_WIRE_KEYS = ("fineTuningParameters", "fine_tuning_parameters")
_KEYS = ("inputs", "multiplier")
_PART_KEYS = ("value", "trainable", "parse_special_tokens")


def flaw(call: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
    """What is wrong with a call's arguments, or None if nothing is to be seen.

    Args:
        call: a function whose arguments are annotated; a `self` is left out.
        given: what it was given by place.
        named: and by name.
    """
    names = [one for one in inspect.signature(call).parameters.values() if one.name != "self"]
    wrong = _flaw_of_names(call.__name__, names, given, named)
    if wrong is not None:
        return wrong
    hints = typing.get_type_hints(call)
    return _first(_flaw_of(hints[name], value, name) for name, value in named.items() if name in hints)


def dropped(samples: Any) -> str | None:
    """What the SDK would leave out of the samples of a fine_tune without a word, in a sentence; None if nothing.

    A key beside `inputs` that resembles none of its own is let through: public samples carry keys of theirs.
    """
    return _first(_dropped_from(sample, f"samples[{place}]") for place, sample in _numbered(samples))


def _dropped_from(sample: Any, where: str) -> str | None:
    if not isinstance(sample, dict):
        return None
    for key in sample:
        if key in _WIRE_KEYS:
            return _('{where} has the key {key!r}: write "multiplier" beside "inputs" instead.', where=where, key=key)
    parts = _numbered(sample.get("inputs"))
    return _misspelt(sample, _KEYS, where) or _first(
        _misspelt(part, _PART_KEYS, f"{where}.inputs[{place}]")
        or _unknown(part, _PART_KEYS, f"{where}.inputs[{place}]")
        for place, part in parts
    )


def closest(word: Any, words: Iterable[str]) -> str | None:
    """The one of some words that was probably meant, or None."""
    found = difflib.get_close_matches(str(word), list(words), n=1, cutoff=0.7)
    return found[0] if found else None


def _numbered(values: Any) -> Iterable[tuple[int, Any]]:
    return enumerate(values) if isinstance(values, (list, tuple)) else ()


def _flaw_of_names(
    call: str, names: list[inspect.Parameter], given: tuple[Any, ...], named: Mapping[str, Any]
) -> str | None:
    """What is wrong with which arguments there are."""
    needed = [one.name for one in names if one.default is one.empty and one.kind is one.KEYWORD_ONLY]
    known = [one.name for one in names if one.kind is not one.VAR_KEYWORD]
    as_written = f"{call}({', '.join(f'{name}=…' for name in needed or known[:1])})"
    if given:
        return (
            _("{call} takes its arguments by name: {as_written}.", call=call, as_written=as_written)
            if known
            else _("{call} takes no arguments: {call}().", call=call)
        )
    unknown = [name for name in named if name not in known]
    if unknown and len(known) == len(names):
        return meant(_("{call} has no argument {name!r}", call=call, name=unknown[0]), unknown[0], known)
    missing = [name for name in needed if name not in named]
    if not missing:
        return None
    return _(
        "{call} needs {missing}: {as_written}.", call=call, missing=_(" and ").join(missing), as_written=as_written
    )


def meant(missing: str, word: Any, words: Collection[str]) -> str:
    """A sentence about a name that there is not: the one that was meant, or all.

    Args:
        missing: the sentence's beginning, which says what there is not.
        word: the name.
        words: those there are.
    """
    near = closest(word, words)
    if near is not None:
        return _("{missing}: did you mean {near!r}?", missing=missing, near=near)
    if not words:
        return _("{missing}; it has none.", missing=missing)
    return _("{missing}; it has {words}.", missing=missing, words=", ".join(words))


def _flaw_of(hint: Any, value: Any, where: str) -> str | None:
    """What is wrong with a value, given its type hint."""
    name = where.rpartition(".")[2]
    if value is None and type(None) in typing.get_args(hint):
        return None
    if name in RANGES:
        return _flaw_of_number(name, value, where)
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _flaw_of_one_of([one for one in typing.get_args(hint) if one is not type(None)], value, where)
    if origin is Literal:
        allowed = typing.get_args(hint)
        return None if value in allowed else _has_to_be(where, _(" or ").join(map(repr, allowed)), value)
    if typing.is_typeddict(hint):
        return _flaw_of_dict(hint, value, where)
    if origin is list:
        return _flaw_of_list(typing.get_args(hint)[0], value, where)
    if origin is not None and issubclass(origin, Mapping):
        return _flaw_of_mapping(typing.get_args(hint)[1], value, where)
    return _flaw_of_plain(hint, value, where)


def _flaw_of_number(name: str, value: Any, where: str) -> str | None:
    try:
        in_range(name, value)
    except BadInput as wrong:
        return where.removesuffix(name) + str(wrong)
    return None


def _flaw_of_one_of(hints: list[Any], value: Any, where: str) -> str | None:
    """The flaw by the hint that fits best: the one of the value's own outer kind."""
    flaws = [_flaw_of(hint, value, where) for hint in hints]
    if None in flaws:
        return None
    fitting = [said for hint, said in zip(hints, flaws, strict=True) if _outer_fits(hint, value)]
    if fitting:
        return fitting[0]
    return flaws[0] if len(flaws) == 1 else _has_to_be(where, _(" or ").join(map(_described, hints)), value)


def _outer_fits(hint: Any, value: Any) -> bool:
    """Whether a value could be of a hint's kind before what is in it is looked at."""
    if typing.is_typeddict(hint):
        literal = _keys(hint)[0].get("type")
        return isinstance(value, dict) and (literal is None or value.get("type") in typing.get_args(literal))
    return isinstance(value, typing.get_origin(hint) or hint)


def _keys(hint: Any) -> tuple[dict[str, Any], list[str]]:
    """A typed dict's keys with their hints, and those of them that are needed.

    Python 3.10 knows no NotRequired, and counts every key as needed.
    """
    hints = typing.get_type_hints(hint, include_extras=True)
    optional = {key for key, one in hints.items() if str(typing.get_origin(one)).endswith("NotRequired")}
    bare = {key: typing.get_args(one)[0] if key in optional else one for key, one in hints.items()}
    return bare, [key for key in hints if key not in optional]


def _flaw_of_dict(hint: Any, value: Any, where: str) -> str | None:
    if not isinstance(value, dict):
        return _has_to_be(where, _described(hint), value)
    hints, needed = _keys(hint)
    misspelt = _misspelt(value, hints, where)
    if misspelt is not None:
        return misspelt
    given = {_snake(key): one for key, one in value.items()}
    missing = [key for key in needed if key not in given]
    if missing:
        return _(
            "{where} has no {missing!r}: it has to be {what}.", where=where, missing=missing[0], what=_described(hint)
        )
    within = _first(_flaw_of(hints[key], one, f"{where}.{key}") for key, one in given.items() if key in hints)
    return within or _unknown(value, hints, where)


def _misspelt(value: Any, keys: Collection[str], where: str) -> str | None:
    """A key that is almost one of those there are."""
    for key in _strange(value, keys):
        near = closest(_snake(key), keys)
        if near is not None:
            return _("{where} has the key {key!r}: did you mean {near!r}?", where=where, key=key, near=near)
    return None


def _unknown(value: Any, keys: Collection[str], where: str) -> str | None:
    for key in _strange(value, keys):
        return _(
            "{where} has the key {key!r}, which there is not: there are {keys}.",
            where=where,
            key=key,
            keys=", ".join(keys),
        )
    return None


def _strange(value: Any, keys: Collection[str]) -> list[Any]:
    """The keys of a dict that are not known; endpoints, and some programs, write them in camelCase."""
    return [key for key in value if _snake(key) not in keys] if isinstance(value, dict) else []


def _flaw_of_list(hint: Any, value: Any, where: str) -> str | None:
    if not isinstance(value, (list, tuple)):
        given = {"where": where, "example": _example(hint), "value": reprlib.repr(value)}
        if _flaw_of(hint, value, where) is None:
            return _("{where} has to be a list, such as [{example}], and this is one: put it into a list.", **given)
        return _("{where} has to be a list, such as [{example}], not {value}.", **given)
    within = _first(_flaw_of(hint, one, f"{where}[{place}]") for place, one in enumerate(value))
    return within or _flaw_if_empty(value, where)


def _flaw_of_mapping(hint: Any, value: Any, where: str) -> str | None:
    if not isinstance(value, Mapping):
        return _has_to_be(where, _('a dict, such as {{"…": {example}}}', example=_described(hint)), value)
    within = _first(_flaw_of(hint, one, f"{where}[{key!r}]") for key, one in value.items())
    return within or _flaw_if_empty(value, where)


def _flaw_of_plain(hint: Any, value: Any, where: str) -> str | None:
    if not isinstance(hint, type):
        return None
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        return _has_to_be(where, _described(hint), value)
    if where.startswith("filepath") and value and not Path(str(value)).is_file():
        return _("There is no file {value!r}.", value=value)
    return _flaw_if_empty(value, where) if hint is str else None


def _flaw_if_empty(value: Any, where: str) -> str | None:
    if value:
        return None
    if isinstance(value, str):
        return _("{where} is empty: write some text.", where=where)
    return _("{where} is empty: give at least one.", where=where)


def _has_to_be(where: str, what: str, value: Any) -> str:
    return _("{where} has to be {what}, not {value}.", where=where, what=what, value=reprlib.repr(value))


def _described(hint: Any) -> str:
    """A kind of value in words, or shown by an example."""
    if typing.is_typeddict(hint):
        return _example(hint)
    if typing.get_origin(hint) is list:
        return _("a list of {what}", what=_described(typing.get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        names = _(" or ").join(f"{hint.__name__}.{one.name}" for one in hint)
        return _("{names} of gradientai", names=names)
    words = {str: _("a text"), bool: _("True or False"), int: _("a whole number"), float: _("a number")}
    return words.get(hint) or str(getattr(hint, "__name__", hint))


def _example(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if typing.is_typeddict(hint):
        hints, needed = _keys(hint)
        return "{" + ", ".join(f'"{key}": {_example(hints[key])}' for key in needed) + "}"
    if origin is Literal:
        return f'"{inner[0]}"'
    if origin is list:
        return f"[{_example(inner[0])}]"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"{hint.__name__}.{next(iter(hint)).name}"
    return '"…"'


def _snake(key: Any) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in str(key))


def _first(flaws: Iterable[str | None]) -> str | None:
    return next((one for one in flaws if one is not None), None)
