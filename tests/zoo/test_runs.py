"""gcsl_vicreg through RL Zoo's own commands, in subprocesses: what a user types, and what it answers."""

import re
import warnings
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
import torch as th
from minari.data_collector import EpisodeBuffer

from gcrl_zoo import GCSLVICReg
from tests.conftest import Run

pytestmark = pytest.mark.slow

RUNS = Path("logs/gcsl_vicreg")
PLAY = ("learning_starts:100", "train_freq:25", "gradient_steps:5", "n_envs:2")
STUDY = ("n_envs:1", "batch_size:32")  # -params of an offline run


@pytest.fixture
def train(run: Run):
    """``rl_zoo3.train --algo gcsl_vicreg``, small and without evaluation; returns what it printed."""

    def train(*arguments: str, params: tuple[str, ...] = PLAY, steps: int = 300) -> str:
        common = ("--algo", "gcsl_vicreg", "-n", str(steps), "--eval-freq", "-1", "--num-threads", "1")
        result = run("rl_zoo3.train", *common, *arguments, "-params", *params)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return train


@pytest.fixture
def enjoy(run: Run):
    """``rl_zoo3.enjoy --algo gcsl_vicreg`` with the agent of the last run."""

    def enjoy(*arguments: str) -> str:
        result = run("rl_zoo3.enjoy", "--algo", "gcsl_vicreg", "-f", "logs", "-n", "60", "--no-render", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return enjoy


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """A place for Minari datasets with ``test/cartpole-v0``, and ``test/other-v0`` of another environment's spaces."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    rng = np.random.default_rng(0)
    cartpole = gym.make("CartPole-v1")
    other = gym.spaces.Box(-1, 1, (3,), np.float32)
    record("test/cartpole-v0", rng, cartpole.observation_space, cartpole.action_space)
    record("test/other-v0", rng, other, cartpole.action_space)


def record(dataset_id: str, rng: np.random.Generator, observation_space: gym.spaces.Box, action_space: gym.Space):
    """Write a Minari dataset of noise."""
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=rng.uniform(-1, 1, (length + 1, *observation_space.shape)).astype(np.float32),
            actions=rng.integers(0, 2, length),
            rewards=np.ones(length),
            terminations=np.arange(1, length + 1) == length,
            truncations=np.zeros(length, dtype=bool),
        )
        for i, length in enumerate((12, 30, 7, 21))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the author, whom we do not give
        spaces = {"observation_space": observation_space, "action_space": action_space}
        minari.create_dataset_from_buffers(dataset_id, buffers, **spaces)


def test_train_play_and_go_on_with_the_saved_buffer(train, enjoy, tmp_path):
    assert "Saving replay buffer" in train("--save-replay-buffer")
    first = RUNS / "CartPole-v1_1"
    assert "Mean reward" in enjoy()
    assert "Loading replay buffer" in train("--save-replay-buffer", "-i", str(first / "CartPole-v1.zip"))

    agent = GCSLVICReg.load(tmp_path / RUNS / "CartPole-v1_2/CartPole-v1.zip")
    agent.load_replay_buffer(tmp_path / first / "replay_buffer.pkl")
    played = agent.replay_buffer.n_episodes
    agent.load_replay_buffer(tmp_path / RUNS / "CartPole-v1_2/replay_buffer.pkl")
    assert 0 < played < agent.replay_buffer.n_episodes


def test_a_dict_environment_with_the_shipped_yaml(train, enjoy):
    train(params=(*PLAY, "env_wrapper:'gcrl_zoo.wrappers.ReturnToGo'"))
    assert "Mean reward" in enjoy()


def test_a_preset_with_environments_in_processes(train):
    assert re.search(r"gcsl_vicreg\.yml\[CartPole-v1\] \+ \S*exp6\.yml\[default\]", train("-conf", "exp6"))
    train("--vec-env", "subproc")


def test_a_resumed_offline_run_ends_with_the_same_weights(train, datasets, tmp_path):
    data = ("dataset:'test/cartpole-v0'",)
    train("--save-freq", "100", "--seed", "1", params=(*STUDY, *data), steps=200)
    checkpoint = RUNS / "CartPole-v1_1/rl_model_100_steps.zip"
    train("-i", str(checkpoint), "--seed", "2", params=(*STUDY, "resume:True"), steps=200)

    whole, resumed, halfway = (
        GCSLVICReg.load(tmp_path / path, device="cpu")
        for path in (RUNS / "CartPole-v1_1/CartPole-v1.zip", RUNS / "CartPole-v1_2/CartPole-v1.zip", checkpoint)
    )
    assert (whole.num_timesteps, resumed.num_timesteps, halfway.num_timesteps) == (200, 200, 100)
    weights, same, before = (model.policy.state_dict() for model in (whole, resumed, halfway))
    assert all(th.equal(weights[name], same[name]) for name in weights)
    assert any(not th.equal(weights[name], before[name]) for name in weights)


TUNE = ("-optimize", "--n-trials", "1", "--n-evaluations", "1", "--no-optim-plots")
BAD = {
    "no/such-v0": r"ValueError: There is no dataset 'no/such-v0' here \(local ones: .*\); run `minari download .*\.",
    "test/other-v0": r"ValueError: .*'test/other-v0'.*\(3,\).*\(4,\).*\.",
}


@pytest.mark.parametrize("flags", [("-P",), TUNE], ids=["progress", "optimize"])
@pytest.mark.parametrize("dataset", BAD)
def test_bad_data_is_named_whatever_the_flags(run, datasets, dataset, flags):
    """RL Zoo would hide it: ``-P`` behind an error about ``pbar``, ``-optimize`` by pruning the trial."""
    result = run("rl_zoo3.train", "--algo", "gcsl_vicreg", "-n", "100", *flags, "-params", f"dataset:'{dataset}'")
    assert result.returncode == 1
    assert re.fullmatch(BAD[dataset], result.stderr.strip().splitlines()[-1]), result.stderr
    assert "pruned" not in (result.stdout + result.stderr).lower()
