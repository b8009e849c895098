"""Describes values and annotations in words, for messages and docs."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, get_args, get_origin

import annotated_types as at
import numpy as np

from gcrl_zoo.common.annotations import (
    Allowed,
    Example,
    is_mapping_type,
    is_pair_type,
    is_sequence_type,
    is_union,
    takes,
    unfold,
)
from gcrl_zoo.data.formats.containers import one_line

#: Longest value that a message shows in full.
SHOWN_LENGTH = 80
#: Longest message of a library that a message quotes in full.
CAUSE_LENGTH = 200


def shown(value: Any, annotation: Any = float) -> str:
    """
    Represent a value in a message.

    :param value: for a message
    :param annotation: what is allowed; where that is a number or a truth value, text that looks like one is pointed
        out, since YAML reads 1e-3 as text
    :return: on one line, shortened
    """
    if isinstance(value, str):
        hint = _number_in(value) if takes(annotation, int, float) else ""
        word = value.strip("'\" ").capitalize()
        if takes(annotation, bool) and word in ("True", "False"):
            hint = f"write {word} without quotes"
        if hint:
            return f"the text {value!r} ({hint})"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # somebody else's __repr__, or an integer with too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 4]} ..."


def cause_of(error: Exception) -> str:
    """
    Describe an error of a library, for the middle of a sentence.

    :param error: error
    :return: its type and message, on one line, shortened
    """
    return f"{type(error).__name__}: {one_line(error)}"[:CAUSE_LENGTH]


def suggestion(name: object, known: Collection[str]) -> str:
    """
    Suggest a known name, as the end of a message.

    :param name: unknown name
    :param known: known names
    :return: the nearest known name, else all of them
    """
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(sorted(known))}."


def _number_in(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    if not (number == 0 or 1e-15 < abs(number) < 1e15):
        return ""
    plain = np.format_float_positional(number, trim="-")
    return f"YAML reads 1e3 and 1e-3 as text: write {plain}" if "e" in text.lower() else f"write {plain} without quotes"


def in_words(annotation: Any) -> str:
    """
    Describe what an annotation allows.

    :param annotation: what is allowed
    :return: in words, to be read after "give"
    """
    base, metadata = unfold(annotation)
    for each in metadata:
        if isinstance(each, Allowed):
            return each.words
    arguments = get_args(base)
    if is_union(base):
        words = _either([each for choice in arguments for each in _choices(choice)])
    elif is_pair_type(base):
        words = f"a pair of {' and '.join(in_words(each) for each in arguments)}"
    elif is_sequence_type(base):
        size = _range_in_words(metadata)
        words = f"a list{f' with a length{size}' if size else ''}, each {in_words(arguments[0])}"
    elif is_mapping_type(base):
        words = f"a mapping from {in_words(arguments[0])} to {in_words(arguments[1])}"
    else:
        words = _single_in_words(base, metadata)
    return words + "".join(f", such as {each.text}" for each in metadata if isinstance(each, Example))


def _either(choices: Sequence[str]) -> str:
    *first, last = dict.fromkeys(choices)
    return f"{', '.join(first)} or {last}" if first else last


def _choices(annotation: Any) -> list[str]:
    """The values, where they can be listed; else a description."""
    base, _ = unfold(annotation)
    if base is bool:
        return ["True", "False"]
    return [*map(repr, get_args(base))] if get_origin(base) is Literal else [in_words(annotation)]


def _single_in_words(base: Any, metadata: Sequence[Any]) -> str:
    kind, arguments = get_origin(base), get_args(base)
    if base in (int, float):
        unit = "".join(f" of {each.unit}" for each in metadata if isinstance(each, at.Unit))
        limits = _range_in_words(metadata)
        return f"a {'whole ' if base is int else '' if limits else 'finite '}number{unit}{limits}"
    if base is bool or kind is Literal:
        return _either(_choices(base))
    if kind is type:
        return f"a subclass of {getattr(arguments[0], '__name__', arguments[0])}"
    if kind is Callable:
        return "a function"
    known = {types.NoneType: "None", str: "text"}
    return known.get(base) or f"a {getattr(kind or base, '__name__', base)}"


def _range_in_words(metadata: Sequence[Any]) -> str:
    """As in " from 1 to 10", " in (0, 1]", " of at least 0", " above 0", ...; empty for no limit"""
    lows: list[tuple[Any, bool]] = [(each.ge, False) for each in metadata if isinstance(each, at.Ge)]
    lows += [(each.gt, True) for each in metadata if isinstance(each, at.Gt)]
    lows += [(each.min_length, False) for each in metadata if isinstance(each, at.MinLen)]
    highs: list[tuple[Any, bool]] = [(each.le, True) for each in metadata if isinstance(each, at.Le)]
    highs += [(each.lt, False) for each in metadata if isinstance(each, at.Lt)]
    highs += [(each.max_length, True) for each in metadata if isinstance(each, at.MaxLen)]
    if not lows and not highs:
        return ""
    low, above = max(lows, default=(None, False))
    high, included = min(highs, default=(None, False))
    if high is None:
        return f" {'above' if above else 'of at least'} {_limit(low)}"
    if low is None:
        return f" {'of at most' if included else 'below'} {_limit(high)}"
    if above or not included:
        return f" in {'(' if above else '['}{_limit(low)}, {_limit(high)}{']' if included else ')'}"
    return f" of {_limit(low)}" if low == high else f" from {_limit(low)} to {_limit(high)}"


def _limit(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
