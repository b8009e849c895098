"""
The case of bc.

Scores of its contests over ten seeds (the tests take one, with ``--all`` two): the best tenth reaches the chain's
maximum of 16 with all ten, from the dataset and from own play; cloning everything earns 0 with all ten.
"""

from gcrl_zoo import BC
from tests.support.case import Contest, TrajectoryCase
from tests.support.chain import chain_return, make_chain, mixed

QUICK = {"learning_rate": 3e-3, "batch_size": 64, "top_fraction": 0.1, "policy_kwargs": {"net_arch": [32]}}
PLAY = {"learning_starts": 800, "train_freq": 100, "gradient_steps": 50, "noise_levels": (0.0, 0.3)}
EVERYTHING = {"cloning everything": {"top_fraction": 1.0}}

CASE = TrajectoryCase(
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
    contests=(
        Contest(
            name="a few good episodes",
            env=lambda: make_chain(1),
            timesteps=400,
            settings={**QUICK, "dataset": mixed()},
            ablations=EVERYTHING,
            score=chain_return,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
        Contest(
            name="own play",
            env=make_chain,
            timesteps=3200,
            settings={**QUICK, **PLAY},
            ablations=EVERYTHING,
            score=chain_return,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
    ),
)
