"""Check hyperparameters and arguments of a run: RL Zoo ``eval``s some of their strings and imports what others name."""

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

# Keys whose strings RL Zoo evaluates as Python, and the names allowed there besides `dict` and activations.
EVALUATED = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
EVALUATED_NAMES = {"HerReplayBuffer", "RMSpropTFLike"}
# Keys that RL Zoo reads itself; the others are arguments of an algorithm.
ZOO = (
    *("env_wrapper", "vec_env_wrapper", "callback", "env_kwargs", "eval_env_kwargs", "frame_stack", "n_envs"),
    *("n_timesteps", "normalize", "normalize_kwargs", "monitor_kwargs", "noise_type", "noise_std", "use_rms_prop"),
    # Of `HER` before it became a replay buffer, in files that RL Zoo still ships.
    *("goal_selection_strategy", "max_episode_length", "model_class", "n_sampled_goal", "online_sampling"),
)

NO_ID = "is not a plain id: Gymnasium imports the module before a colon"
OPTION_TEXT = Kind("a text", lambda value: isinstance(value, str) and len(value) < 1000 and value.isprintable())
OPTION = NONE | FLAG | NUMBER | OPTION_TEXT | sequence(OPTION_TEXT, 100)
# Options of `rl_zoo3.train`, including those of older versions.
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
    """Return the names of all arguments of all algorithms, and the keys of RL Zoo."""
    classes = {*(method.algorithm for method in discover().values()), *ALGOS.values()}
    names = {name for cls in classes for _, each in constructors(cls) for name in each.__annotations__}
    given = {"env", "unknown", "kwargs", "return"}
    return frozenset({name for name in names - given if not name.startswith("_")} | set(ZOO))


def check_config(path: Path) -> None:
    """
    Check the hyperparameters of a run.

    :param path: of a ``config.yml``
    :raises Untrusted: as ``check_yaml``, or RL Zoo would evaluate or import something that is not allowed
    """
    check_settings(check_yaml(path), str(path))


def check_blocks(path: Path) -> None:
    """
    Check hyperparameters by environment, as ``-conf`` takes them.

    :param path: of the YAML file
    :raises Untrusted: as ``check_config``, of any block
    """
    for name, block in check_yaml(path).items():
        if not (isinstance(name, str) and is_id(name)) or not isinstance(block, dict):
            refuse(str(path), f"has {shown(name)}, but must map environment ids to hyperparameters")
        check_settings(block, f"{path}[{name}]")


def check_arguments(path: Path) -> None:
    """
    Check the command-line arguments of a run.

    :param path: of an ``args.yml``
    :raises Untrusted: as ``check_yaml``, or a value is not one of an option of ``rl_zoo3.train``
    """
    for name, value in check_yaml(path).items():
        if name not in OPTIONS:
            refuse(str(path), f"has the key {shown(name)}, which is not an option of rl_zoo3.train")
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
            refuse(str(path), f"has {shown(value)} for {name}, which must be a number or a string")


def check_settings(settings: dict[Any, Any], where: str) -> None:
    """
    Check the hyperparameters of one environment.

    :param settings: hyperparameters as RL Zoo takes them
    :param where: for messages: the file
    :raises Untrusted: RL Zoo would evaluate or import something that is not allowed
    """
    for key, value in settings.items():
        if key not in hyperparameters():
            refuse(where, f"has the key {shown(key)}, which is not a hyperparameter of RL Zoo or an algorithm")
        if key in ("env_kwargs", "eval_env_kwargs"):
            check_env_kwargs(value, where)
        elif key in EVALUATED and isinstance(value, str):
            if not is_plain(value):
                refuse(where, f"makes RL Zoo evaluate {shown(value)} for {key}, which is more than plain values")
        elif key in KINDS:
            if not KINDS[key].holds(value):
                refuse(where, f"has {shown(value)} for {key}, which must be {KINDS[key].words}")
        elif key not in ("env_wrapper", "vec_env_wrapper", "callback") and not PLAIN.holds(value):
            refuse(where, f"has {shown(value)} for {key}, which must be plain values")
    check_wrappers(settings, where)


KINDS = {
    "frame_stack": NONE | whole(0, MAX_STACK),
    "n_envs": whole(1, MAX_ENVS),
    "n_timesteps": NUMBER,
    "policy": TEXT,
    "buffer_size": WHOLE,
}


def is_plain(text: str) -> bool:
    """Whether an expression consists of literals, ``dict(...)`` and names of activations."""
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
# Words. A dot is allowed only in the file name of a robot: names with dots could be modules.
ENV_TEXT = re.compile(r"[\w +,=-]{0,100}|([\w -]{1,100}/){0,8}[\w-]{1,100}\.xml", re.ASCII)
ARGUMENT_NAME = re.compile(r"[a-z_A-Z]\w{0,99}", re.ASCII)
MAX_NUMBER = 10**6
MAX_STEPS = 10**9
#: Arguments by which the environments of gcrl_zoo choose the wrapped environment.
RESERVED = {name for name, each in inspect.signature(bare).parameters.items() if each.kind is not each.VAR_KEYWORD}


def is_id(text: Any) -> bool:
    """Whether this is the id of an environment, without a module before it."""
    return isinstance(text, str) and ENV_ID.fullmatch(text) is not None and ".." not in text


def check_env_kwargs(arguments: Any, where: str) -> None:
    """
    Check the keyword arguments of an environment.

    :param arguments: of the constructor of an environment; None for none
    :param where: for messages: the file, and the place in it
    :raises Untrusted: one is not made of plain words and numbers
    """
    if not isinstance(arguments, dict | None):
        refuse(where, f"has {shown(arguments)} for env_kwargs, but must map names to values")
    for name, value in (arguments or {}).items():
        if not (isinstance(name, str) and ARGUMENT_NAME.fullmatch(name)) or name.startswith("__") or name in RESERVED:
            refuse(where, f"has {shown(name)} in env_kwargs, which is not allowed")
        for count, part in enumerate(parts_of(value)):
            if count > MAX_PARTS or not _is_word_or_number(part, MAX_STEPS if name.endswith("steps") else MAX_NUMBER):
                refuse(where, f"has {shown(part)} for {name} in env_kwargs, which is not a plain word or number")


def _is_word_or_number(part: Any, most: int) -> bool:
    if isinstance(part, str):
        return ENV_TEXT.fullmatch(part) is not None
    if part is None or isinstance(part, bool | float | list | tuple):
        return True
    if isinstance(part, dict):
        return all(isinstance(key, str | int) for key in part)
    number = plain_number(part)
    return number is not None and abs(number) <= most
