"""
The ledger: each thing that we work around is still broken upstream. A test that fails here is good news: upstream is
fixed, so the patch that it names can go (and the lower bound of that dependency up).
"""

import inspect
import os
import subprocess
import sys
import types
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium import spaces
from packaging.requirements import Requirement
from stable_baselines3.common.vec_env import DummyVecEnv

HUB = "sb3-team-hf-integration"


def source_of(module: str) -> str:
    """Text of a module on disk, which our patches do not touch."""
    return Path(find_spec(module).origin).read_text()


def declared(package: str) -> set[str]:
    """Names of the packages that a plain install of this one pulls."""
    plain = (Requirement(line) for line in requires(package) or ())
    return {each.name.lower() for each in plain if each.marker is None or each.marker.evaluate({"extra": ""})}


def test_algo_is_checked_before_gym_packages_are_imported():
    """zoo/hook.py: a package named by --gym-packages comes too late to add an algorithm."""
    train = source_of("rl_zoo3.train")
    assert (
        train.index("choices=list(ALGOS.keys())")
        < train.index("parser.parse_args()")
        < train.index("args.gym_packages:")
    )
    assert "entry_points" not in source_of("rl_zoo3.utils")


def test_custom_envs_would_clash_with_the_users_own():
    """zoo/hook.py: the only module that RL Zoo imports by a name anyone may give is custom_envs, and not everywhere."""
    assert "import custom_envs" in source_of("rl_zoo3.import_envs")
    for script in ("load_from_hub", "record_training"):
        text = source_of(f"rl_zoo3.{script}")
        assert "import_envs" not in text and "exp_manager" not in text


def test_gymnasium_loads_no_plugins_and_rl_zoo_a_fixed_list():
    """zoo/environments.py."""
    pytest.importorskip("gymnasium_robotics")
    code = "import gymnasium, rl_zoo3.import_envs; print('FetchReach-v4' in gymnasium.registry)"
    env = {**os.environ, "GCRL_ZOO_DISABLE": "1"}
    assert (
        subprocess.check_output([sys.executable, "-c", code], env=env, text=True, stderr=subprocess.DEVNULL)
        == "False\n"
    )


@pytest.fixture
def stock():
    """The unpatched read_hyperparameters, and a manager to call it on."""
    from rl_zoo3.exp_manager import ExperimentManager

    manager = types.SimpleNamespace(
        config="", env_name=types.SimpleNamespace(gym_id="E-v0"), _is_atari=False, algo="ppo", custom_hyperparams=None
    )
    manager.storage = manager.study_name = manager.env_kwargs = manager.trial_id = None
    return inspect.unwrap(ExperimentManager.read_hyperparameters), manager


def test_conf_knows_no_names(stock):
    """zoo/experiment.py: -conf NAME is taken for a Python module only."""
    read, manager = stock
    manager.config = "exp6"
    with pytest.raises(ModuleNotFoundError):
        read(manager)


def test_trial_zero_is_ignored(stock, tmp_path):
    """zoo/experiment.py, _TrialZero: `if self.storage and self.study_name and self.trial_id`."""
    read, manager = stock
    manager.config = str(tmp_path / "mine.yml")
    Path(manager.config).write_text("default: {a: 1}")
    manager.storage, manager.study_name, manager.trial_id = "s", "n", 0
    manager.load_trial = lambda *_: {"a": 2}
    assert read(manager)[0] == {"a": 1}


def test_env_kwargs_of_a_yaml_do_not_reach_the_evaluation(stock, tmp_path):
    """zoo/experiment.py: only those of the command line do."""
    read, manager = stock
    manager.config = str(tmp_path / "mine.yml")
    Path(manager.config).write_text("default: {env_kwargs: {a: 1}}")
    manager.env_kwargs = manager.eval_env_kwargs = {}
    manager._eval_env_kwargs_args = None
    assert read(manager)[0]["env_kwargs"] == {"a": 1} and manager.eval_env_kwargs == {}


def test_a_misspelt_key_is_not_recognized(stock, tmp_path):
    """zoo/hyperparams.py, check_keys: otherwise a TypeError of some constructor, without a hint."""
    read, manager = stock
    manager.config = str(tmp_path / "mine.yml")
    Path(manager.config).write_text("default: {policy: MlpPolicy, lerning_rate: 1}")
    assert "lerning_rate" in read(manager)[0]


def test_push_to_hub_imports_a_name_that_is_gone():
    """zoo/hub.py: rl_zoo3 wants generate_metadata, the package defines _generate_metadata."""
    assert "_generate_replay, generate_metadata" in source_of("rl_zoo3.push_to_hub")
    assert "def generate_metadata" not in source_of("huggingface_sb3.push_to_hub")
    import huggingface_sb3  # noqa: F401  (the attribute push_to_hub is a function, hence sys.modules)

    module = sys.modules["huggingface_sb3.push_to_hub"]
    assert type(module.generate_metadata("bc", "CartPole-v1", 1.0, 0.0)) is dict
    assert type(module._generate_metadata("bc", "CartPole-v1", 1.0, 0.0)) is not dict


def test_downloads_are_refused_or_not_checked():
    """zoo/hub.py: all or nothing, by TRUST_REMOTE_CODE; a missing file is told by an error that nobody raises now."""
    assert "TRUST_REMOTE_CODE" in source_of("huggingface_sb3.load_from_hub")
    assert "except HTTPError" in source_of("rl_zoo3.load_from_hub")
    from huggingface_hub.errors import EntryNotFoundError
    from requests.exceptions import HTTPError

    assert not issubclass(EntryNotFoundError, HTTPError)


def test_enjoy_downloads_from_one_organisation():
    """zoo/hub.py."""
    assert 'organization="sb3"' in source_of("rl_zoo3.enjoy")


@pytest.mark.parametrize(("package", "user"), [("requests", "rl_zoo3.load_from_hub"), ("pandas", "optuna.study.study")])
def test_stock_scripts_use_what_nobody_declares(package, user):
    """pyproject.toml declares requests and pandas for them."""
    assert package in source_of(user)
    for upstream in ("rl_zoo3", "stable-baselines3", "sb3-contrib", HUB, "optuna", "huggingface-hub"):
        assert package not in declared(upstream)


def test_a_value_that_cannot_be_evaluated_is_a_traceback(stock):
    """zoo/scripts.py: RL Zoo's own way of reading `-params`, which ours calls."""
    from rl_zoo3.utils import StoreDict

    read = inspect.unwrap(StoreDict.__call__)
    with pytest.raises(NameError):
        read(types.SimpleNamespace(dest="params"), None, types.SimpleNamespace(), ["dataset:mujoco/hopper/medium-v0"])


def test_fetch_environments_are_not_known_as_goal_environments():
    """zoo/monitor.py: RL Zoo knows the package by a name that it no longer has."""
    pytest.importorskip("gymnasium_robotics")
    from rl_zoo3.exp_manager import ExperimentManager

    assert not ExperimentManager.is_robotics_env("FetchReach-v4")
    assert 'y_axis = {\n        "success": "is_success"' in source_of("rl_zoo3.plots.plot_train")


def test_the_monitor_is_inside_of_the_wrapper():
    """zoo/monitor.py: SB3 puts env_wrapper around the Monitor, which cannot see what the wrapper adds to the info."""
    text = source_of("stable_baselines3.common.env_util")
    assert text.index("env = Monitor(env") < text.index("env = wrapper_class(env")


def test_observations_that_cannot_be_vectorised_are_a_type_error():
    env = gym.Env()
    env.observation_space, env.action_space = spaces.Text(5), spaces.Discrete(2)
    with pytest.raises(TypeError, match="'NoneType' object is not iterable"):
        DummyVecEnv([lambda: env])


def test_relative_paths_are_lost_by_record_training():
    """docs/quickstart.md: ffmpeg looks for relative paths beside the list, which is in the output folder."""
    text = source_of("rl_zoo3.record_training")
    assert "video_folder = args.output_folder\n" in text and 'file.write(f"file {video_path}\\n")' in text
    assert "abspath(args.output_folder)" not in text
