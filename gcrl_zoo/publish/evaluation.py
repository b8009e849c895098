"""How good an agent is, and what it looks like."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecVideoRecorder

#: Of the environments that agents are evaluated in; training counts from lower ones.
SEED = 1000


@dataclass(frozen=True)
class Scores:
    """
    Of one agent, by episode.

    :param returns: sums of rewards
    :param lengths: in steps
    :param successes: what the environment says of them in ``is_success``; empty where it says nothing
    """

    returns: Sequence[float]
    lengths: Sequence[int]
    successes: Sequence[bool]

    @property
    def mean(self) -> float:
        """Return of an episode."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Of the returns."""
        return float(np.std(self.returns))

    @property
    def success(self) -> float | None:
        """Fraction of the episodes; None where the environment knows of none."""
        return float(np.mean(self.successes)) if self.successes else None

    @property
    def rank(self) -> tuple[float, float]:
        """The better, the higher: success counts before return."""
        return self.success or 0.0, self.mean


def evaluate(agent: BaseAlgorithm, env: VecEnv, n_episodes: int, deterministic: bool = True) -> Scores:
    """
    ``rl_zoo3.enjoy`` with the same seed plays the same episodes.

    :param agent: to be evaluated
    :param env: a single one, freshly seeded, with a ``Monitor``
    :param n_episodes: to play
    :param deterministic: its most likely actions instead of samples
    """
    successes: list[bool] = []

    def watch(local: dict[str, Any], _: dict[str, Any]) -> None:
        if local["done"] and "is_success" in local["info"]:
            successes.append(bool(local["info"]["is_success"]))

    returns, lengths = evaluate_policy(
        agent, env, n_episodes, deterministic=deterministic, callback=watch, return_episode_rewards=True
    )
    assert isinstance(returns, list) and isinstance(lengths, list)
    return Scores(returns, lengths, successes)


def film(agent: BaseAlgorithm, env: VecEnv, path: Path, n_steps: int, deterministic: bool = True) -> None:
    """
    :param agent: to be seen
    :param env: a single one, whose ``render_mode`` is ``rgb_array``; it is closed
    :param path: of the video (H.264 in MP4)
    :param n_steps: its length
    :param deterministic: its most likely actions instead of samples
    """
    with tempfile.TemporaryDirectory() as folder:
        recorder = VecVideoRecorder(env, folder, lambda step: step == 0, n_steps)
        try:
            observation: Any = recorder.reset()
            state, starts = None, np.ones(1, dtype=bool)
            for _ in range(n_steps):
                action, state = agent.predict(observation, state, starts, deterministic)
                observation, _, starts, _ = recorder.step(action)
        finally:
            recorder.close()
        shutil.copy(recorder.video_path, path)


def renders(env: VecEnv) -> bool:
    """:param env: whether pictures can be had of it"""
    modes = env.get_attr("metadata")[0].get("render_modes") or ()
    return "rgb_array" in modes


def headless() -> None:
    """Where there is no screen, let pygame draw in memory; it would fail otherwise."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
