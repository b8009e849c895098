"""The case of dt_vicreg."""

from gcrl_zoo import DTVICReg
from tests.cases import dt
from tests.support.case import Contest, TrajectoryCase
from tests.support.chain import mixed

CASE = TrajectoryCase(
    name="dt_vicreg",
    algorithm=DTVICReg,
    kwargs=dt.CASE.kwargs,
    action_spaces=dt.CASE.action_spaces,
    observation_spaces=dt.CASE.observation_spaces,
    sources=dt.CASE.sources,
    variants={
        "default": {},
        "bf16": {"bf16": True},
        "no expander": {"policy_kwargs": {"expander_dim": None}},
        "banded": {"top_fraction": 0.5, "policy_kwargs": {"attention": "banded"}},
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
