"""What the methods that clone have in common: they choose by return, and those without commands hear none."""

import numpy as np
import pytest
import torch as th

from tests.common.test_bad_input import refusal
from tests.support.case import trajectory_cases

CASES = {case.name: case for case in trajectory_cases()}
FRACTIONS = [("bc", "top_fraction"), ("bco", "top_fraction"), ("gcsl_vicreg", "top_fraction")]


@pytest.mark.parametrize("command", ["desired_goal", "target_return"])
@pytest.mark.parametrize("name", ["bc", "bco"])
def test_no_command_is_heard(name, command):
    case = CASES[name]
    env = case.env("goal", n_envs=8)
    model = case.make(env).learn(240)
    observation = {key: th.as_tensor(value) for key, value in env.reset().items()}
    logits = lambda: model.policy.head(model.policy.represent(model.policy.roles.inputs(observation)))  # noqa: E731
    before = logits()
    if command == "target_return":
        model.policy.set_target_return(99.0)
    else:
        observation[command] = -observation[command]
    assert th.equal(before, logits())


@pytest.mark.parametrize("fraction", [0, -0.5, 1.1, None, "0.1", np.nan, True])
@pytest.mark.parametrize(("name", "argument"), FRACTIONS)
def test_fractions_that_are_none(name, argument, fraction, tmp_path):
    case = CASES[name]
    refusal(ValueError, lambda: case.make(**{argument: fraction}), argument, "(0, 1]")
    case.make().save(tmp_path / "agent")
    load = lambda: case.algorithm.load(tmp_path / "agent", **{argument: fraction})  # noqa: E731
    refusal(ValueError, load, argument)
