"""
The case of bco.

Scores of its contests over ten seeds (the tests take two): each reaches the chain's maximum of 16 with all ten, every
ablation earns 0 with all ten.
"""

from gcrl_zoo import BCO
from gcrl_zoo.data import Episode, TrajectoryStore
from tests.support.case import Contest, ShuffledPairs, TrajectoryCase
from tests.support.chain import chain_return, make_chain, mixed, shown


class ShuffledPlay(BCO):
    """The inverse model learns nothing; what is unlabelled stays as it is."""

    def make_samplers(self, labelled, unlabelled):
        honest = super().make_samplers(labelled, unlabelled)
        return {**honest, "labelled": ShuffledPairs(labelled, max_horizon=1)}


class ShuffledWatching(BCO):
    """The inverse model is sound, but what it is shown is no way from one state to the next."""

    def make_samplers(self, labelled, unlabelled):
        honest = super().make_samplers(labelled, unlabelled)
        return {**honest, "unlabelled": ShuffledPairs(honest["unlabelled"].store, max_horizon=1)}


def demonstrations() -> TrajectoryStore:
    """The good episodes of the chain, without actions and without rewards."""
    good = shown().best(0.5).episodes()
    return TrajectoryStore.from_episodes([Episode(each.observations, None, None) for each in good], name="demos")


QUICK = {
    "learning_rate": 3e-3,
    "batch_size": 64,
    "learning_starts": 800,
    "train_freq": 100,
    "gradient_steps": 100,
    "noise_levels": (0.0, 0.3),
    "policy_kwargs": {"net_arch": [32], "inverse_arch": [32]},
}
SHUFFLED = {
    "with an inverse model that learned nothing": {"algorithm": ShuffledPlay},
    "with shuffled demonstrations": {"algorithm": ShuffledWatching},
}

CASE = TrajectoryCase(
    name="bco",
    algorithm=BCO,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {"net_arch": [16], "inverse_arch": [16], "image_features": 8},
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": False, "multi_binary": False, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
    sources=("own play", "dataset", "dataset + stream", "dataset + own play", "stream + own play"),
    variants={"default": {}, "best half": {"top_fraction": 0.5, "policy_kwargs": {"layer_norm": True}}},
    contests=(
        # As published: all that is shown is good. Own play hardly ever sees the end of the chain.
        Contest(
            name="demonstrations",
            env=make_chain,
            timesteps=2400,
            settings={**QUICK, "stream": demonstrations()},
            ablations={**SHUFFLED, "without demonstrations": {"stream": None}},
            score=chain_return,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
        Contest(
            name="a few good episodes",
            env=make_chain,
            timesteps=2400,
            settings={**QUICK, "stream": mixed(), "top_fraction": 0.2},
            ablations={"watching everything": {"top_fraction": 1.0}},
            score=chain_return,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
        Contest(
            name="own play",
            env=make_chain,
            timesteps=3200,
            settings={**QUICK, "top_fraction": 0.1},
            ablations={"watching everything": {"top_fraction": 1.0}},
            score=chain_return,
            margin=8.0,
            seeds=(0, 1),
            quick=1,
        ),
    ),
)
