"""What RL Zoo's scripts say to a value that they cannot evaluate, and what its monitor files hold."""

import argparse
import csv

import gymnasium as gym
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import StoreDict
from stable_baselines3.common.monitor import Monitor

OPTIONS = ("-params", "--env-kwargs", "--eval-env-kwargs")


def parse(*words: str, option: str = "-params"):
    parser = argparse.ArgumentParser("train.py")
    parser.add_argument(option, dest="kwargs", nargs="+", action=StoreDict)
    return parser.parse_args([option, *words]).kwargs


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text",
    ["mujoco/hopper/medium-v0", "medium-v0", "data/mine.npz", "./mine.hdf5", "~/x.pkl", "gcrl_zoo.wrappers.Upright",
     "C:\\data\\x.npz", "lin_1e-3", "my data", "env:Name-v0"],
)  # fmt: skip
def test_text_without_quotes_is_shown_with_them(text, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("learning_rate:1e-3", f"dataset:{text}", option=option)
    message = capsys.readouterr().err
    assert stopped.value.code == 2 and message.count("\n") == 1
    assert message.startswith(f"train.py: error: {option} got dataset:{text}, whose value is not valid Python (")
    advised = message.rpartition(": ")[2].strip().rstrip(".")
    assert advised == f"dataset:\"'{text}'\""
    if "\\" not in text:
        assert parse(advised.replace('"', "")) == {"dataset": text}  # what the shell makes of it


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("false", False),
        ("true", True),
        ("null", None),
        ("none", None),
        ("FALSE", False),
        ("NULL", None),
        ("TRUE", True),
    ],
)
def test_constants_of_yaml_are_told_as_those_of_python(word, value, capsys):
    with pytest.raises(SystemExit):
        parse(f"own_play:{word}")
    advised = capsys.readouterr().err.rpartition(": ")[2].strip().rstrip(".")
    assert parse(advised) == {"own_play": value}


@pytest.mark.parametrize("word", ["learning_rate", "learning_rate=1e-3", "learning_rate:"])
def test_a_word_without_a_value(word, capsys):
    with pytest.raises(SystemExit):
        parse(word)
    assert f"got {word}, which has no value; write KEY:VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["dict(a=1", "[1, 2", "dict(net_arch=x)", "1/0", "None.x"])
def test_python_that_is_wrong_names_its_cause(value, capsys):
    with pytest.raises(SystemExit):
        parse(f"policy_kwargs:{value}")
    message = capsys.readouterr().err
    assert message.startswith(f"train.py: error: -params got policy_kwargs:{value}, whose value is not valid Python (")


def test_what_can_be_evaluated_is_read_as_ever():
    words = ["a:1e-3", "b:'x:y'", "c:dict(d=[1])", "a:2"]
    assert parse(*words) == {"a": 2, "b": "x:y", "c": {"d": [1]}}
    assert StoreDict.__call__.__wrapped__ is not StoreDict.__call__


# ------------------------------------------------------------------------------------------------------- monitor files


def make_envs(folder, algo: str, env_id: str, block: dict, n_envs: int = 2):
    manager = ExperimentManager(argparse.Namespace(), algo, env_id, str(folder), eval_freq=-1, verbose=0)
    _, manager.env_wrapper, _, _ = manager._preprocess_hyperparams({"n_timesteps": 1, **block})
    return manager, manager.create_envs(n_envs)


def play(env, steps: int) -> None:
    env.seed(0)
    env.reset()
    for _ in range(steps):
        env.step([env.action_space.sample() for _ in range(env.num_envs)])
    env.close()


def columns(manager) -> list[dict[str, str]]:
    from pathlib import Path

    files = sorted(Path(manager.save_path).glob("*.monitor.csv"))
    return [row for file in files for row in csv.DictReader(file.read_text().splitlines()[1:])]


@pytest.mark.parametrize("keywords", [("is_success",), ["is_success"], "dict(info_keywords=('is_success',))"])
@pytest.mark.parametrize(
    "wrapper",
    ["gcrl_zoo.wrappers.Upright", ["gcrl_zoo.wrappers.Upright", "gymnasium.wrappers.RecordEpisodeStatistics"]],
)
def test_a_monitor_sees_what_the_wrapper_says(tmp_path, wrapper, keywords):
    kwargs = keywords if isinstance(keywords, str) else {"info_keywords": keywords}
    manager, env = make_envs(tmp_path, "gcsl", "CartPole-v1", {"env_wrapper": wrapper, "monitor_kwargs": kwargs})
    play(env, 80)
    rows = columns(manager)
    assert rows and all(row["is_success"] == "False" and float(row["r"]) == float(row["l"]) for row in rows)


def test_without_keywords_and_for_other_algorithms_nothing_changes(tmp_path):
    upright = {"env_wrapper": "gcrl_zoo.wrappers.Upright"}
    for algo, block in (("gcsl", upright), ("ppo", {**upright, "monitor_kwargs": {"info_keywords": ("x",)}})):
        manager, env = make_envs(tmp_path, algo, "CartPole-v1", block)
        assert isinstance(env.envs[0].env, Monitor)
        assert manager.monitor_kwargs == block.get("monitor_kwargs", {})


@pytest.mark.parametrize(("algo", "expected"), [("gcsl", True), ("tqc", False)])
def test_fetch_writes_its_success(tmp_path, algo, expected):
    pytest.importorskip("gymnasium_robotics")
    manager, env = make_envs(tmp_path, algo, "FetchReach-v4", {}, n_envs=1)
    play(env, 50)
    assert [("is_success" in row) for row in columns(manager)] == [expected]


@pytest.mark.parametrize("env_id", ["PointMaze_UMaze-v3", "AntMaze_UMaze-v5"])
def test_environments_that_do_not_say_it_are_not_asked(env_id):
    pytest.importorskip("gymnasium_robotics")
    from gcrl_zoo.zoo.monitor import GOAL_ENVS

    assert not GOAL_ENVS.match(str(gym.spec(env_id).entry_point))
    assert GOAL_ENVS.match(str(gym.spec("HandReach-v3").entry_point))
