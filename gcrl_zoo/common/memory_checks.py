"""Refuses networks and batches that do not fit into memory, before they are made, when Linux would kill the process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.arguments import arguments
from gcrl_zoo.common.values import is_sequence
from gcrl_zoo.data.checks import is_integer
from gcrl_zoo.data.memory import NotEnoughMemory, available_memory, readable_size

BYTES = 4  # of a float32
COPIES = 4  # of each weight when training: itself, its gradient, and two moments of the optimizer
LARGE_SPACE = 10_000  # numbers; a message names spaces from this size on


def check_networks(
    build: Callable[[], BasePolicy],
    policy_class: type[BasePolicy],
    kwargs: Mapping[str, Any],
    observed: Mapping[str, spaces.Space],
    device: th.device,
    trains: bool,
) -> None:
    """
    Check that networks fit into memory, before they are built.

    :param build: makes the policy; called on torch's meta device, without memory, where the policy may be large
    :param policy_class: its class
    :param kwargs: ``policy_kwargs``
    :param observed: the observation space and the action space, by their names in messages
    :param device: of the networks
    :param trains: whether to count gradients and the state of an optimizer
    :raises NotEnoughMemory: the networks do not fit, with the arguments to lower
    """
    available = _available(device)
    sizes = _sizes(policy_class, kwargs)
    width, inputs = sum(sizes.values()), sum(map(_size, observed.values()))
    copies = COPIES if trains else 1
    # Each weight belongs to one of up to `width` layers (or inputs), between two widths; twice for networks in pairs.
    if available is None or 2 * copies * BYTES * width**2 * (width + inputs) <= available:
        return
    count = _count(build)
    if count is None or count * BYTES * copies <= available:
        return
    lower = [name for name, _ in sorted(sizes.items(), key=lambda each: -each[1])]
    large = [f"{name} {space}" for name, space in observed.items() if _size(space) >= LARGE_SPACE]
    smaller = f", or make the {' and the '.join(large)} smaller" if large else ""
    number = f"{count:,} parameters" if count < math.inf else "more parameters than torch can count"
    needed = f"about {readable_size(int(count * BYTES * copies))}" if count < math.inf else "more memory than there is"
    raise NotEnoughMemory(
        f"{policy_class.__name__} has {number}, which need {needed}"
        f"{' for training' if trains else ''}, but {readable_size(available)} are available on {device}; "
        f"lower {', '.join(lower)} in policy_kwargs{smaller}."
    )


def check_batch(batch_size: int, policy: BasePolicy, device: th.device) -> None:
    """
    Check that a batch fits into memory.

    :param batch_size: rows of a batch
    :param policy: its windows and observations are in the batch
    :param device: of the batch
    :raises NotEnoughMemory: the observations of a batch, with one representation each, do not fit
    """
    steps = int(getattr(policy, "context_length", 1))
    linear = getattr(getattr(policy, "head", None), "linear", None)
    represented = BYTES * getattr(linear, "in_features", 0)
    needed = batch_size * steps * (_bytes(policy.observation_space) + represented)
    available = _available(device)
    if available is not None and needed > available:
        window = f" of {steps:,} steps" if steps > 1 else ""
        also = " or context_length in policy_kwargs" if steps > 1 else ""
        raise NotEnoughMemory(
            f"A batch of {batch_size:,} rows{window} needs at least {readable_size(needed)} of memory, "
            f"but {readable_size(available)} are available on {device}; lower batch_size{also}."
        )


def _available(device: th.device) -> int | None:
    return th.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()


def _count(build: Callable[[], BasePolicy]) -> float | None:
    """Count parameters; infinite if beyond 64 bits; None where a custom network needs a real device."""
    try:
        with th.device("meta"):
            return sum(each.numel() for each in build().parameters())
    except Exception as error:
        return math.inf if "overflow" in str(error).lower() else None


def _sizes(policy_class: type[BasePolicy], kwargs: Mapping[str, Any]) -> dict[str, int]:
    """Return the whole numbers among the arguments of a policy, given or by default; of several, their sum."""
    values = {name: kwargs.get(name, argument.default) for name, argument in arguments(policy_class).items()}
    return {name: size for name, value in values.items() if (size := _whole(value)) > 1}


def _whole(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_whole, value.values()))
    if is_sequence(value):
        return sum(map(_whole, value))
    return max(0, int(value)) if is_integer(value) else 0


def _size(space: spaces.Space) -> int:
    """Return how many numbers a network reads of a space; a choice counts once for each possibility."""
    return int(spaces.utils.flatdim(space))


def _bytes(space: spaces.Space) -> int:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return sum(math.prod(part.shape or (1,)) * (part.dtype.itemsize if part.dtype is not None else 1) for part in parts)
