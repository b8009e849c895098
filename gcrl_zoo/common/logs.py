"""Log lines, with the metrics of SB3's other algorithms under the same names."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from stable_baselines3.common.utils import safe_mean

if TYPE_CHECKING:
    from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm


def write_logs(algorithm: TrajectoryAlgorithm, metrics: dict[str, float]) -> None:
    """
    Write ``rollout/``, ``time/`` and ``train/``.

    :param algorithm: that trains
    :param metrics: to log under ``train/``
    """
    record = algorithm.logger.record
    if algorithm.ep_info_buffer:  # the last finished episodes of own play; empty before the first one
        record("rollout/ep_rew_mean", safe_mean([info["r"] for info in algorithm.ep_info_buffer]))
        record("rollout/ep_len_mean", safe_mean([info["l"] for info in algorithm.ep_info_buffer]))
    if algorithm.ep_success_buffer:
        record("rollout/success_rate", safe_mean(list(algorithm.ep_success_buffer)))
    seconds = max((time.time_ns() - algorithm.start_time) / 1e9, sys.float_info.epsilon)  # since `learn` began
    record("time/fps", int((algorithm.num_timesteps - algorithm._num_timesteps_at_start) / seconds))
    record("time/time_elapsed", int(seconds), exclude="tensorboard")
    record("time/total_timesteps", algorithm.num_timesteps, exclude="tensorboard")
    if algorithm._episode_num:
        record("time/episodes", algorithm._episode_num, exclude="tensorboard")
    for name, value in metrics.items():
        record(f"train/{name}", value)
    if algorithm._n_updates:
        record("train/n_updates", algorithm._n_updates, exclude="tensorboard")
        if algorithm.data_needs.rewards:
            record("train/target_return", algorithm.policy.target_return.item())
    algorithm.logger.dump(step=algorithm.num_timesteps)
