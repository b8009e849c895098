"""The case of ppo_inverse."""

from gcrl_zoo import PPOInverse
from tests.support.case import Case

CASE = Case(
    name="ppo_inverse",
    algorithm=PPOInverse,
    kwargs={
        "n_steps": 4,
        "batch_size": 4,
        "n_epochs": 1,
        "policy_kwargs": {"net_arch": [8], "inverse_arch": [8]},
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
)
