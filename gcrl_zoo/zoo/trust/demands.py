"""How much memory an agent asks for as it is loaded, from its numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from gcrl_zoo.zoo.trust.refusal import refuse
from gcrl_zoo.zoo.trust.spaces import size_of
from gcrl_zoo.zoo.trust.stand_ins import parts_of
from gcrl_zoo.zoo.trust.values import plain_number

MAX_WEIGHTS = 2**27  # numbers of networks that need no proof; more must be in the file
MAX_FIRST_LAYER = 2**28  # numbers of a layer that sees observations without convolutions before it
MAX_ROLLOUT = 2**31  # numbers of the observations between two rounds of training
MAX_LAYERS = 64  # that need no proof
# Arguments of policies that are no widths.
LAYERS = ("n_layers", "n_lstm_layers", "n_critics")
TIMES = ("max_timesteps",)
LENGTHS = ("context_length",)


def check_demands(fields: Mapping[str, Any], size: int, tensors: int, where: str) -> None:
    """
    Weights are in the file, so a network that is much larger than the file is no honest one.

    :param fields: of an agent, each of its kind
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
        refuse(where, f"asks for more than {MAX_LAYERS} layers and has {tensors} tensors of weights")
    no_widths = (*LAYERS, *TIMES, *LENGTHS)
    width = max([1, *(number for name, number in scalars.items() if name not in no_widths)])
    steps, length = (max([0, *(scalars.get(name, 0) for name in names)]) for names in (TIMES, LENGTHS))
    weights = layers * width**2 + steps * width + (4 * length) ** 2  # an attention mask sees up to four tokens a step
    weights += sum(a * b for each in lists for a, b in pairwise(each)) * max(1, scalars.get("n_critics", 1))
    if weights > max(MAX_WEIGHTS, size // 2):
        refuse(where, f"asks for networks of {weights} numbers and has {size} bytes of weights")
    seen, chosen = (size_of(fields.get(name)) or 0 for name in ("observation_space", "action_space"))
    first = max(seen, chosen) * max([width, *(number for each in lists for number in each)])
    if first > max(MAX_FIRST_LAYER, size):
        refuse(where, f"asks for a layer of {first} numbers and has {size} bytes of weights")
    counts = (plain_number(fields.get(name)) or 1 for name in ("n_envs", "n_steps"))
    if (rollout := int(math.prod(counts) * max(1, seen))) > MAX_ROLLOUT:
        refuse(where, f"asks for rollouts of {rollout} numbers, where honest ones stay below {MAX_ROLLOUT}")


def _lists(arguments: Any) -> Iterator[list[int]]:
    """All lists of whole numbers: widths of one layer after the other."""
    for part in parts_of(arguments, stand_ins=False):
        if isinstance(part, list | tuple):
            yield [abs(int(number)) for each in part if (number := plain_number(each)) is not None]
