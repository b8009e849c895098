"""The case of bc."""

from gcrl_zoo import BC

from ..case import Case

CASE = Case(
    name="bc",
    algorithm=BC,
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
    variants={"default": {}, "best half": {"top_fraction": 0.5, "policy_kwargs": {"layer_norm": True}}},
)
