"""Wrapper that reports success under the name that Stable-Baselines3 reads."""

from typing import Any, SupportsFloat

import gymnasium as gym


class LiftSuccess(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Copies ``info["success"]`` to ``info["is_success"]``, which SB3 and RL Zoo turn into a success rate.

    The flag is that of the current step, so the rate counts episodes that *end* in success. gymnasium-robotics' mazes,
    OGBench and Meta-World report ``success``. An existing ``is_success`` is left unchanged.

    :param env: any environment
    :param key: the environment's name for success
    """

    def __init__(self, env: gym.Env[Any, Any], key: str = "success") -> None:
        gym.utils.RecordConstructorArgs.__init__(self, key=key)
        super().__init__(env)
        self.key = key

    @property
    def compute_reward(self) -> Any:
        """Forward the environment's ``compute_reward``: Gymnasium hides it, and SB3's ``check_env`` needs it here."""
        return self.env.get_wrapper_attr("compute_reward")

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """
        Take a step and copy the success flag.

        :param action: action of the environment
        :return: observation, reward, terminated, truncated and info
        :raises ValueError: the environment does not report success
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "is_success" not in info:
            if self.key not in info:
                raise ValueError(
                    f"LiftSuccess found no {self.key!r} in the info of {self.env}, only "
                    f"{', '.join(map(repr, info)) or 'nothing'}; give its name for success as key."
                )
            info = {**info, "is_success": bool(info[self.key])}
        return observation, reward, terminated, truncated, info
