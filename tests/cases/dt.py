"""The case of dt."""

from gcrl_zoo import DT

from ..case import Case

CASE = Case(
    name="dt",
    algorithm=DT,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {
            "context_length": 3,
            "embed_dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "max_timesteps": 10,
            "image_features": 8,
        },
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": False, "multi_binary": False, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
    sources=("own play", "dataset", "dataset + own play"),
    variants={
        "default": {},
        "bf16": {"bf16": True},
        "banded": {"top_fraction": 0.5, "policy_kwargs": {"attention": "banded"}},
    },
)
