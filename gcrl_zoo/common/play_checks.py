"""What a vectorised environment returned, checked at each step of own play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.roles import PLAIN, Observation
from gcrl_zoo.data.arrays import FLOAT, LARGEST


def check_rewards(rewards: np.ndarray, lengths: np.ndarray, env: VecEnv | None = None) -> None:
    """
    :param rewards: (E,)
    :param lengths: (E,) steps of the episodes before this one
    :param env: that gave them, to say what they were before SB3 made float32 of them
    :raises ValueError: a reward is NaN, infinite or beyond float32
    """
    fits = np.abs(rewards) <= LARGEST[FLOAT]
    if not fits.all():
        index = int(np.argmin(fits))
        given = _as_given(rewards[index], env, index)
        raise ValueError(
            f"Environment {index} gave the reward {given} at step {lengths[index]} of an episode; "
            "repair it, or change its rewards by a wrapper."
        )


def _as_given(reward: Any, env: VecEnv | None, index: int) -> Any:
    """SB3's ``Monitor`` keeps the rewards of the current episode; ``DummyVecEnv`` makes inf of 1e300."""
    if env is None or np.isnan(reward):
        return reward
    try:
        (kept,) = env.get_attr("rewards", [index])
        given = kept[-1]
        return given if isinstance(given, float) and abs(given) > float(LARGEST[FLOAT]) else reward
    except (AttributeError, IndexError, KeyError, TypeError):  # no Monitor, or the next episode has begun
        return reward


def check_observation(observation: Observation, lengths: np.ndarray, starts: np.ndarray, first: int = 0) -> None:
    """
    :param observation: (E, ...), or by key
    :param lengths: (E,) steps of the episodes before the observation
    :param starts: (E,) whether the observation begins an episode
    :param first: number of the first of these environments
    :raises ValueError: a number is NaN, infinite or beyond float32
    """
    for key, values in observation.items() if isinstance(observation, dict) else [(PLAIN, observation)]:
        if values.dtype.kind != "f":
            continue
        fits = np.abs(values) <= LARGEST[FLOAT]
        if not fits.all():
            index = int(np.argwhere(~fits)[0, 0])
            bad = values[index][~fits[index]].flat[0]
            raise ValueError(
                f"Environment {first + index} shows {bad} in observation '{key}' at step "
                f"{0 if starts[index] else lengths[index]} of an episode; "
                "repair it, or change what it shows by a wrapper."
            )


def final_facts(info: Mapping[str, Any], like: Mapping[str, np.ndarray], index: int, length: int) -> dict[str, Any]:
    """
    The true last observation of an episode.

    :param info: of the environment at the episode's last step
    :param like: (E, ...) by key: facts of the environments
    :param index: of the environment, for messages
    :param length: of the episode
    :return: facts by key
    :raises ValueError: the observation is missing, or differs in keys or shapes, or a number is not finite
    """
    final = info.get("terminal_observation")
    entries: Mapping[str, Any] = final if isinstance(final, Mapping) else {PLAIN: final}
    for key, values in like.items():
        if entries.get(key) is None or np.shape(entries[key]) != values.shape[1:]:
            found = "is missing" if entries.get(key) is None else f"has the shape {np.shape(entries[key])}"
            raise ValueError(
                f"Environment {index} ended an episode, but '{key}' in info['terminal_observation'] {found}; give the "
                f"true last observation there, of shape {values.shape[1:]}, as SB3's DummyVecEnv and SubprocVecEnv do."
            )
    facts = {key: np.asarray(entries[key]) for key in like}
    check_observation({key: fact[None] for key, fact in facts.items()}, np.array([length]), np.array([False]), index)
    return facts
