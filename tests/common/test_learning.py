"""Each method learns, and from what it says: it beats itself with one force taken away (its case has ``contests``)."""

from functools import cache

import numpy as np
import pytest

from tests.support.case import Contest, TrajectoryCase, policy_for, trajectory_cases

CONTESTS = [(case, contest) for case in trajectory_cases() for contest in case.contests]
ABLATIONS = [(case, contest, name) for case, contest in CONTESTS for name in contest.ablations]


@cache
def score(case_name: str, contest_name: str, ablation: str | None) -> float:
    """Mean over the contest's seeds."""
    case, contest = next((c, k) for c, k in CONTESTS if (c.name, k.name) == (case_name, contest_name))
    return float(np.mean([play(case, contest, ablation, seed) for seed in contest.seeds]))


def play(case: TrajectoryCase, contest: Contest, ablation: str | None, seed: int) -> float:
    """The score of one run."""
    changes = {} if ablation is None else dict(contest.ablations[ablation])
    algorithm = changes.pop("algorithm", case.algorithm)
    env = contest.env()
    model = algorithm(
        policy_for(env.observation_space), env, seed=seed, device="cpu", **{**contest.settings, **changes}
    )
    return contest.score(model.learn(contest.timesteps))


@pytest.mark.parametrize(("case", "contest", "ablation"), ABLATIONS, ids=[f"{c}-{k.name}-{a}" for c, k, a in ABLATIONS])
def test_beats_itself_without_one_force(case, contest, ablation):
    whole, ablated = score(case.name, contest.name, None), score(case.name, contest.name, ablation)
    assert whole - ablated >= contest.margin, f"{whole} with, {ablated} without"


def test_every_method_has_a_contest():
    assert all(contest.ablations and contest.margin > 0 for _, contest in CONTESTS)
    assert {case.name for case, _ in CONTESTS} == {case.name for case in trajectory_cases()}
