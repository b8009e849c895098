"""Spaces as JSON, in the form in which Minari writes them."""

from __future__ import annotations

import json
from math import prod
from typing import Any

from gymnasium import Space

# Minari itself is imported late: most runs have no dataset, and should not wait for it.

LARGEST_SPACE = 2**27  # numbers in one observation


def space_to_json(space: Space[Any] | None) -> str | None:
    """:return: None if the space is not known or of a kind that cannot be written"""
    if space is None:
        return None
    from minari.serialization import serialize_space

    try:
        return str(serialize_space(space))
    except (NotImplementedError, TypeError):
        return None


def space_from_json(text: str | None) -> Space[Any] | None:
    """:raises ValueError: the space would fill the memory; other exceptions: the text is not the JSON of a space"""
    if text is None:
        return None
    from minari.serialization import deserialize_space

    check_size(text, "space")
    space: Space[Any] = deserialize_space(text)
    return space


def check_size(text: str, name: str) -> None:
    """
    Refuse the JSON of a space that would fill the memory.

    :param name: of the space, for the message
    """
    for shape in _shapes(json.loads(text)):
        if prod(shape) > LARGEST_SPACE:
            raise ValueError(f"its {name} has a part of shape {shape}")


def _shapes(space: Any) -> list[list[int]]:
    """The shapes of a space and its parts."""
    if isinstance(space, list):
        return [shape for part in space for shape in _shapes(part)]
    if not isinstance(space, dict):
        return []
    subspaces = space.get("subspaces", [])
    parts = _shapes([*subspaces.values()] if isinstance(subspaces, dict) else subspaces)
    return [[int(n) for n in space["shape"]], *parts] if "shape" in space else parts
