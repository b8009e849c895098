"""Each method learns, and from what it says: it beats itself with one force taken away (its case has ``contests``)."""

from functools import cache

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm

from tests.support.case import Contest, policy_for, trajectory_cases

CONTESTS = [(case, contest) for case in trajectory_cases() for contest in case.contests]
ABLATIONS = [(case, contest, name) for case, contest in CONTESTS for name in (*contest.ablations, *contest.targets)]


@cache
def learned(case_name: str, contest_name: str, ablation: str | None, seed: int) -> BaseAlgorithm:
    """The agent of one run."""
    case, contest = next((c, k) for c, k in CONTESTS if (c.name, k.name) == (case_name, contest_name))
    changes = {} if ablation is None else dict(contest.ablations[ablation])
    algorithm = changes.pop("algorithm", case.algorithm)
    env = contest.env()
    settings = {"seed": seed, "device": "cpu", **contest.settings, **changes}
    return algorithm(policy_for(env.observation_space), env, **settings).learn(contest.timesteps)


@cache
def score(case_name: str, contest: str, ablation: str | None, seed: int) -> float:
    return next(k for c, k in CONTESTS if (c.name, k.name) == (case_name, contest)).score(
        learned(case_name, contest, ablation, seed)
    )


def score_with_target(case_name: str, contest: Contest, target: float, seed: int) -> float:
    """The score of the whole method's agent, acting for another return."""
    policy = learned(case_name, contest.name, None, seed).policy
    before = policy.target_return.clone()
    policy.set_target_return(target)
    try:
        return contest.score(learned(case_name, contest.name, None, seed))
    finally:
        policy.set_target_return(before.item())


@pytest.mark.parametrize(
    ("case", "contest", "ablation"),
    [
        pytest.param(c, k, a, id=f"{c}-{k.name}-{a}", marks=() if k.quick else pytest.mark.thorough)
        for c, k, a in ABLATIONS
    ],
)
def test_beats_itself_without_one_force(case, contest, ablation, pytestconfig):
    seeds = contest.seeds if pytestconfig.getoption("--all") else contest.seeds[: contest.quick]
    whole = float(np.mean([score(case.name, contest.name, None, seed) for seed in seeds]))
    if ablation in contest.targets:
        target = contest.targets[ablation]
        ablated = float(np.mean([score_with_target(case.name, contest, target, seed) for seed in seeds]))
    else:
        ablated = float(np.mean([score(case.name, contest.name, ablation, seed) for seed in seeds]))
    assert whole - ablated >= contest.margin, f"{whole} with, {ablated} without"


def test_every_method_has_a_contest():
    assert all((contest.ablations or contest.targets) and contest.margin > 0 for _, contest in CONTESTS)
    assert {case.name for case, _ in CONTESTS} == {case.name for case in trajectory_cases()}
