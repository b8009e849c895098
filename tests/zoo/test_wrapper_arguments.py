"""Our wrappers in RL Zoo's ``env_wrapper``: missing and unknown arguments end in one sentence with an example."""

from __future__ import annotations

import argparse
import re
from typing import Any

import gymnasium as gym
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import StoreDict, get_wrapper_class

from gcrl_zoo import wrappers
from gcrl_zoo.zoo.wrapper_arguments import check_wrappers

OURS = "gcrl_zoo.wrappers."
FULL: dict[str, Any] = {"goal": [0.4], "threshold": 0.1}


def read(wrapper: Any) -> None:
    manager = ExperimentManager(argparse.Namespace(), "gcsl", "MountainCar-v0", "", verbose=0)
    manager.custom_hyperparams = {"env_wrapper": wrapper}
    manager.read_hyperparameters()


@pytest.mark.parametrize(
    ("wrapper", "words"),
    [
        (f"{OURS}FixedGoal", ("FixedGoal needs 'goal' and 'threshold'",)),
        ({f"{OURS}FixedGoal": {"goal": [0.45], "indices": [0]}}, ("FixedGoal needs 'threshold'",)),
        ({f"{OURS}FixedGoal": {"gaol": [0.45], "threshold": 1}}, ("no argument 'gaol'", "did you mean 'goal'")),
        ([f"{OURS}LiftSuccess", {f"{OURS}SampledGoal": {"low": 0}}], ("SampledGoal needs 'high' and 'threshold'",)),
        ({f"{OURS}DatasetGoal": {"threshold": 1}}, ("DatasetGoal needs 'dataset'",)),
        ({f"{OURS}ReturnToGo": {"targt": 1}}, ("ReturnToGo has no argument 'targt'", "did you mean 'target'")),
        ({f"{OURS}Upright": {"treshold": 1}}, ("no argument 'treshold'", "did you mean 'threshold'")),
        ({f"{OURS}FixedGoal": {"env": 1, **FULL}}, ("no argument 'env'",)),
        (f"{OURS}FixedGaol", ("no wrapper 'FixedGaol'", "did you mean 'FixedGoal'")),
    ],
)
def test_one_sentence_names_the_argument(wrapper: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        read(wrapper)
    assert all(each in str(caught.value) for each in words), caught.value
    assert "\n" not in str(caught.value)


def test_the_example_taken_literally_works() -> None:
    with pytest.raises(ValueError) as caught:
        check_wrappers(f"{OURS}FixedGoal")
    found = re.search(r'-params "(.*)"', str(caught.value))
    assert found is not None
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=StoreDict)
    params = parser.parse_args(["-params", found[1]]).params
    read(params["env_wrapper"])
    make = get_wrapper_class({**params})
    assert make is not None
    assert isinstance(make(gym.make("MountainCar-v0")), wrappers.FixedGoal)


@pytest.mark.parametrize(
    "wrapper",
    [
        None,
        "somebody.Else",
        *(OURS + each for each in ("Upright", "LandingPad", "InfoGoal", "ReturnToGo", "LiftSuccess")),
        {f"{OURS}FixedGoal": FULL},
        [{f"{OURS}ReturnToGo": None}, {"other.Wrapper": {"x": 1}}],
        {f"{OURS}SampledGoal": {"low": 0, "high": 1, "threshold": 0.1, "terminate": True}},
    ],
)
def test_what_is_complete_passes(wrapper: Any) -> None:
    check_wrappers(wrapper)
