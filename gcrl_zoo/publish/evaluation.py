"""Evaluate agents and record videos."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecVideoRecorder

#: Seed of the evaluation environments; training uses lower seeds.
SEED = 1000


@dataclass(frozen=True)
class Scores:
    """
    Results of one agent, by episode.

    :param returns: returns of the episodes
    :param lengths: numbers of steps
    :param successes: ``is_success`` at the end of the episodes; empty if the environment does not report it
    """

    returns: Sequence[float]
    lengths: Sequence[int]
    successes: Sequence[bool]

    @property
    def mean(self) -> float:
        """Mean return of an episode."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the returns."""
        return float(np.std(self.returns))

    @property
    def success(self) -> float | None:
        """Success rate; None if the environment does not report success."""
        return float(np.mean(self.successes)) if self.successes else None

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key by quality: success rate first, then return."""
        return self.success or 0.0, self.mean


def evaluate(agent: BaseAlgorithm, env: VecEnv, n_episodes: int, deterministic: bool = True) -> Scores:
    """
    Evaluate an agent in its environment with all wrappers.

    With the same seed, it plays the same episodes as ``rl_zoo3.enjoy``. SB3's ``evaluate_policy`` would use a
    ``Monitor`` inside RL Zoo's wrappers, which misses episodes that a wrapper ends.

    :param agent: the agent
    :param env: a single environment, seeded
    :param n_episodes: number of episodes
    :param deterministic: use its most likely actions instead of samples
    """
    returns, lengths, successes = [0.0], [0], []
    for reward, done, info in play(agent, env, deterministic):
        returns[-1] += reward
        lengths[-1] += 1
        if not done:
            continue
        if "is_success" in info:
            successes.append(bool(info["is_success"]))
        if len(returns) == n_episodes:
            break
        returns.append(0.0)
        lengths.append(0)
    return Scores(returns, lengths, successes)


def play(agent: BaseAlgorithm, env: VecEnv, deterministic: bool) -> Iterator[tuple[float, bool, dict[str, Any]]]:
    """
    Run an agent, and yield reward, end of the episode, and info of each step, without end.

    :param agent: the agent
    :param env: a single environment
    :param deterministic: use its most likely actions instead of samples
    """
    observation: Any = env.reset()
    state, starts = None, np.ones(1, dtype=bool)
    while True:
        action, state = agent.predict(observation, state, starts, deterministic)
        observation, rewards, starts, infos = env.step(action)
        yield float(rewards[0]), bool(starts[0]), infos[0]


def film(agent: BaseAlgorithm, env: VecEnv, path: Path, n_steps: int, deterministic: bool = True) -> None:
    """
    Record a video of an agent.

    :param agent: the agent
    :param env: a single environment with the ``render_mode`` ``rgb_array``; it is closed afterwards
    :param path: path of the video (H.264 in MP4)
    :param n_steps: length of the video
    :param deterministic: use its most likely actions instead of samples
    """
    with tempfile.TemporaryDirectory() as folder:
        recorder = VecVideoRecorder(env, folder, lambda step: step == 0, n_steps)
        try:
            for _ in itertools.islice(play(agent, recorder, deterministic), n_steps):
                pass
        finally:
            recorder.close()
        shutil.copy(recorder.video_path, path)


def headless() -> None:
    """Let pygame render in memory if there is no display; it would fail otherwise."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
