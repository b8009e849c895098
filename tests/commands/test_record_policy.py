"""``python -m gcrl_zoo.record --policy`` and ``--wrappers``: scripted policies, and images as a training sees them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC
from gcrl_zoo.data import open_store
from gcrl_zoo.data.recorded_wrappers import describe_wrappers
from gcrl_zoo.record.__main__ import main
from gcrl_zoo.zoo.training_environment import training_environment
from tests.support.frames import FRAMES, Frames
from tests.support.recordings import ID, assert_replays

pytestmark = pytest.mark.usefixtures("datasets")

SWERVING = "tests.support.frames:Swerving"
COMMON = ["--env", FRAMES, "--dataset-id", ID, "--n-episodes", "3"]
SINGLE = [
    {"rl_zoo3.wrappers.FrameSkip": {"skip": 2}},
    {"gymnasium.wrappers.GrayscaleObservation": {"keep_dim": True}},
    {"rl_zoo3.wrappers.YAMLCompatResizeObservation": {"shape": [64, 64]}},
]
STACKED = [*SINGLE, {"gymnasium.wrappers.FrameStackObservation": {"stack_size": 4}}]
DESCRIBED = [
    ["FrameSkip", {"skip": 2}],
    ["GrayscaleObservation", {"keep_dim": True}],
    ["YAMLCompatResizeObservation", {"shape": [64, 64]}],
]


def test_a_policy_of_the_current_folder_gets_the_environments_and_its_arguments() -> None:
    Path("my_policies.py").write_text(
        "import numpy as np\n"
        "class Constant:\n"
        "    def __init__(self, env, action):\n"
        "        assert env.num_envs == 2\n"
        "        self.action = action\n"
        "    def predict(self, observation, state=None, episode_start=None, deterministic=False):\n"
        "        return np.full(len(observation), self.action), None\n"
    )
    arguments = ["--policy", "my_policies:Constant", "--policy-kwargs", "action:1", "--env", "CartPole-v1"]
    main([*COMMON, *arguments, "--n-envs", "2"])
    dataset = minari.load_dataset(ID)
    assert all((episode.actions == 1).all() for episode in dataset)
    assert dataset.storage.metadata["algorithm_name"] == "my_policies:Constant"


def test_a_policy_that_draws_from_the_seed_plays_alike_in_any_number_of_environments() -> None:
    for n_envs in ("1", "2"):
        main([*COMMON, "--policy", SWERVING, "--n-envs", n_envs, "--dataset-id", f"test/{n_envs}-v0"])
    one, two = minari.load_dataset("test/1-v0"), minari.load_dataset("test/2-v0")
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.observations, b.observations)
    assert len({episode.actions[0, 1] for episode in one}) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["frames"], "The policy is 'frames'; give MODULE:FACTORY, such as .*"),
        (["no_such_module:x"], r"There is no module 'no_such_module' \(policy no_such_module:x\); give one that is .*"),
        (["tests.support.frames:Swervin"], r"The module .* has no 'Swervin' .*; did you mean 'Swerving'\?"),
        (["tests.support.frames:FRAMES"], "The policy .* is 'Frames-v0'; name a function that .*"),
        (["tests.support.frames:nothing"], "The policy .* returned None, which has no method `predict`; return .*"),
        ([SWERVING, "--policy-kwargs", "pace:1"], "The policy .* got an unexpected keyword argument 'pace'; change .*"),
        (["tests.support.frames:far"], r"The policy .*:far returned the action \[ 7\. .*\], which is not in Box\(.*"),
        (["tests.support.frames:crooked"], r".* actions of shape \(3,\) and dtype float64, but the .* \(1, 2\), .*"),
        (["tests.support.frames:worded"], "The policy .* dtype <U5, but the environment has Box.*; return float32 .*"),
        (["tests.support.frames:lone"], "The policy .* from `predict`; return a tuple of the actions and the .*"),
        ([SWERVING, "--wrappers", "ppo/best"], r"ppo has no hyperparameters 'best' \(No module .*\); leave out /best."),
        ([SWERVING, "--wrappers", "bc/best"], "bc has no preset 'best'; it has .*"),
        ([SWERVING, "--wrappers", "pppo"], "There is no algorithm 'pppo'; did you mean .*"),
    ],
)
def test_what_is_wrong_with_a_policy_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], datasets: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*COMMON, "--policy", *arguments])
    assert caught.value.code == 2 and not list(datasets.iterdir())
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"python -m gcrl_zoo.record: error: {sentence}", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", SWERVING, "--model", "x.zip"], "--model: not allowed with argument --policy"),
        (["--policy", SWERVING, "--exp-id", "1"], "--exp-id: not allowed with argument --policy"),
        (["--policy", SWERVING, "--random"], "--random: not allowed with argument --policy"),
        (["--random", "--policy-kwargs", "a:1"], "--policy-kwargs: not allowed with argument --random"),
        (["--algo", "bc", "--wrappers", "bc"], "--wrappers: not allowed with an agent of a log folder"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*COMMON, *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The environment that is recovered")
def test_images_are_recorded_in_the_wrappers_of_an_algorithm_and_stacked_when_they_are_learnt_from(
    datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(manager: Any) -> Any:
        return {"env_wrapper": STACKED, "env_kwargs": {"size": 80}}, {}

    monkeypatch.setattr(ExperimentManager, "read_hyperparameters", settings)
    main([*COMMON, "--policy", SWERVING, "--wrappers", "bc"])
    dataset = minari.load_dataset(ID)
    assert dataset.observation_space.shape == dataset[0].observations.shape[1:] == (64, 64, 1)
    wrap = get_wrapper_class({"env_wrapper": SINGLE})
    assert wrap is not None
    assert_replays(dataset, wrap(gym.make(FRAMES, size=80)))

    store = open_store(ID)
    assert store.wrappers == DESCRIBED
    for episode, read in zip(dataset, store.episodes(), strict=True):
        np.testing.assert_array_equal(episode.observations, read.observations["observation"])

    stack = get_wrapper_class({"env_wrapper": STACKED})
    env = DummyVecEnv([lambda: stack(gym.make(FRAMES, size=80))])
    assert env.observation_space.shape == (4, 64, 64, 1)
    model = BC("CnnPolicy", env, dataset=ID, batch_size=4, seed=0, policy_kwargs={"image_features": 8}).learn(2)
    assert model.predict(env.reset())[0][0] in env.action_space


@pytest.mark.parametrize(
    ("algo", "expected"),
    [
        ("ppo", [DESCRIBED[0], DESCRIBED[2], DESCRIBED[1]]),
        ("bc", [["FrameSkip", {"skip": 4}], ["CropObservation", {"rows": [0, 84], "columns": None}], *DESCRIBED[1:]]),
        ("bc/dashboard", [["FrameSkip", {"skip": 4}], *DESCRIBED[1:]]),
        ("ppo_lstm", [DESCRIBED[2], DESCRIBED[1]]),
    ],
)
def test_the_wrappers_of_an_algorithm_or_of_a_preset(algo: str, expected: list[Any]) -> None:
    wrap, kwargs = training_environment(algo, "CarRacing-v3")
    assert wrap is not None and kwargs == {}
    assert describe_wrappers(wrap(Frames())) == expected


def test_wrappers_of_our_yaml_are_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--random", "--env", "CartPole-v1", "--dataset-id", ID, "--n-episodes", "2", "--wrappers", "gcsl"])
    [[name, _]] = open_store(ID).wrappers or []
    assert name == "Upright" and minari.load_dataset(ID).env_spec.additional_wrappers[-1].name == "Upright"
    assert "hyperparameters" not in capsys.readouterr().out
