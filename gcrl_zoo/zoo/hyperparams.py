"""
Select the hyperparameters of a run from our YAML files and presets, and check every key.

A block is named after its environment, or ``default``. A block for training from a dataset is called ``Hopper-v5 with
dataset``. It is used only if a ``dataset`` is given, and then takes precedence over the block ``Hopper-v5``. The same
applies to ``stream``.

A method's file may begin with ``extends: METHOD``. It then starts from the blocks of that method's file; a block of the
same name is merged into the one there, and ``NAME: null`` removes it. ``env_wrapper`` may name a list of wrappers that
several methods share, see :mod:`gcrl_zoo.zoo.wrapper_lists`.

A preset is a delta. ``-conf exp6`` starts from the block of the environment in ``NAME.yml`` (else its ``default``) and
merges the preset's ``default`` block into it, then the preset's block of the environment. A preset may begin with
``extends: OTHER`` or a list of others, which are merged first, in their order. Mappings are merged key by key; any
other value, including ``null``, replaces the previous value. One of our ids, such as ``gcrl_zoo/PointMaze_UMaze-v3``,
uses the block of the inner environment if it has no block itself, without the wrapper, since the id already includes
it.
"""

import functools
import importlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from gcrl_zoo.common.arguments import accepted_arguments
from gcrl_zoo.common.wording import suggestion
from gcrl_zoo.registry import Method, discover
from gcrl_zoo.zoo.wrapped import WRAPPED
from gcrl_zoo.zoo.wrapper_lists import with_wrapper_lists

Block = dict[str, Any]

# Keys that RL Zoo removes from a block before it builds the model, and arguments that it passes to the constructor.
ZOO_KEYS = frozenset(
    "n_timesteps n_envs normalize env_wrapper vec_env_wrapper frame_stack callback monitor_kwargs env_kwargs".split()
)
ZOO_ARGUMENTS = frozenset("env tensorboard_log seed verbose device _init_setup_model".split())
REQUIRED = ("policy", "n_timesteps")
EXTENDS = "extends"
SOURCES = ("dataset", "stream")  # a block may require these arguments by the end of its name
WITH = " with "


def find_preset(method: Method, conf: str) -> Path | None:
    """
    Resolve ``-conf CONF``. A bare name is one of our presets, unless the user has a file or module of that name.

    :param method: the method of the run
    :param conf: value of ``-conf``
    :return: the preset's file, or None for a file or module of the user
    """
    if not re.fullmatch(r"[\w-]+", conf) or own_file(conf) is not None or _is_own_module(conf):
        return None
    presets = method.presets
    if conf not in presets:
        raise ValueError(
            f"{method.name} has no preset {conf!r}; it has {', '.join(presets) or 'none'} (or give -conf a path, as in "
            f"-conf {conf}.yml)."
        )
    return presets[conf]


def own_file(conf: str) -> Path | None:
    """Return the user's ``CONF.yml`` or ``CONF.yaml`` in the current folder, if it exists."""
    return next((path for path in (Path(f"{conf}.yml"), Path(f"{conf}.yaml")) if path.is_file()), None)


def _is_own_module(name: str) -> bool:
    """Whether the user has a module of this name with ``hyperparams`` (a folder of that name does not count)."""
    try:
        return hasattr(importlib.import_module(name), "hyperparams")
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # the user's module exists, but another import fails
        return False


def compose(
    method: Method, preset: Path | None, env_id: str, *, atari: bool = False, given: Collection[str] = ()
) -> tuple[str, Block]:
    """
    Compose the hyperparameters of one environment.

    :param method: method whose YAML file to read
    :param preset: file of a preset to merge into it
    :param env_id: id of the environment
    :param atari: whether a block called ``atari`` precedes ``default``, as in RL Zoo
    :param given: those of ``SOURCES`` that the user passes
    :return: a description of the files and blocks used, and the hyperparameters
    :raises ValueError: no block of the file, or of the preset, fits this run
    """
    base, names = base_blocks(method.yaml), _names(env_id)
    files = [(layer, read_blocks(layer)) for layer in (layers(method, preset) if preset is not None else [])]
    changes = [
        _read(layer, delta, key, env_id)
        for layer, delta in files
        for key in (*_fitting(delta, ("default",), given)[::-1], *_fitting(delta, names, given)[::-1])
    ]
    if preset is not None and not changes:
        others = ", ".join(key for _, delta in files for key in delta)
        needed = [text for _, delta in files for text in _needed(delta, ("default", *names), given)]
        raise ValueError(
            f"The preset {preset.stem} of {method.name} is for {others}, not for {env_id}" + "".join(needed[:1]) + "."
        )
    deltas = [values for _, values in changes]
    named: Block = functools.reduce(merge, deltas, {})  # a preset may name its dataset
    given = {*given, *(source for source in SOURCES if named.get(source) is not None)}
    keys = _fitting(base, (*names, *["atari"] * atari, "default"), given)
    if not keys:
        raise ValueError(
            f"{method.yaml} has neither a block for {env_id} nor a default; write one and pass it by -conf."
        )
    told, block = _read(method.yaml, base, keys[0], env_id)
    left_out = _needed(base, names, given) if not _fitting(base, names, given) else []
    source = " + ".join((told, *(told for told, _ in changes))) + "".join(left_out)
    return source, functools.reduce(merge, deltas, block)


def _names(env_id: str) -> tuple[str, ...]:
    """Return the ids whose blocks may be used: one of our ids also uses the block of the inner environment."""
    return (env_id, WRAPPED[env_id].inside) if env_id in WRAPPED else (env_id,)


def _fitting(blocks: dict[str, Block], names: Collection[str], given: Collection[str]) -> list[str]:
    """Return the keys of the first name with blocks that fit the run; blocks for the given sources come first."""
    endings = (*(f"{WITH}{source}" for source in SOURCES if source in given), "")
    for name in names:
        if keys := [name + ending for ending in endings if name + ending in blocks]:
            return keys
    return []


def _needed(blocks: dict[str, Block], names: Collection[str], given: Collection[str]) -> list[str]:
    """Describe blocks that are unused only because the user passes no dataset or stream."""
    return [
        f" (the block '{name}{WITH}{source}' needs a {source}: -params {source}:\"'ID'\")"
        for name in names
        for source in SOURCES
        if source not in given and f"{name}{WITH}{source}" in blocks
    ]


def layers(method: Method, preset: Path, within: tuple[str, ...] = ()) -> list[Path]:
    """
    Return the files to merge into a block, in this order: the presets that a preset extends, then the preset.

    :param method: the method of the run
    :param preset: file of the preset
    :param within: presets that extend this one
    :raises ValueError: a preset extends itself or an unknown preset
    """
    extended = (yaml.safe_load(preset.read_text(encoding="utf-8")) or {}).get(EXTENDS, [])
    found: list[Path] = []
    for name in [extended] if isinstance(extended, str) else extended:
        if name not in method.presets or name in (*within, preset.stem):
            raise ValueError(
                f"{preset} extends {name!r}, which is itself or no preset of {method.name}; it has "
                f"{', '.join(method.presets)}."
            )
        found += layers(method, method.presets[name], (*within, preset.stem))
    return [*found, preset]


def _read(path: Path, blocks: dict[str, Block], key: str, env_id: str) -> tuple[str, Block]:
    """Return the source of a block and the block, without wrapper and kwargs that one of our ids already includes."""
    block = blocks[key]
    if env_id in WRAPPED and key.partition(WITH)[0] == WRAPPED[env_id].inside:
        block = {name: value for name, value in block.items() if name not in ("env_wrapper", "env_kwargs")}
    return f"{path}[{key}]", block


def base_blocks(path: Path, within: tuple[str, ...] = ()) -> dict[str, Block]:
    """
    Read a method's YAML file, with the blocks of the method that it extends.

    :param path: the file
    :param within: methods that extend this one
    :return: blocks by environment id
    :raises ValueError: the file is missing, or it extends itself or an unknown method
    """
    content, name = _content(path), path.stem
    parent = content.pop(EXTENDS, None)
    inherited: dict[str, Block] = {}
    if parent is not None:
        methods = discover()
        if parent not in methods or parent in (*within, name):
            known = ", ".join(sorted(methods.keys() - {name}))
            raise ValueError(f"{path} extends {parent!r}; name one other method, which does not extend it: {known}.")
        inherited = base_blocks(methods[parent].yaml, (*within, name))
    return {key: block for key, block in merge(inherited, content).items() if block is not None}


def read_blocks(path: Path) -> dict[str, Block]:
    """
    Read a preset.

    :param path: the file
    :return: blocks by environment id, without those of presets that it extends
    :raises ValueError: there is no such file
    """
    return {key: block for key, block in _content(path).items() if key != EXTENDS}


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"There is no {path}, where the method's hyperparameters should be; write it, or pass -conf FILE."
        )
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {key: with_wrapper_lists(block, path) for key, block in content.items()}


def merge(base: Block, delta: Block) -> Block:
    """
    Merge one mapping into a copy of another.

    :param base: original values
    :param delta: values that take precedence
    :return: the merged mapping
    """
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def accepted_keys(algorithm: type) -> set[str]:
    """
    Return the keys that a block may have.

    :param algorithm: class of the algorithm
    :return: its constructor's arguments except those that RL Zoo passes, and RL Zoo's own keys
    """
    return (accepted_arguments(algorithm) - ZOO_ARGUMENTS) | ZOO_KEYS


def check_keys(method: Method, block: Block) -> None:
    """
    Check the keys of a block before the constructor does, with a helpful message.

    :param method: the method of the run
    :param block: its hyperparameters, after all overrides
    """
    accepted = accepted_keys(method.algorithm)
    for key in block:
        if key not in accepted:
            raise ValueError(f"{method.name} has no hyperparameter {key!r}; {suggestion(key, accepted)}")
    for key in REQUIRED:
        if key not in block:
            raise ValueError(
                f"The hyperparameters of {method.name} lack {key!r}, which RL Zoo needs; add it to the YAML."
            )
