"""Frame skip that does not draw the frames between two observations."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs


class FrameSkip(gym.Wrapper, RecordConstructorArgs):
    """
    Repeats each action, adds the rewards, and returns the last frame: the same as ``rl_zoo3.wrappers.FrameSkip``.

    CarRacing spends nearly all of its time on drawing. Here it draws only the frames that are returned, so with
    ``skip=4`` a quarter of them. This needs to be the innermost wrapper; elsewhere, and in other environments, all
    frames are drawn.

    :param env: the environment
    :param skip: number of steps that an action is repeated
    :raises ValueError: ``skip`` is not a whole number of at least 1
    """

    def __init__(self, env: gym.Env, skip: int = 4) -> None:
        if isinstance(skip, bool) or not isinstance(skip, int) or skip < 1:
            raise ValueError(f"FrameSkip: skip is {skip!r}; give a whole number of at least 1.")
        RecordConstructorArgs.__init__(self, skip=skip)
        gym.Wrapper.__init__(self, env)
        self.skip = skip
        inner: Any = env.unwrapped
        # If another wrapper has changed the frames, a frame that is drawn late would not be changed.
        self._draws_late = _is_car_racing(inner) and env.observation_space == inner.observation_space

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """
        Repeat an action.

        :param action: of the environment
        :return: the last observation, the sum of the rewards, and what the last step returned
        """
        total, inner = 0.0, self.unwrapped
        for remaining in reversed(range(self.skip)):
            drawn = remaining == 0 or not self._draws_late
            if not drawn:
                inner._render = _Undrawn(inner)  # type: ignore[attr-defined]
            try:
                observation, reward, terminated, truncated, info = self.env.step(action)
            finally:
                inner.__dict__.pop("_render", None)
            total += float(reward)
            if terminated or truncated:
                if not drawn:
                    observation = inner.state = inner._render("state_pixels")  # type: ignore[attr-defined]
                break
        return observation, total, terminated, truncated, info


class _Undrawn:
    """Replaces the drawing of an observation by the last one; a window or a video is drawn as before."""

    def __init__(self, car_racing: Any) -> None:
        self.state, self.render = car_racing.state, car_racing._render

    def __call__(self, mode: str) -> Any:
        # A copy, because Gymnasium warns of an environment that returns the same array twice.
        return self.state.copy() if mode == "state_pixels" else self.render(mode)


def _is_car_racing(env: Any) -> bool:
    try:
        from gymnasium.envs.box2d.car_racing import CarRacing
    except (ImportError, gym.error.DependencyNotInstalled):
        return False
    return isinstance(env, CarRacing)
