"""How long to train and to play: the total number of timesteps, and the length of a round of own play."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from gcrl_zoo.common.arguments import is_number, shown


def as_timesteps(total: Any) -> int:
    """
    :param total: number of timesteps as Stable-Baselines3 accepts it: 10_000, 1e4 or ``math.inf``
    :return: the whole number of timesteps that reaches it; infinity stays (typed as SB3 types it)
    :raises ValueError: no number, or a negative one
    """
    if total == math.inf:
        return math.inf  # type: ignore[return-value]
    if not is_number(total) or total < 0:
        raise ValueError(f"total_timesteps is {shown(total)}; give a number of timesteps from 0 on.")
    return math.ceil(total)


def as_train_freq(value: Any) -> TrainFreq:
    """
    :param value: steps of each environment, or a pair of a number and a unit, such as ``(1, "episode")``
    :return: the same as SB3 keeps it
    :raises ValueError: neither
    """
    pair = value if isinstance(value, (tuple, list)) else (value, "step")
    if len(pair) == 2:
        number, unit = pair
        unit = unit.value if isinstance(unit, TrainFrequencyUnit) else unit
        whole = is_number(number) and isinstance(number, Integral) and int(number) >= 1
        if whole and isinstance(unit, str) and unit in ("step", "episode"):
            return TrainFreq(int(number), TrainFrequencyUnit(unit))
    raise ValueError(
        f"train_freq is {shown(value)}; give a whole number of steps of at least 1, such as 250, "
        "or a number of episodes, such as (1, 'episode')."
    )
