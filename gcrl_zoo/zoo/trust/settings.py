"""Hyperparameters and arguments of a run, of which RL Zoo ``eval``s some texts and imports what others name."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

from rl_zoo3.utils import ALGOS

from gcrl_zoo.common.arguments import constructors
from gcrl_zoo.nets.activations import NAMES as ACTIVATIONS
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust.fields import MAX_ENVS
from gcrl_zoo.zoo.trust.refusal import refuse, shown
from gcrl_zoo.zoo.trust.stand_ins import parts_of
from gcrl_zoo.zoo.trust.values import (
    FLAG,
    MAX_PARTS,
    NONE,
    NUMBER,
    PLAIN,
    TEXT,
    WHOLE,
    Kind,
    plain_number,
    sequence,
    whole,
)
from gcrl_zoo.zoo.trust.wrappers import MAX_STACK, check_wrappers
from gcrl_zoo.zoo.trust.yamls import check_yaml
from gcrl_zoo.zoo.wrapped import bare

# Keys whose texts RL Zoo evaluates as Python, and what those may name besides `dict` and activations.
EVALUATED = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
EVALUATED_NAMES = {"HerReplayBuffer", "RMSpropTFLike"}
# Keys of RL Zoo's own; the others are arguments of an algorithm.
ZOO = (
    *("env_wrapper", "vec_env_wrapper", "callback", "env_kwargs", "eval_env_kwargs", "frame_stack", "n_envs"),
    *("n_timesteps", "normalize", "normalize_kwargs", "monitor_kwargs", "noise_type", "noise_std", "use_rms_prop"),
    # Of `HER` before it became a replay buffer, in files that RL Zoo still ships.
    *("goal_selection_strategy", "max_episode_length", "model_class", "n_sampled_goal", "online_sampling"),
)

# Gymnasium imports what stands before the colon of an id.
NO_ID = "is no plain id: Gymnasium imports what precedes a colon"
OPTION_TEXT = Kind("a text", lambda value: isinstance(value, str) and len(value) < 1000 and value.isprintable())
OPTION = NONE | FLAG | NUMBER | OPTION_TEXT | sequence(OPTION_TEXT, 100)
# Options of `rl_zoo3.train`; of those without a default, older versions wrote them.
OPTIONS = (
    *("algo", "conf_file", "device", "env", "env_kwargs", "eval_env_kwargs", "eval_episodes", "eval_freq"),
    *("gym_packages", "hyperparams", "log_folder", "log_interval", "max_total_trials", "n_eval_envs", "n_evaluations"),
    *("n_jobs", "n_startup_trials", "n_timesteps", "n_trials", "no_optim_plots", "num_threads"),
    *("optimization_log_path", "optimize_hyperparameters", "progress", "pruner", "sampler", "save_freq"),
    *("save_replay_buffer", "seed", "storage", "study_name", "tensorboard_log", "track", "trained_agent", "trial_id"),
    *("truncate_last_trajectory", "uuid", "vec_env", "verbose", "wandb_entity", "wandb_group", "wandb_project_name"),
    *("wandb_tags", "yaml_file"),
)


@cache
def hyperparameters() -> frozenset[str]:
    """Names of all arguments of all algorithms, and RL Zoo's own."""
    classes = {*(method.algorithm for method in discover().values()), *ALGOS.values()}
    names = {name for cls in classes for _, each in constructors(cls) for name in each.__annotations__}
    given = {"env", "unknown", "kwargs", "return"}
    return frozenset({name for name in names - given if not name.startswith("_")} | set(ZOO))


def check_config(path: Path) -> None:
    """
    :param path: of a ``config.yml``
    :raises Untrusted: as ``check_yaml``, or RL Zoo would evaluate or import what no honest agent needs
    """
    check_settings(check_yaml(path), str(path))


def check_blocks(path: Path) -> None:
    """
    :param path: of hyperparameters by environment, as ``-conf`` takes them
    :raises Untrusted: as ``check_config``, of any block
    """
    for name, block in check_yaml(path).items():
        if not (isinstance(name, str) and is_id(name)) or not isinstance(block, dict):
            refuse(str(path), f"has {shown(name)}, where the hyperparameters of an environment should be")
        check_settings(block, f"{path}[{name}]")


def check_arguments(path: Path) -> None:
    """
    :param path: of an ``args.yml``
    :raises Untrusted: as ``check_yaml``, or a value is none that an option of ``rl_zoo3.train`` has
    """
    for name, value in check_yaml(path).items():
        if name not in OPTIONS:
            refuse(str(path), f"has the key {shown(name)}, which is no option of rl_zoo3.train")
        if name == "env":
            if not is_id(value):
                refuse(
                    str(path),
                    f"has the environment {shown(value)}, which {NO_ID}",
                )
        elif name in ("env_kwargs", "eval_env_kwargs"):
            check_env_kwargs(value, str(path))
        elif name == "hyperparams" and isinstance(value, dict):
            check_settings(value, f"{path}[hyperparams]")
        elif not OPTION.holds(value):
            refuse(str(path), f"has {shown(value)} for {name}, where honest ones have a number or a text")


def check_settings(settings: dict[Any, Any], where: str) -> None:
    """
    :param settings: hyperparameters as RL Zoo takes them, of one environment
    :param where: for messages: the file
    :raises Untrusted: RL Zoo would evaluate or import what no honest agent needs
    """
    for key, value in settings.items():
        if key not in hyperparameters():
            refuse(where, f"has the key {shown(key)}, which is no hyperparameter of RL Zoo or an algorithm")
        if key in ("env_kwargs", "eval_env_kwargs"):
            check_env_kwargs(value, where)
        elif key in EVALUATED and isinstance(value, str):
            if not is_plain(value):
                refuse(where, f"has RL Zoo evaluate {shown(value)} for {key}, which is more than plain values")
        elif key in KINDS:
            if not KINDS[key].holds(value):
                refuse(where, f"has {shown(value)} for {key}, where honest ones have {KINDS[key].words}")
        elif key not in ("env_wrapper", "vec_env_wrapper", "callback") and not PLAIN.holds(value):
            refuse(where, f"has {shown(value)} for {key}, where honest ones have plain values")
    check_wrappers(settings, where)


KINDS = {
    "frame_stack": NONE | whole(0, MAX_STACK),
    "n_envs": whole(1, MAX_ENVS),
    "n_timesteps": NUMBER,
    "policy": TEXT,
    "buffer_size": WHOLE,
}


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


# -------------------------------------------------------------------------------------------------- environments

ENV_ID = re.compile(r"([\w-]{1,100}/)?[\w.-]{1,100}", re.ASCII)
# Words; a dot would make a module of them, but for the file that describes a robot.
ENV_TEXT = re.compile(r"[\w +,=-]{0,100}|([\w -]{1,100}/){0,8}[\w-]{1,100}\.xml", re.ASCII)
ARGUMENT_NAME = re.compile(r"[a-z_A-Z]\w{0,99}", re.ASCII)
MAX_NUMBER = 10**6
MAX_STEPS = 10**9
#: Arguments by which our ids say what is inside; nobody else gives them.
RESERVED = {name for name, each in inspect.signature(bare).parameters.items() if each.kind is not each.VAR_KEYWORD}


def is_id(text: Any) -> bool:
    """:param text: anything; True for the id of a registered environment, without a module before it"""
    return isinstance(text, str) and ENV_ID.fullmatch(text) is not None and ".." not in text


def check_env_kwargs(arguments: Any, where: str) -> None:
    """
    :param arguments: of the constructor of an environment; None for none
    :param where: for messages: the file, and the place in it
    :raises Untrusted: one is more than plain words and numbers
    """
    if not isinstance(arguments, dict | None):
        refuse(where, f"has {shown(arguments)} for env_kwargs, where names and values should be")
    for name, value in (arguments or {}).items():
        if not (isinstance(name, str) and ARGUMENT_NAME.fullmatch(name)) or name.startswith("__") or name in RESERVED:
            refuse(where, f"has {shown(name)} in env_kwargs, which no honest one gives to an environment")
        for count, part in enumerate(parts_of(value)):
            if count > MAX_PARTS or not _is_word_or_number(part, MAX_STEPS if name.endswith("steps") else MAX_NUMBER):
                refuse(where, f"has {shown(part)} for {name} in env_kwargs, which is no plain word or number")


def _is_word_or_number(part: Any, most: int) -> bool:
    if isinstance(part, str):
        return ENV_TEXT.fullmatch(part) is not None
    if part is None or isinstance(part, bool | float | list | tuple):
        return True
    if isinstance(part, dict):
        return all(isinstance(key, str | int) for key in part)
    number = plain_number(part)
    return number is not None and abs(number) <= most
