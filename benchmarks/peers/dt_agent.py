"""Build `dt` with the sizes of `dt_setting.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from dt_setting import ACTION, BATCH, OBS, Arrays, Step, filled
from gymnasium import spaces

from gcrl_zoo import DT
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.wrappers import ReturnToGo


class Nowhere(gym.Env[np.ndarray, np.ndarray]):
    """Provides spaces; it is never stepped."""

    observation_space = spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
    action_space = spaces.Box(-1, 1, (ACTION,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(OBS, np.float32), {}


def make_store(episodes: Iterable[Arrays]) -> TrajectoryStore:
    made = (Episode({"observation": e.observations}, e.actions, e.rewards, terminated=True) for e in episodes)
    return TrajectoryStore.from_episodes(made)


def dt_model(episodes: Iterable[Arrays], attention: str = "window", **kwargs: Any) -> DT:
    """Build a model that is ready for ``train``. Its other arguments are the defaults, which match the setting."""
    model = DT(
        "MultiInputPolicy",
        ReturnToGo(Nowhere()),
        dataset=make_store(episodes),
        batch_size=BATCH,
        max_grad_norm=0.25,
        learning_rate=1e-4,
        device="cpu",
        policy_kwargs={"attention": attention},
        **kwargs,
    )
    model.learn(1, log_interval=None)
    model._total_timesteps = 10**9
    return model


def dt_training(episodes: list[Arrays], **kwargs: Any) -> Step:
    model = dt_model(episodes, **kwargs)
    return lambda: model.train(1)


def dt_acting(model: DT, n_envs: int) -> Step:
    """Return a function that acts once in all environments by one forward pass, with full contexts."""
    rng, state, starts = np.random.default_rng(0), None, np.zeros(n_envs, dtype=bool)

    def step() -> None:
        nonlocal state
        observation = {
            "observation": rng.standard_normal((n_envs, OBS), dtype=np.float32),
            "return_to_go": rng.standard_normal((n_envs, 1), dtype=np.float32),
        }
        _, state = model.predict(observation, state, starts, deterministic=True)

    return filled(step)
