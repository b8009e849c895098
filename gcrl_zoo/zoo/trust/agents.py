"""Check agents and normalisation statistics as Stable-Baselines3 saves them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust.allowed import STATISTICS
from gcrl_zoo.zoo.trust.archives import members
from gcrl_zoo.zoo.trust.fields import Fields
from gcrl_zoo.zoo.trust.pickled_arrays import ARRAY, SCALAR
from gcrl_zoo.zoo.trust.pickles import Budget, check_pickle
from gcrl_zoo.zoo.trust.refusal import BROKEN, read, refuse, shown
from gcrl_zoo.zoo.trust.spaces import SPACE, size_of
from gcrl_zoo.zoo.trust.stand_ins import is_a, parts_of
from gcrl_zoo.zoo.trust.values import ARRAYS, INFOS, PLAIN, plain_number
from gcrl_zoo.zoo.trust.weights import VARIABLES, check_torch, entries_of

TEXTS = ("_stable_baselines3_version", "system_info.txt")
#: SAC and its variants declare other variables where this optimizer exists: their entropy coefficient is then learned.
ENTROPY = "ent_coef_optimizer"
RUNNING_MEAN = "stable_baselines3.common.running_mean_std.RunningMeanStd"


@cache
def class_of(algorithm: str) -> type[BaseAlgorithm]:
    """
    Return the class of an algorithm.

    :param algorithm: as ``--algo`` takes it
    :raises ValueError: there is no such algorithm
    """
    methods = discover()
    if algorithm not in methods and algorithm not in ALGOS:
        raise ValueError(f"There is no algorithm '{algorithm}'; choose from {', '.join(sorted({*methods, *ALGOS}))}.")
    return methods[algorithm].algorithm if algorithm in methods else ALGOS[algorithm]


@cache
def fields_in(algorithm: str) -> Fields:
    """Return what the fields of an agent of this algorithm may hold."""
    return Fields(class_of(algorithm))


@cache
def declared_in(algorithm: str) -> tuple[frozenset[str], frozenset[str]]:
    """
    Return what the agents of an algorithm save beside their fields.

    :param algorithm: as ``--algo`` takes it
    :return: names of the members with a file each, and names of the variables that share one file
    """
    cls = class_of(algorithm)
    policy: Any = next(iter(cls.policy_aliases.values()))
    agent = cls(policy, None, device="cpu", _init_setup_model=False)  # type: ignore[call-arg]
    agent.policy = policy  # whose class declares its optimizers
    files, variables = agent._get_torch_save_params()
    if hasattr(agent, ENTROPY):
        vars(agent)[ENTROPY] = object()
        others = agent._get_torch_save_params()
        files, variables = [*files, *others[0]], [*variables, *others[1]]
    return frozenset(files), frozenset(variables)


def check_agent(path: Path, algorithm: str) -> None:
    """
    Check a saved agent.

    :param path: of a zip that Stable-Baselines3 saved
    :param algorithm: as ``--algo`` takes it
    :raises ValueError: there is no such algorithm
    :raises Untrusted: it holds something that agents of this algorithm do not save
    """
    files, variables = declared_in(algorithm)
    names = re.compile("|".join(map(re.escape, ("data", *TEXTS, *(f"{name}.pth" for name in {*files, VARIABLES})))))
    budget = Budget()
    fields: dict[str, Any] | None = None
    weights: tuple[int, int] | None = None  # bytes and tensors
    for info, content in members(path, str(path), names, packed=False):
        where = f"{path}/{info.filename}"
        if info.filename == "data":
            fields = fields_in(algorithm).check(content, where, budget)
        elif info.filename not in TEXTS:
            name = info.filename.removesuffix(".pth")
            value = check_torch(content, where, name, variables, budget)
            if name == "policy":
                weights = len(content), len(entries_of(value, where))
    if fields is None or weights is None:
        refuse(str(path), f"has no member {'data' if fields is None else 'policy.pth'}", BROKEN)
    check_demands(fields, *weights, where=f"{path}/data")


def check_data(data: bytes, algorithm: str, where: str) -> None:
    """
    Check the member ``data`` of an agent that is already unpacked.

    :param data: the fields of an agent, as they are in its zip
    :param algorithm: as ``--algo`` takes it
    :param where: for messages: the file
    :raises Untrusted: it holds a field or value that agents of this algorithm do not save
    """
    fields_in(algorithm).check(data, where, Budget())


def check_statistics(path: Path) -> None:
    """
    Check the statistics of a ``VecNormalize``.

    :param path: of a ``vecnormalize.pkl``
    :raises Untrusted: it holds something that a ``VecNormalize`` does not save
    """
    value = check_pickle(read(path), STATISTICS, str(path))
    if not is_a(value, "stable_baselines3.common.vec_env.vec_normalize.VecNormalize") or not value.state:
        refuse(str(path), f"holds {shown(value)}, but must hold the statistics of a VecNormalize")
    for name, each in value.state.items():
        if name not in STATISTICS_KINDS:
            refuse(str(path), f"has the attribute {shown(name)}, which a VecNormalize does not save")
        if not STATISTICS_KINDS[name](each):
            refuse(str(path), f"has {shown(each)} for {name}, which a VecNormalize does not save")


def _is_mean(value: Any) -> bool:
    """Whether this is a running mean: mean, variance and count, or a dict of such by key."""
    if isinstance(value, dict):
        return all(is_a(each, RUNNING_MEAN) and _is_mean(each) for each in value.values())
    attributes = (value.state if is_a(value, RUNNING_MEAN) else None) or {}
    return (
        attributes.keys() == {"mean", "var", "count"}
        and is_a(attributes["mean"], *ARRAY, SCALAR)
        and is_a(attributes["var"], *ARRAY, SCALAR)
        and PLAIN.holds(attributes["count"])
    )


STATISTICS_KINDS = {
    **{name: SPACE.holds for name in ("observation_space", "action_space")},
    "obs_spaces": lambda value: isinstance(value, dict) and all(map(SPACE.holds, value.values())),
    **{name: _is_mean for name in ("obs_rms", "ret_rms")},
    **{name: ARRAYS.holds for name in ("old_reward", "old_obs")},
    **dict.fromkeys(("num_envs", "norm_obs", "norm_reward", "norm_obs_keys", "training"), PLAIN.holds),
    **dict.fromkeys(("clip_obs", "clip_reward", "gamma", "epsilon", "render_mode", "metadata"), PLAIN.holds),
    **dict.fromkeys(("_seeds", "_options", "reset_infos"), INFOS.holds),
}


# -------------------------------------------------------------------------------------------------------- memory

MAX_WEIGHTS = 2**27  # parameters; larger networks must have their weights in the file
MAX_FIRST_LAYER = 2**28  # parameters of a layer that reads observations directly
MAX_ROLLOUT = 2**31  # entries of all observations of a rollout
MAX_LAYERS = 64  # more must have their weights in the file
# Arguments of policies that are not widths.
LAYERS = ("n_layers", "n_lstm_layers", "n_critics")
TIMES = ("max_timesteps",)
LENGTHS = ("context_length",)


def check_demands(fields: Mapping[str, Any], size: int, tensors: int, where: str) -> None:
    """
    Bound the memory that loading an agent takes. The file holds all weights, so a network cannot be much larger.

    :param fields: of an agent, each checked by itself
    :param size: bytes of the weights in the file
    :param tensors: how many tensors these are
    :param where: for messages: the file, and the place in it
    :raises Untrusted: loading it would take far more memory than its weights do, or make far more layers
    """
    arguments = fields.get("policy_kwargs") or {}
    lists = list(_lists(arguments))
    scalars = {name: int(number) for name, each in arguments.items() if (number := plain_number(each)) is not None}
    layers = math.prod(max(1, scalars.get(name, 1)) for name in LAYERS)
    if max(layers, *map(len, lists), 0) > MAX_LAYERS + tensors:
        refuse(where, f"needs more than {MAX_LAYERS} layers but holds {tensors} tensors of weights")
    no_widths = (*LAYERS, *TIMES, *LENGTHS)
    width = max([1, *(number for name, number in scalars.items() if name not in no_widths)])
    steps, length = (max([0, *(scalars.get(name, 0) for name in names)]) for names in (TIMES, LENGTHS))
    weights = layers * width**2 + steps * width + (4 * length) ** 2  # an attention mask sees up to four tokens a step
    weights += sum(a * b for each in lists for a, b in pairwise(each)) * max(1, scalars.get("n_critics", 1))
    if weights > max(MAX_WEIGHTS, size // 2):
        refuse(where, f"needs networks of {weights} numbers but holds {size} bytes of weights")
    observed, chosen = (size_of(fields.get(name)) or 0 for name in ("observation_space", "action_space"))
    first = max(observed, chosen) * max([width, *(number for each in lists for number in each)])
    if first > max(MAX_FIRST_LAYER, size):
        refuse(where, f"needs a layer of {first} numbers but holds {size} bytes of weights")
    counts = (plain_number(fields.get(name)) or 1 for name in ("n_envs", "n_steps"))
    if (rollout := int(math.prod(counts) * max(1, observed))) > MAX_ROLLOUT:
        refuse(where, f"needs rollouts of {rollout} numbers, which exceeds the limit of {MAX_ROLLOUT}")


def _lists(arguments: Any) -> Iterator[list[int]]:
    """Yield all lists of whole numbers: the widths of consecutive layers."""
    for part in parts_of(arguments, stand_ins=False):
        if isinstance(part, list | tuple):
            yield [abs(int(number)) for each in part if (number := plain_number(each)) is not None]
