"""Statistics of the data that networks keep."""

from __future__ import annotations

import numpy as np
import torch as th

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.data.samplers import GoalPairs
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.inverse import Change

#: Pairs from which a statistic is taken.
MANY = 10_000


def fit_change(change: Change, unlabelled: TrajectoryStore, max_horizon: int | None, device: th.device) -> None:
    """
    Tell how much a state usually lies from a later one; of the observations, only vectors are read.

    :param change: to fit; one that sees no vector is left as it is
    :param unlabelled: trajectories
    :param max_horizon: the later state lies at most so many steps ahead; None for anywhere in the rest of the episode
    :param device: of the network
    """
    if change.features_dim:
        pairs = GoalPairs(unlabelled, max_horizon=max_horizon).draw(np.random.default_rng(0), MANY)
        here, there = ({key: unlabelled.take(key, slots) for key in change.place.keys} for slots in pairs)
        change.fit(to_tensors(here, device), to_tensors(there, device))
