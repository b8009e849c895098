"""How good an agent is, and what it looks like."""

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
    What the environment with all its wrappers says, as ``rl_zoo3.enjoy`` counts it: with the same seed it plays the
    same episodes. SB3's ``evaluate_policy`` would count what a ``Monitor`` inside of RL Zoo's wrappers records, which
    misses episodes that a wrapper ends.

    :param agent: to be evaluated
    :param env: a single one, freshly seeded
    :param n_episodes: to play
    :param deterministic: its most likely actions instead of samples
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
    :param agent: to play
    :param env: a single one
    :param deterministic: its most likely actions instead of samples
    :return: reward, end of the episode, and info of each step, without end
    """
    observation: Any = env.reset()
    state, starts = None, np.ones(1, dtype=bool)
    while True:
        action, state = agent.predict(observation, state, starts, deterministic)
        observation, rewards, starts, infos = env.step(action)
        yield float(rewards[0]), bool(starts[0]), infos[0]


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
            for _ in itertools.islice(play(agent, recorder, deterministic), n_steps):
                pass
        finally:
            recorder.close()
        shutil.copy(recorder.video_path, path)


def headless() -> None:
    """Where there is no screen, let pygame draw in memory; it would fail otherwise."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
