"""The case of dt_gated."""

from gcrl_zoo import GatedDT
from tests.cases import dt
from tests.support.case import Contest, TrajectoryCase
from tests.support.chain import mixed

CASE = TrajectoryCase(
    name="dt_gated",
    algorithm=GatedDT,
    kwargs=dt.CASE.kwargs,
    action_spaces=dt.CASE.action_spaces,
    observation_spaces=dt.CASE.observation_spaces,
    sources=dt.CASE.sources,
    variants={
        "default": {},
        "bf16": {"bf16": True},
        "one action": {"policy_kwargs": {"n_actions": 1}},
        "no gate": {"policy_kwargs": {"gate": False}},
        "ensemble": {"policy_kwargs": {"ensemble": 0.5}},
        "banded": {"top_fraction": 0.5, "policy_kwargs": {"attention": "banded", "ensemble": 1.0}},
    },
    contests=(
        Contest(
            name="a few good episodes",
            env=lambda: dt.make_env(1),
            timesteps=800,
            settings={**dt.QUICK, "dataset": mixed(40, good=8)},
            targets=dt.LITTLE,
            score=dt.score,
            margin=8.0,
            seeds=(0, 1),
            quick=0,
        ),
    ),
)
