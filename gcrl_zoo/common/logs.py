"""What SB3's other algorithms log, under the same names."""

from __future__ import annotations

import sys
import time

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import safe_mean


def record_rollouts(model: BaseAlgorithm) -> None:
    """``rollout/``: the last finished episodes of own play; nothing before the first one."""
    if model.ep_info_buffer:
        model.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in model.ep_info_buffer]))
        model.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in model.ep_info_buffer]))
    if model.ep_success_buffer:
        model.logger.record("rollout/success_rate", safe_mean(list(model.ep_success_buffer)))


def record_time(model: BaseAlgorithm) -> None:
    """``time/``: since the start of this ``learn``."""
    seconds = max((time.time_ns() - model.start_time) / 1e9, sys.float_info.epsilon)
    model.logger.record("time/fps", int((model.num_timesteps - model._num_timesteps_at_start) / seconds))
    model.logger.record("time/time_elapsed", int(seconds), exclude="tensorboard")
    model.logger.record("time/total_timesteps", model.num_timesteps, exclude="tensorboard")
    if model._episode_num:
        model.logger.record("time/episodes", model._episode_num, exclude="tensorboard")
