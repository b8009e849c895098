"""
The case of video_vicreg.

Scores of its contest over two seeds (the tests take one): it reaches the chain's maximum of 16 with both, each ablation
earns 0 with both, and so does the agent that is asked for no return.
"""

from gcrl_zoo import VideoVICReg
from tests.support.case import Contest, TrajectoryCase
from tests.support.chain import chain_return, make_chain, shown

QUICK = {
    "learning_rate": 3e-3,
    "batch_size": 64,
    "learning_starts": 800,
    "train_freq": 100,
    "gradient_steps": 50,
    "noise_levels": (0.0, 0.3),
    "policy_kwargs": {
        "context_length": 2,
        "embed_dim": 32,
        "n_layers": 1,
        "expander_dim": 16,
        "predictor_dim": 16,
        "inverse_arch": [32],
    },
}
#: The notes: the action is the last part of the output, and no term trains it.
NOTES = {"terms": {"inverse": 0.0, "label": 0.0}, "policy_kwargs": {"action_part": "last", "inverse_arch": None}}


def notes(**policy_kwargs):
    """Changes of the notes' experiments."""
    settings = {"action_tokens": True, "modality_token": True, "predictor_sees_action": False, **policy_kwargs}
    return {**NOTES, "policy_kwargs": {**NOTES["policy_kwargs"], **settings}}


CASE = TrajectoryCase(
    name="video_vicreg",
    algorithm=VideoVICReg,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {
            "context_length": 3,
            "embed_dim": 16,
            "n_layers": 1,
            "expander_dim": 8,
            "predictor_dim": 8,
            "inverse_arch": [8],
            "image_features": 8,
        },
    },
    action_spaces={"discrete": True, "box": True, "multi_discrete": False, "multi_binary": False, "dict": False},
    observation_spaces={"discrete": True, "box": True, "multi_discrete": True, "multi_binary": True, "dict": True},
    sources=("own play", "dataset", "dataset + stream", "dataset + own play", "stream + own play"),
    variants={
        "default": {},
        "every term": {
            "terms": {"action": 1.0},
            "bf16": True,
            "policy_kwargs": {"action_tokens": True, "modality_token": True, "shared_encoder": False},
        },
        "exp1": {
            **notes(vicreg_on="expanded_rep", predictor_dim=None),
            "own_return": "commanded",
            "phases": {"unlabelled": 5, "labelled": 2},
        },
        "exp5": notes(vicreg_on="tokens"),
    },
    contests=(
        # The stream holds no actions, and own play hardly ever sees the end of the chain.
        Contest(
            name="watching others",
            env=make_chain,
            timesteps=2400,
            settings={**QUICK, "stream": shown()},
            ablations={"without labels": {"terms": {"label": 0.0}}},
            targets={"asked for no return": 0.0},
            score=chain_return,
            margin=8.0,
            quick=1,
        ),
        Contest(
            name="own actions",
            env=make_chain,
            timesteps=2400,
            settings={**QUICK, "stream": shown()},
            ablations={"without own actions": {"terms": {"inverse": 0.0}}},
            score=chain_return,
            margin=8.0,
            quick=0,
        ),
    ),
)
