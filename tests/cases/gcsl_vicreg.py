"""
The case of gcsl_vicreg.

Scores of its contests over ten seeds (the tests take one or three, with ``--all`` three): watching others reaches the
chain's maximum of 16 with all ten, own play with eight, every ablation earns 0 with all ten. Goals are reached in 98 to
100 % of the episodes, with shuffled goals in 8 to 23 % (eight seeds).
"""

from gcrl_zoo import GCSLVICReg
from gcrl_zoo.methods.gcsl_vicreg.gcsl_vicreg import DEFAULT_TERMS
from tests.support.case import Contest, ShuffledPairs, TrajectoryCase
from tests.support.chain import chain_return, make_chain, shown
from tests.support.envs import make_env, success_rate


class ShuffledGoals(GCSLVICReg):
    """Learns from shuffled pairs."""

    def make_samplers(self, labelled, unlabelled):
        honest = super().make_samplers(labelled, unlabelled)
        return {
            name: ShuffledPairs(pairs.store, max_horizon=pairs.max_horizon, goal_keys=pairs.goal_keys)
            for name, pairs in honest.items()
        }


QUICK = {
    "learning_rate": 3e-3,
    "batch_size": 64,
    "learning_starts": 800,
    "train_freq": 100,
    "gradient_steps": 100,
    "noise_levels": (0.0, 0.3),
    "policy_kwargs": {"net_arch": [32], "embedding_dim": 16, "representation_dim": 16, "expander_dim": 16},
}
ONLY_INVERSE = {"terms": {"vicreg": 0.0, "align": 0.0}}
SHUFFLED = {"algorithm": ShuffledGoals}

CASE = TrajectoryCase(
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
        "inverse only": ONLY_INVERSE,
        "tokens": {"terms": {"vicreg": 0.0, "tokens": 1.0}, "policy_kwargs": {"n_tokens": 4}},
        "predictor": {"terms": {"predict": 1.0}, "policy_kwargs": {"predictor_dim": 8}},
        "consistency": {
            "terms": {"consistency": 1.0, "forward": 1.0},
            "policy_kwargs": {"forward_arch": [8]},
            "disturbance": 0.5,
        },
        "every term": {
            "terms": dict.fromkeys(DEFAULT_TERMS, 1.0),
            "policy_kwargs": {"n_tokens": 4, "predictor_dim": 8, "forward_arch": [8]},
        },
        "in turns": {"phases": {"unlabelled": 3, "labelled": 2}, "unlabelled_first": 5},
    },
    contests=(
        # The stream holds no actions, and own play hardly ever sees the end of the chain.
        Contest(
            name="watching others",
            env=make_chain,
            timesteps=2400,
            settings={**QUICK, "stream": shown()},
            ablations={
                "without watching": ONLY_INVERSE,
                "with shuffled goals": SHUFFLED,
                "asked for no return": {"target_return": 0.0},
            },
            score=chain_return,
            margin=8.0,
            quick=1,
        ),
        Contest(
            name="own play",
            env=make_chain,
            timesteps=3200,
            settings=QUICK,
            ablations={"without watching itself": ONLY_INVERSE},
            score=chain_return,
            margin=8.0,
            quick=0,
        ),
        Contest(
            name="goals",
            env=lambda: make_env("goal", n_envs=4),
            timesteps=2000,
            settings={**QUICK, "max_horizon": None},
            ablations={"with shuffled goals": SHUFFLED},
            score=success_rate,
            margin=0.5,
            seeds=(0,),
        ),
    ),
)
