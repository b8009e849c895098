"""Wrappers, callbacks and policies that settings name, and RL Zoo imports."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import RecordVideo
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnvWrapper, VecMonitor, VecVideoRecorder

from gcrl_zoo.zoo.trust.refusal import refuse, shown, told
from gcrl_zoo.zoo.trust.stand_ins import parts_of
from gcrl_zoo.zoo.trust.values import PLAIN

MAX_STACK = 64  # frames of an observation
MAX_WRAPPERS = 32
MAX_PRODUCT = 2**24  # of the numbers by which wrappers make observations larger or environments slower

# Keys whose texts RL Zoo imports: the kind of class that each means, and the packages that it may come from.
IMPORTED: dict[str, type] = {
    "env_wrapper": gym.Wrapper,
    "vec_env_wrapper": VecEnvWrapper,
    "callback": BaseCallback,
    "policy": BasePolicy,
}
WRITERS = (Monitor, RecordVideo, VecMonitor, VecVideoRecorder)
# Whose numbers are goals and places in observations, and make nothing larger.
OURS = "gcrl_zoo.wrappers"
PACKAGES = (
    OURS,
    "gcrl_zoo.methods",
    "gymnasium.wrappers",
    "minigrid.wrappers",
    "rl_zoo3.callbacks",
    "rl_zoo3.wrappers",
    "sb3_contrib.common",
    "stable_baselines3.common",
)
# Arguments that count steps of time, and may be large.
TIMES = ("max_episode_steps", "max_steps", "buffer_length")


def check_wrappers(settings: dict[Any, Any], where: str) -> None:
    """
    :param settings: hyperparameters as RL Zoo takes them
    :param where: for messages: the file
    :raises Untrusted: a class that RL Zoo would import is not from a package on the list, or gets odd arguments
    """
    product = max(1, settings.get("frame_stack") or 1)
    for key, kind in IMPORTED.items():
        for name, kwargs in named(settings.get(key), key, where):
            if key != "policy" or "." in name:  # without a dot it is an alias, such as MlpPolicy
                check_class(name, kind, key, where)
            check_kwargs(name, kwargs, where)
            if key in ("env_wrapper", "vec_env_wrapper") and not f"{name}.".startswith(f"{OURS}."):
                product *= math.prod(numbers_in(kwargs))
    if product > MAX_PRODUCT:
        refuse(where, f"has wrappers whose numbers multiply to {shown(product)}, where honest ones stay small")


def check_kwargs(name: str, kwargs: Any, where: str) -> None:
    """
    :param name: of a class
    :param kwargs: that it is to be called with
    :param where: for messages: the file
    :raises Untrusted: they are no plain values, or name an absolute path or a module
    """
    if not isinstance(kwargs, dict | None) or not PLAIN.holds(kwargs):
        refuse(where, f"hands {shown(kwargs)} to {name}, which are no plain values by name")
    for text in (part for part in parts_of(kwargs) if isinstance(part, str)):
        if PureWindowsPath(text).anchor or text.startswith("~") or ".." in PureWindowsPath(text).parts:
            refuse(where, f"hands the path {shown(text)} to {name}, which is outside of the current folder")
        if ":" in text:
            refuse(where, f"hands {shown(text)} to {name}, which may name a module to import")


def numbers_in(kwargs: Any) -> Iterator[int]:
    """:param kwargs: of a wrapper; each whole number in them by which it may make observations larger"""
    for name, value in (kwargs or {}).items():
        if name not in TIMES:
            todo = list(value) if isinstance(value, list | tuple) else [value]
            yield from (max(1, abs(each)) for each in todo if type(each) is int)


def named(value: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """
    :param value: a name, ``{name: arguments}``, or a list of such
    :param key: for messages: what it is the value of
    :param where: for messages: the file
    :return: each name with its arguments
    """
    if isinstance(value, list) and len(value) > MAX_WRAPPERS:
        refuse(where, f"has {len(value)} classes for {key}, where honest ones stay below {MAX_WRAPPERS}")
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        name, kwargs = next(iter(each.items())) if isinstance(each, dict) and len(each) == 1 else (each, {})
        if not isinstance(name, str):
            refuse(where, f"has {shown(each)} for {key}, which is no name")
        yield name, kwargs


def check_class(name: str, kind: type, key: str, where: str) -> None:
    """
    The kind is checked, too: the modules of these packages have functions in them, and those would be called.

    :param name: of a class, with its module
    :param kind: of which it must be
    :param key: for messages: what it is the value of
    :param where: for messages: the file
    """
    module, _, attribute = name.rpartition(".")
    if not any(f"{module}.".startswith(f"{package}.") for package in PACKAGES):
        refuse(where, f"has RL Zoo import {shown(name)} for {key}, which is in none of {', '.join(PACKAGES)}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        refuse(where, f"has RL Zoo import {shown(name)} for {key}, which cannot be done ({told(error)})")
    if not (isinstance(found, type) and issubclass(found, kind)):
        refuse(where, f"has RL Zoo import {shown(name)} for {key}, which is no {kind.__name__}")
    if issubclass(found, WRITERS):
        refuse(where, f"has RL Zoo import {shown(name)} for {key}, which writes files")
