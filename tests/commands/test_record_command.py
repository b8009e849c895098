"""``python -m gcrl_zoo.record``, and the page about it."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.wrappers import TimeAwareObservation
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from gcrl_zoo.record import record
from gcrl_zoo.record.__main__ import main
from gcrl_zoo.wrappers import FixedGoal
from gcrl_zoo.zoo.agents import load_zip
from tests.conftest import Run
from tests.support.recordings import ID, assert_replays, untrained
from tests.support.throw_away import ROOT

PAGE = ROOT / "docs" / "record.md"
IN_LOGS = [["-f", "logs"], ["--exp-id", "1"], ["--load-best"], ["--load-checkpoint", "9"], ["--load-last-checkpoint"]]
FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


pytestmark = pytest.mark.usefixtures("datasets")


def test_jax_is_not_needed_and_help_waits_for_nothing() -> None:
    code = "import sys; sys.modules['jax'] = None; from gcrl_zoo.record.__main__ import record; print(sorted({}))"
    for body, loaded in (
        ("{'torch', 'stable_baselines3', 'rl_zoo3', 'minari'} & set(sys.modules)", "[]"),
        ("{record(None, 'CartPole-v1', 'test/x-v0', n_episodes=2).total_episodes}", "[2]"),
    ):
        result = subprocess.run([sys.executable, "-c", code.format(body)], capture_output=True, text=True)
        assert result.stdout.strip() == loaded, result.stderr


def test_an_agent_from_a_zip_and_random_play_by_command(capsys: pytest.CaptureFixture[str], datasets: Path) -> None:
    untrained("CartPole-v1").save("agent.zip")
    common = ["--env", "CartPole-v1", "--dataset-id", ID, "--n-episodes", "3"]
    main(
        [
            *common,
            "--algo",
            "ppo",
            "--model",
            "agent.zip",
            "--noise",
            "0.1",
            "0.5",
            "--env-kwargs",
            "max_episode_steps:7",
        ]
    )
    out = capsys.readouterr().out
    assert f"{ID}: 3 episodes, 21 steps, {datasets}" in out
    assert re.search(r"^return 7 ± 0 \(mean ± standard deviation\), from 7 to 7; 0\.\d MiB$", out, re.MULTILINE)
    dataset = minari.load_dataset(ID)
    assert dataset.storage.metadata["algorithm_name"] == "ppo" and dataset.env_spec.max_episode_steps == 7
    assert all(episode.truncations[-1] for episode in dataset)
    main([*common, "--random", "--append"])
    assert minari.load_dataset(ID).total_episodes == 6


def vec_normalize(folder: Path) -> None:
    """What RL Zoo leaves beside an agent that learned from normalised observations."""
    (folder / "CartPole-v1").mkdir(parents=True)
    (folder / "CartPole-v1" / "vecnormalize.pkl").touch()
    untrained("CartPole-v1").save(folder / "agent.zip")


def test_what_is_refused_is_one_sentence(capsys: pytest.CaptureFixture[str], datasets: Path) -> None:
    record(None, "CartPole-v1", ID, n_episodes=1)
    untrained("FrozenLake-v1").save("frozen.zip")
    PPO("MlpPolicy", TimeAwareObservation(gym.make("CartPole-v1"))).save("timed.zip")
    vec_normalize(Path("normalised"))
    for arguments, sentence in (
        (["--algo", "ppo"], "There is a dataset 'test/play-v0' already; .*"),
        (["--algo", "pppo", "--force"], r"There is no algorithm 'pppo'; did you mean 'ppo'\?"),
        (["--algo", "ppo", "--force"], "The logs/ppo folder was not found; give the log folder .*"),
        (["--algo", "ppo", "--force", "--model", "none.zip"], "There is no file none.zip; give the zip .*"),
        (["--algo", "ppo", "--force", "--model", "frozen.zip"], "The agent acts in .*; use its own environment."),
        (
            ["--algo", "ppo", "--force", "--model", "timed.zip"],
            "The agent observes .*; use its own environment, including wrappers.",
        ),
        (["--algo", "ppo", "--force", "--model", "normalised/agent.zip"], "The agent .* by -f instead of --model."),
        (["--random", "--force", "--env", "Cart-v7"], "Environment `Cart` doesn't exist.*"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["--env", "CartPole-v1", "--dataset-id", ID, "--n-episodes", "3", *arguments])
        assert caught.value.code == 2
        assert re.fullmatch(rf"python -m gcrl_zoo.record: error: {sentence}\n", capsys.readouterr().err)
    assert minari.load_dataset(ID).total_episodes == 1


def test_an_agent_that_learned_in_hindsight_from_a_zip() -> None:
    env = FixedGoal(gym.make("FrozenLake-v1"), 15, threshold=0, goal_reward=True)
    DQN("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, buffer_size=100).save("agent.zip")
    assert load_zip("dqn", "agent.zip").predict(env.reset(seed=0)[0])[0] in env.action_space


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--random", "--algo", "ppo"],
        ["--random", "--model", "x.zip"],
        ["--random", "-n", "0"],
        ["--random", "--exp-id", "0"],
        *(["--algo", "ppo", "--model", "x.zip", *given] for given in IN_LOGS),
    ],
)
def test_arguments_that_contradict_each_other(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--env", "CartPole-v1", "--dataset-id", ID, "--n-episodes", "3", *arguments])
    assert "error: " in capsys.readouterr().err


def test_sigterm_leaves_nothing(datasets: Path) -> None:
    command = [sys.executable, "-m", "gcrl_zoo.record", "--random", "--env", "CartPole-v1", "--dataset-id", ID]
    with subprocess.Popen([*command, "-n", "1000000000"], stderr=subprocess.DEVNULL) as process:
        while not list(datasets.glob(".partial-*/new/data/metadata.json")) and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM and not list(datasets.iterdir())


@pytest.mark.slow
def test_the_commands_of_the_page_run_from_training_to_training(run: Run, datasets: Path) -> None:
    text = PAGE.read_text().replace("\\\n", " ")
    text = text.replace("-n 4000", "-n 512").replace("-n 2000 -params", "-n 200 -params")  # shorter trainings
    commands = [shlex.split(line) for block in FENCE.findall(text) for line in block.strip().splitlines()]
    assert len(commands) == 7
    [policies] = re.findall(r"^```python\n(import numpy.*?)^```$", text, re.MULTILINE | re.DOTALL)
    Path("my_policies.py").write_text(policies)
    for python, m, module, *arguments in commands:
        assert (python, m) == ("python", "-m")
        result = run(module, *arguments)
        assert result.returncode == 0, result.stderr
        if module == "rl_zoo3.enjoy":
            assert "Mean reward" in result.stdout
    played = minari.load_dataset("cartpole/ppo-v0")
    assert (played.total_episodes, played.storage.metadata["algorithm_name"]) == (20, "ppo")
    assert_replays(played, played.recover_environment())
    assert minari.load_dataset("cartpole/noisy-v0").storage.metadata["algorithm_name"] == "ppo; random"


@pytest.mark.slow
def test_a_run_is_recorded_with_its_wrappers_statistics_and_memory(run: Run, datasets: Path) -> None:
    """An agent with an LSTM, trained on normalised and wrapped observations, from its best checkpoint."""
    common = ("--algo", "ppo_lstm", "--env", "Pendulum-v1", "-f", "logs")
    params = (
        "policy:'MlpLstmPolicy'",
        "normalize:True",
        "env_wrapper:'gymnasium.wrappers.TimeAwareObservation'",
        "n_envs:2",
        "n_steps:64",
    )
    result = run("rl_zoo3.train", *common, "-n", "256", "--eval-freq", "128", "-params", *params, "batch_size:32")
    assert result.returncode == 0, result.stderr
    result = run("gcrl_zoo.record", *common, "--load-best", "--dataset-id", ID, "--n-episodes", "2", "--n-envs", "2")
    assert result.returncode == 0, result.stderr
    assert "Loading running average" in result.stdout
    dataset = minari.load_dataset(ID)
    assert dataset[0].observations[:, 3].tolist() == list(range(201))  # the time, not normalised
    assert_replays(dataset, dataset.recover_environment())

    folder = Path("logs/ppo_lstm/Pendulum-v1_1")
    model = RecurrentPPO.load(folder / "best_model.zip", device="cpu")
    env = VecNormalize.load(str(folder / "Pendulum-v1/vecnormalize.pkl"), DummyVecEnv([dataset.recover_environment]))
    state, start = None, np.ones(1, dtype=bool)
    for seen, action in zip(dataset[1].observations[:-1], dataset[1].actions, strict=True):
        wanted, state = model.predict(env.normalize_obs(seen[None]), state, start, deterministic=True)
        np.testing.assert_allclose(wanted[0], action, atol=1e-4)
        start = np.zeros(1, dtype=bool)
