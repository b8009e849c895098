"""
Describes the wrappers of an environment, so that a dataset states under which wrappers it was recorded.

A description is a list with one entry per wrapper, the outermost last, in plain JSON::

    [["FrameSkip", {"skip": 4}], ["CropObservation", {"rows": [0, 84]}], ["GrayscaleObservation", {"keep_dim": True}]]

:func:`gcrl_zoo.record.record` writes it to the metadata of the dataset (``gcrl_zoo_wrappers``). A store returns it as
``store.wrappers``, which is None if the wrappers are unknown (datasets of other programs), and ``[]`` if there were
none. Environments with the same wrappers have equal descriptions (``==``). To compare a dataset with an environment
that stacks frames or adds commands, leave out the entries of these wrappers (``FrameStackObservation``, ``ReturnToGo``,
...), since the dataset holds single frames and facts.
"""

from __future__ import annotations

import inspect
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

WrapperList: TypeAlias = list[list[Any]]
"""One ``[name, arguments]`` per wrapper, the outermost last."""

METADATA_KEY = "gcrl_zoo_wrappers"
NEUTRAL = frozenset(
    "Autoreset HumanRendering Monitor OrderEnforcing PassiveEnvChecker RecordEpisodeStatistics RecordVideo "
    "RenderCollection TimeLimit".split()
)
"""Classes of wrappers that change no observation, action or reward. They and their subclasses are left out."""
LARGEST_ARRAY = 1000  # numbers; of larger arrays a description has the checksum only


def describe_wrappers(env: gym.Env[Any, Any]) -> WrapperList:
    """Describe the wrappers of an environment, see the module's docstring.

    The arguments of a wrapper are those that it records (``gymnasium.utils.RecordConstructorArgs``). Of other wrappers,
    they are the attributes that are named like an argument of the constructor, also with an underscore in front.

    :param env: in any Gymnasium wrappers
    :return: plain JSON: equal to what is read after it was written
    """
    found: WrapperList = []
    while isinstance(env, gym.Wrapper):
        if NEUTRAL.isdisjoint(cls.__name__ for cls in type(env).__mro__):
            found.append([type(env).__name__, {key: _plain(value) for key, value in _arguments(env).items()}])
        env = env.env
    return found[::-1]


def check_wrappers(value: Any) -> WrapperList | None:
    """Return a description that was read from a file.

    :param value: the entry of the file; None if it has none
    :raises ValueError: it is no description
    """
    if value is None:
        return None
    if not isinstance(value, list) or not all(_is_entry(entry) for entry in value):
        raise ValueError(f"its list of wrappers is {value!r:.80}")
    return value


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and [*map(type, entry)] == [str, dict]


def _arguments(wrapper: gym.Wrapper[Any, Any, Any, Any]) -> dict[str, Any]:
    if isinstance(wrapper, RecordConstructorArgs):
        return {key: value for key, value in getattr(wrapper, "_saved_kwargs", {}).items() if key != "env"}
    names: list[str] = []
    with suppress(TypeError, ValueError):  # a constructor without a signature
        names = [name for name in inspect.signature(type(wrapper)).parameters if name != "env"]
    attributes = vars(wrapper)
    places = {name: next((key for key in (name, f"_{name}") if key in attributes), None) for name in names}
    return {name: attributes[key] for name, key in places.items() if key is not None}


def _plain(value: Any) -> Any:
    """Convert a value to JSON. Equal values give equal results, in every process."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        if value.size <= LARGEST_ARRAY:
            return _plain(value.tolist())
        return f"{value.dtype} array of shape {value.shape}, CRC-32 {zlib.crc32(np.ascontiguousarray(value).data)}"
    if isinstance(value, gym.Space):
        return str(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
