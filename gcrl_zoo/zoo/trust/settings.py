"""Settings as YAML, of which RL Zoo builds any Python object, ``eval``s some texts and imports what others name."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, NoReturn

import gymnasium as gym
import yaml
from gymnasium.wrappers import RecordVideo
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnvWrapper, VecMonitor, VecVideoRecorder

from gcrl_zoo.zoo.trust.allowed import ACTIVATIONS, CLASSES
from gcrl_zoo.zoo.trust.refusal import BROKEN, Offence, Untrusted, read, refuse, shown, told

MAX_TEXT = 2**18
MAX_STACK = 64  # frames of an observation
MAX_ALIASES = 8  # RL Zoo writes one where two settings are the same object
YAML_TAG = "tag:yaml.org,2002:"

# Keys whose texts RL Zoo evaluates as Python, and what those may name besides `dict` and activations.
EVALUATED = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
EVALUATED_NAMES = {"HerReplayBuffer", "RMSpropTFLike"}
# Keys whose texts RL Zoo imports: the kind of class that each means, and the packages that it may come from.
IMPORTED: dict[str, type] = {
    "env_wrapper": gym.Wrapper,
    "vec_env_wrapper": VecEnvWrapper,
    "callback": BaseCallback,
    "policy": BasePolicy,
}
WRITERS = (Monitor, RecordVideo, VecMonitor, VecVideoRecorder)
PACKAGES = (
    "gcrl_zoo.wrappers",
    "gcrl_zoo.methods",
    "gymnasium.wrappers",
    "minigrid.wrappers",
    "rl_zoo3.callbacks",
    "rl_zoo3.wrappers",
    "sb3_contrib.common",
    "stable_baselines3.common",
)


class PlainLoader(yaml.SafeLoader):
    """Knows no Python objects but the few that RL Zoo writes itself."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As ever. Values that are repeated by a short name, and these again, may take forever to walk."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise Offence(f"has more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_ordered(self, node: yaml.Node) -> dict[Any, Any]:
        """``OrderedDict(pairs)``, the root of what RL Zoo writes."""
        if not isinstance(node, yaml.SequenceNode) or len(node.value) != 1:
            self.construct_unknown(node)
        return dict(self.construct_sequence(node, deep=True)[0])

    def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        """A tuple given on the command line."""
        return tuple(self.construct_sequence(node, deep=True))

    def construct_class(self, node: yaml.Node) -> str:
        """A class given on the command line; its name will do."""
        return node.tag

    def construct_unknown(self, node: yaml.Node) -> NoReturn:
        """Anything else."""
        tag = shown(node.tag.replace(YAML_TAG, "!!"))
        raise Offence(f"has the tag {tag} in line {node.start_mark.line + 1}")


PlainLoader.add_constructor(f"{YAML_TAG}python/object/apply:collections.OrderedDict", PlainLoader.construct_ordered)
PlainLoader.add_constructor(f"{YAML_TAG}python/tuple", PlainLoader.construct_tuple)
PlainLoader.add_constructor(None, PlainLoader.construct_unknown)
PlainLoader.add_constructor(f"{YAML_TAG}binary", PlainLoader.construct_unknown)  # bytes can be paths, too
for _module, _name in CLASSES:
    PlainLoader.add_constructor(f"{YAML_TAG}python/name:{_module}.{_name}", PlainLoader.construct_class)


def check_yaml(path: Path) -> dict[Any, Any]:
    """
    :param path: of an ``args.yml``, ``env_kwargs.yml`` or the like
    :return: what it says
    :raises Untrusted: a tag in it makes a Python object, or it is no mapping
    """
    try:
        # RL Zoo reads by the encoding of the machine, which may see a tag where another one sees a comment.
        settings = yaml.load(read(path, MAX_TEXT).decode("ascii"), Loader=PlainLoader)
    except Offence as offence:
        refuse(str(path), f"{offence}, which no honest one needs")
    except Untrusted:
        raise
    except Exception as error:
        refuse(str(path), f"is no YAML that can be read ({told(error)})", BROKEN)
    if not isinstance(settings, dict):
        refuse(str(path), f"holds {shown(settings)}, where names and values should be", BROKEN)
    return settings


def check_config(path: Path) -> None:
    """
    :param path: of a ``config.yml``
    :raises Untrusted: as :func:`check_yaml`, or RL Zoo would evaluate or import what no honest agent needs
    """
    check_settings(check_yaml(path), str(path))


def check_settings(settings: dict[Any, Any], where: str) -> None:
    """
    :param settings: hyperparameters as RL Zoo takes them
    :param where: for messages: the file
    :raises Untrusted: RL Zoo would evaluate or import what no honest agent needs
    """
    for key in EVALUATED:
        text = settings.get(key)
        if isinstance(text, str) and not is_plain(text):
            refuse(where, f"has RL Zoo evaluate {shown(text)} for {key}, which is more than plain values")
    frames = settings.get("frame_stack") or 0
    if not isinstance(frames, int) or frames > MAX_STACK:
        refuse(where, f"has {shown(frames)} for frame_stack, where honest ones stay below {MAX_STACK}")
    for key, kind in IMPORTED.items():
        for name, kwargs in named(settings.get(key), key, where):
            if key != "policy" or "." in name:  # without a dot it is an alias, such as MlpPolicy
                check_class(name, kind, key, where)
            for text in texts(kwargs):
                if PureWindowsPath(text).anchor or text.startswith("~") or ".." in PureWindowsPath(text).parts:
                    refuse(where, f"hands the path {shown(text)} to {name}, which is outside of the current folder")


def is_plain(text: str) -> bool:
    """:param text: an expression; True for values as one writes them, ``dict(...)`` and names of activations"""
    try:
        return _is_plain(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_plain(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return all(map(_is_plain, parts))
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and _is_plain(key) for key in keys) and all(map(_is_plain, values))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return all(keyword.arg is not None and _is_plain(keyword.value) for keyword in keywords)
        case ast.Attribute(value=ast.Name(id="nn") | ast.Attribute(value=ast.Name(id="th"), attr="nn"), attr=name):
            return name in ACTIVATIONS
        case ast.Name(id=name):
            return name in EVALUATED_NAMES
    return False


def named(value: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """
    :param value: a name, ``{name: arguments}``, or a list of such
    :param key: for messages: what it is the value of
    :param where: for messages: the file
    :return: each name with its arguments
    """
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


def texts(value: Any) -> Iterator[str]:
    """:param value: nested settings, which may hold themselves; each text in them"""
    todo, seen = [value], set()
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            todo += each.values() if isinstance(each, dict) else each
