"""How long to train and to play: the total number of timesteps, and the length of a round of own play."""

from __future__ import annotations

import math
from numbers import Real
from typing import Annotated, Any, Literal

from annotated_types import Unit
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from gcrl_zoo.common.annotations import Allowed
from gcrl_zoo.common.arguments import PositiveInt
from gcrl_zoo.common.values import check, is_sequence
from gcrl_zoo.common.wording import shown
from gcrl_zoo.data.checks import is_number

Frequency = Annotated[Literal["step", "episode"] | TrainFrequencyUnit, Allowed("'step' or 'episode'")]
#: Steps of each environment, or a pair of a number and a unit.
TrainFrequency = (
    Annotated[PositiveInt, Unit("steps")]
    | Annotated[tuple[PositiveInt, Frequency], Allowed("a number of episodes, such as (1, 'episode')")]
)


def as_timesteps(total: Any) -> int:
    """
    :param total: number of timesteps as Stable-Baselines3 accepts it: 10_000, 1e4 or ``math.inf``
    :return: the whole number of timesteps that reaches it; infinity stays (typed as SB3 types it)
    :raises ValueError: no number, or a negative one
    """
    if isinstance(total, Real) and total == math.inf:
        return math.inf  # type: ignore[return-value]
    if not is_number(total) or total < 0:
        raise ValueError(f"total_timesteps is {shown(total)}; give a number of timesteps from 0 on.")
    return math.ceil(total)


def plain_train_freq(value: Any) -> Any:
    """
    :param value: checked before
    :return: the same without SB3's classes, which a zip would keep as pickles
    """
    if not is_sequence(value):
        return value
    return tuple(each.value if isinstance(each, TrainFrequencyUnit) else each for each in value)


def as_train_freq(value: Any) -> TrainFreq:
    """
    :param value: steps of each environment, or a pair of a number and a unit, such as ``(1, "episode")``
    :return: the same as SB3 keeps it
    :raises ValueError: neither
    """
    check("train_freq", value, TrainFrequency)
    number, unit = value if is_sequence(value) else (value, "step")
    return TrainFreq(int(number), TrainFrequencyUnit(unit))
