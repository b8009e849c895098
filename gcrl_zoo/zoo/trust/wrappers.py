"""Check the wrappers, callbacks and policies that settings name and RL Zoo imports."""

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

from gcrl_zoo.zoo.trust.refusal import described, refuse, shown
from gcrl_zoo.zoo.trust.stand_ins import parts_of
from gcrl_zoo.zoo.trust.values import PLAIN

MAX_STACK = 64  # frames of an observation
MAX_WRAPPERS = 32
MAX_PRODUCT = 2**24  # of the numbers by which wrappers make observations larger or environments slower

# Keys whose strings RL Zoo imports, and the base class that each requires.
IMPORTED: dict[str, type] = {
    "env_wrapper": gym.Wrapper,
    "vec_env_wrapper": VecEnvWrapper,
    "callback": BaseCallback,
    "policy": BasePolicy,
}
WRITERS = (Monitor, RecordVideo, VecMonitor, VecVideoRecorder)
# Numbers given to its wrappers, except FrameSkip, are goals and positions: they do not make observations larger or
# environments slower.
OURS = "gcrl_zoo.wrappers"
SLOWER = ".FrameSkip"
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
# Arguments that count time steps and may be large.
TIMES = ("max_episode_steps", "max_steps", "buffer_length")


def check_wrappers(settings: dict[Any, Any], where: str) -> None:
    """
    Check the classes that hyperparameters name, and their arguments.

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
            harmless = f"{name}.".startswith(f"{OURS}.") and not name.endswith(SLOWER)
            if key in ("env_wrapper", "vec_env_wrapper") and not harmless:
                product *= math.prod(numbers_in(kwargs))
    if product > MAX_PRODUCT:
        refuse(
            where, f"has wrappers whose numbers multiply to {shown(product)}, which exceeds the limit of {MAX_PRODUCT}"
        )


def check_kwargs(name: str, kwargs: Any, where: str) -> None:
    """
    Check the arguments of a wrapper, a callback or a policy.

    :param name: of a class
    :param kwargs: that it is to be called with
    :param where: for messages: the file
    :raises Untrusted: they are not plain values, or name an absolute path or a module
    """
    if not isinstance(kwargs, dict | None) or not PLAIN.holds(kwargs):
        refuse(where, f"passes {shown(kwargs)} to {name}, which must be plain values by name")
    for text in (part for part in parts_of(kwargs) if isinstance(part, str)):
        if PureWindowsPath(text).anchor or text.startswith("~") or ".." in PureWindowsPath(text).parts:
            refuse(where, f"passes the path {shown(text)} to {name}, which is outside the current folder")
        if ":" in text:
            refuse(where, f"passes {shown(text)} to {name}, which may name a module to import")


def numbers_in(kwargs: Any) -> Iterator[int]:
    """Yield each whole number in the arguments of a wrapper by which it may make observations larger."""
    for name, value in (kwargs or {}).items():
        if name not in TIMES:
            todo = list(value) if isinstance(value, list | tuple) else [value]
            yield from (max(1, abs(each)) for each in todo if type(each) is int)


def named(value: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """
    Yield each name with its arguments.

    :param value: a name, ``{name: arguments}``, or a list of such
    :param key: for messages: what it is the value of
    :param where: for messages: the file
    """
    if isinstance(value, list) and len(value) > MAX_WRAPPERS:
        refuse(where, f"has {len(value)} classes for {key}, which exceeds the limit of {MAX_WRAPPERS}")
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        name, kwargs = next(iter(each.items())) if isinstance(each, dict) and len(each) == 1 else (each, {})
        if not isinstance(name, str):
            refuse(where, f"has {shown(each)} for {key}, which is not a name")
        yield name, kwargs


def check_class(name: str, kind: type, key: str, where: str) -> None:
    """
    Check that a class comes from an allowed package and has the required base class. The base class matters because
    the modules of these packages also contain functions, and RL Zoo would call those.

    :param name: of a class, with its module
    :param kind: required base class
    :param key: for messages: what it is the value of
    :param where: for messages: the file
    """
    module, _, attribute = name.rpartition(".")
    if not any(f"{module}.".startswith(f"{package}.") for package in PACKAGES):
        refuse(where, f"makes RL Zoo import {shown(name)} for {key}, which is not in any of {', '.join(PACKAGES)}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        refuse(where, f"makes RL Zoo import {shown(name)} for {key}, which fails ({described(error)})")
    if not (isinstance(found, type) and issubclass(found, kind)):
        refuse(where, f"makes RL Zoo import {shown(name)} for {key}, which is not a {kind.__name__}")
    if issubclass(found, WRITERS):
        refuse(where, f"makes RL Zoo import {shown(name)} for {key}, which writes files")
