"""A made-up CarRacing: the same spaces, a picture of a road that winds, and steps that take microseconds."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 32  # steps of an episode, without the skip of frames
GRASS, ROAD, CAR, DASHBOARD = (100, 200, 100), (105, 105, 105), (200, 0, 0), (0, 0, 0)


class Road(gym.Env[Any, Any]):
    """
    A car between the grass on both sides; the reward is 1 on the road and -1 beside it.

    :param render_mode: as CarRacing has it
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = spaces.Box(0, 255, (96, 96, 3), np.uint8)
    action_space = spaces.Box(np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32))

    def __init__(self, render_mode: str | None = None, **_: Any) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.center, self.bend, self.steps = 48.0, float(self.np_random.uniform(-2, 2)), 0
        return self.render(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.bend += float(self.np_random.uniform(-1, 1))
        self.center = float(np.clip(self.center + self.bend - 4 * action[0], 16, 80))
        return self.render(), 1.0 if abs(self.center - 48) < 10 else -1.0, False, self.steps == LENGTH, {}

    def render(self) -> Any:
        """:return: (96, 96, 3)"""
        image = np.full((96, 96, 3), GRASS, np.uint8)
        middle = int(self.center)
        image[:84, middle - 10 : middle + 10] = ROAD
        image[60:70, 46:50] = CAR
        image[84:] = DASHBOARD
        image[86:94, : 2 * self.steps] = 255  # as the dashboard of CarRacing, it shows how the episode goes
        return image


def register() -> None:
    """Replace CarRacing-v3 in this process."""
    gym.registry.pop("CarRacing-v3", None)
    gym.register("CarRacing-v3", entry_point=f"{__name__}:Road", max_episode_steps=1000)
