"""
The case of dt.

Scores of its contests: asked for the best of the data it earns 14 to 16 of the chain's 16 with each of ten seeds, asked
for nothing 0; from the best tenth of own play it earns 15 or 16 with each of five, from all of it 14, 0, 0, 0 and 13.
"""

from functools import partial

from gcrl_zoo import DT
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.case import Contest, TrajectoryCase
from tests.support.chain import chain_return, make_chain, mixed

QUICK = {
    "learning_rate": 2e-3,
    "batch_size": 64,
    "policy_kwargs": {"context_length": 2, "embed_dim": 32, "n_layers": 1, "dropout": 0.0, "max_timesteps": 1},
}
PLAY = {"learning_starts": 800, "train_freq": 100, "gradient_steps": 50, "noise_levels": (0.0, 0.3)}
LITTLE = {"asked for nothing": 0.0}


make_env = partial(make_chain, wrapper=ReturnToGo)
score = partial(chain_return, wrapper=ReturnToGo)

CASE = TrajectoryCase(
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
    contests=(
        Contest(
            name="a few good episodes",
            env=lambda: make_env(1),
            timesteps=800,
            settings={**QUICK, "dataset": mixed(40, good=8)},
            targets=LITTLE,
            score=score,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
        Contest(
            name="own play",
            env=make_env,
            timesteps=3200,
            settings={**QUICK, **PLAY, "top_fraction": 0.1},
            ablations={"from all episodes": {"top_fraction": 1.0}},
            score=score,
            margin=8.0,
            seeds=(1, 2, 0),
            quick=1,
        ),
    ),
)
