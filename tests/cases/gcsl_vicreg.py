"""The case of gcsl_vicreg."""

from gcrl_zoo import GCSLVICReg

from ..case import Case

CASE = Case(
    name="gcsl_vicreg",
    algorithm=GCSLVICReg,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {
            "net_arch": [16],
            "representation_dim": 8,
            "embedding_dim": 8,
            "expander_dim": 8,
            "image_features": 8,
        },
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": False, "multi_binary": False, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
    sources=("own play", "dataset", "dataset + stream", "dataset + own play", "stream + own play"),
    variants={
        "default": {},
        "noise": {"policy_kwargs": {"missing": "noise"}},
        "concat": {"policy_kwargs": {"embedding_dim": None, "missing": "noise", "goal_with_return": True}},
        "inverse only": {"terms": {"inverse": 1.0}},
    },
)
