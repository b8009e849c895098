"""Success, under the name that Stable-Baselines3 reads."""

from typing import Any, SupportsFloat

import gymnasium as gym


class LiftSuccess(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Copies ``info["success"]`` to ``info["is_success"]``, which SB3 and RL Zoo turn into a success rate.

    It is the flag of this step, so the rate counts episodes that *end* in success. gymnasium-robotics' mazes, OGBench
    and Meta-World say ``success``; what an environment calls ``is_success`` itself is left as it is.

    :param env: any environment
    :param key: what the environment calls it
    """

    def __init__(self, env: gym.Env[Any, Any], key: str = "success") -> None:
        gym.utils.RecordConstructorArgs.__init__(self, key=key)
        super().__init__(env)
        self.key = key

    @property
    def compute_reward(self) -> Any:
        """The environment's, if it has one: Gymnasium's wrappers hide it, and SB3's ``check_env`` asks the wrapper."""
        return self.env.get_wrapper_attr("compute_reward")

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """
        Act.

        :param action: action of the environment
        :return: observation, reward, terminated, truncated and info
        :raises ValueError: the environment does not say whether it succeeded
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "is_success" not in info:
            if self.key not in info:
                raise ValueError(
                    f"LiftSuccess found no {self.key!r} in the info of {self.env}, only "
                    f"{', '.join(map(repr, info)) or 'nothing'}; give the name of its success as key."
                )
            info = {**info, "is_success": bool(info[self.key])}
        return observation, reward, terminated, truncated, info
