"""The case of gcsl."""

from gcrl_zoo import GCSL

from ..case import Case

CASE = Case(
    name="gcsl",
    algorithm=GCSL,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {"net_arch": [16], "image_features": 8},
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": False, "multi_binary": False, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
    sources=("own play", "dataset", "dataset + own play"),
    variants={
        "default": {},
        "penalised": {"detour_penalty": 2.0, "goal_strategy": "episode", "policy_kwargs": {"layer_norm": True}},
        "hurried": {"goal_strategy": "geometric", "target_horizon": 5, "policy_kwargs": {"horizon": True}},
    },
)
