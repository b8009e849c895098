"""
What an annotation of an argument may consist of.

It is a type (``int``, ``float``, ``bool``, ``Literal``, ``Sequence[...]``, ``Mapping[..., ...]``, a class, a union),
narrowed by metadata: ``Ge``, ``Gt``, ``Le``, ``Lt``, ``MinLen``, ``MaxLen`` and ``Unit`` of ``annotated_types``, and
the classes below.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types as at


@dataclass(frozen=True)
class Allowed:
    """
    Metadata for what types and ranges cannot express.

    :param words: what is allowed, to be read after "give"
    :param test: whether a value of the right type, other than None, is allowed; None for no further test
    """

    words: str
    test: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Example:
    """
    Metadata: a value to show in messages.

    :param text: as a user would write it
    """

    text: str


@dataclass(frozen=True)
class WholeFloats:
    """Metadata of an ``int``: takes 1e6 for 1000000, since YAML reads 1.0e+6 as a float. Its user converts it."""


@dataclass(frozen=True)
class Nested:
    """
    Metadata of a mapping whose entries have annotations of their own.

    :param check: called with the name and the mapping; raises ``ValueError`` or ``TypeError``
    """

    check: Callable[[str, Mapping[str, Any]], None]


def unfold(annotation: Any) -> tuple[Any, list[Any]]:
    """
    Split an annotation into its type and its metadata.

    :param annotation: a type, perhaps ``Annotated``
    :return: the type, and its metadata
    """
    if get_origin(annotation) is not Annotated:
        return annotation, []
    base, *metadata = get_args(annotation)
    return base, [each for group in metadata for each in (group if isinstance(group, at.GroupedMetadata) else [group])]


def is_union(base: Any) -> bool:
    """
    Return whether an annotation is a union.

    :param base: annotation without its metadata
    """
    return get_origin(base) in (Union, types.UnionType)


def is_sequence_type(base: Any) -> bool:
    """
    Return whether an annotation is a list or another sequence.

    :param base: annotation without its metadata
    """
    return get_origin(base) in (Sequence, list, tuple)


def is_pair_type(base: Any) -> bool:
    """
    Return whether an annotation is a tuple of a fixed length.

    :param base: annotation without its metadata
    """
    return get_origin(base) is tuple and Ellipsis not in get_args(base)


def is_mapping_type(base: Any) -> bool:
    """
    Return whether an annotation is a mapping.

    :param base: annotation without its metadata
    """
    return get_origin(base) in (Mapping, dict)


def takes(annotation: Any, *bases: type) -> bool:
    """
    Whether an annotation allows one of some types.

    :param annotation: what is allowed
    :param bases: types
    :return: whether one of these types is allowed, perhaps beside others
    """
    base, _ = unfold(annotation)
    return any(takes(choice, *bases) for choice in get_args(base)) if is_union(base) else base in bases
