"""What a user sees: RL Zoo's own scripts, from an empty folder."""

import functools
import os
import subprocess
import sys
import sysconfig

import pytest
import torch as th

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.__main__ import SCRIPTS
from tests.support.fork_server import ForkServer
from tests.support.scripts import process, script
from tests.support.throw_away import add_method, add_method_of_docs, add_method_of_ppo


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_stock_script_starts_and_knows_our_algorithms(run, name):
    result = run(f"rl_zoo3.{name}", "--help")
    assert result.returncode == 0, result.stderr
    for name in discover():
        assert name in result.stdout.replace("\n", "")


def test_the_switch_leaves_stock_rl_zoo(run):
    result = run("rl_zoo3.train", "--algo", next(iter(discover())), GCRL_ZOO_DISABLE="1")
    assert result.returncode == 2
    assert "invalid choice" in result.stderr


def test_a_fork_does_what_a_process_does(tmp_path):
    """The other tests run scripts in forks of one process that has imported RL Zoo."""
    words = ["--algo", "bc", "--env", "CartPole-v1", "-n", "256", "--seed", "1", "--num-threads", "1"]
    results = []
    for start in (process, script):
        folder = tmp_path / start.__name__
        folder.mkdir()
        done = start("rl_zoo3.train", *words, "-params", "learning_starts:100", folder=folder)
        model = discover()["bc"].algorithm.load(folder / "logs/bc/CartPole-v1_1/CartPole-v1.zip")
        results.append((done, model.policy.state_dict()))
    (alone, weights), (forked, same) = results
    assert alone.returncode == forked.returncode == 0, alone.stderr + forked.stderr
    assert weights.keys() == same.keys() and all(th.equal(weights[name], same[name]) for name in weights)
    assert [line for line in alone.stdout.splitlines() if "fps" not in line and "elapsed" not in line] == [
        line for line in forked.stdout.splitlines() if "fps" not in line and "elapsed" not in line
    ]


def test_a_fork_ends_as_a_process_does(tmp_path):
    """With its exit code, its output and the last line of its error."""
    (tmp_path / "ends.py").write_text(
        "import atexit, sys\natexit.register(print, 'at exit')\nprint(sys.argv[1:])\n"
        "if sys.argv[1] == 'raise': raise ValueError('of mine')\n"
        "sys.exit({'code': 3, 'words': 'an error'}.get(sys.argv[1]))\n"
    )
    for word in ("raise", "code", "words", "nothing"):
        alone, forked = (start("ends", word, folder=tmp_path) for start in (process, script))
        assert (alone.returncode, alone.stdout) == (forked.returncode, forked.stdout)
        assert alone.stderr.splitlines()[-1:] == forked.stderr.splitlines()[-1:]


@pytest.mark.slow
def test_a_ninth_method_trains_plays_and_tunes(house, tmp_path):
    """The method of docs/add_a_method.md: one folder and one YAML; and the user has a custom_envs.py of their own."""
    add_method_of_docs(house)
    (tmp_path / "custom_envs.py").write_text(
        "from gymnasium import register\n"
        "register('Mine-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=50)\n"
    )
    arguments = ("--algo", "rcbc", "--env", "Mine-v0", "-f", "logs")
    with ForkServer(imports_in=tmp_path, PYTHONPATH=str(house)) as server:
        run = functools.partial(server.run, folder=tmp_path)
        result = run("rl_zoo3.train", *arguments, "-n", "300", "--eval-freq", "-1")
        assert result.returncode == 0, result.stderr
        assert "rcbc.yml[default]" in result.stdout
        assert (tmp_path / "logs/rcbc/Mine-v0_1/Mine-v0.zip").is_file()

        result = run("rl_zoo3.enjoy", *arguments, "-n", "100", "--no-render")
        assert result.returncode == 0, result.stderr
        assert "Mean reward" in result.stdout

        study = ("--storage", "sqlite:///study.db", "--study-name", "rcbc")
        tune = ("-optimize", "--n-trials", "1", "-n", "128", "--n-evaluations", "1", "--no-optim-plots")
        result = run("rl_zoo3.train", *arguments, *study, *tune)
        assert result.returncode == 0, result.stderr

        result = run("rl_zoo3.train", *arguments, *study, "--trial-id", "0", "-n", "64")
        assert result.returncode == 0, result.stderr
        assert "Loading from Optuna study..." in result.stdout
        assert "learning_rate" in (tmp_path / "logs/rcbc/Mine-v0_3/Mine-v0/config.yml").read_text()


LOADS = """
import gcrl_zoo

agent, env = gcrl_zoo.load_from_hub("zoo/ppo_inverse-CartPole-v1")
print(type(agent).__name__, agent.n_inverse_updates, len(agent.policy.inverse_optimizer.state_dict()["state"]))
env.step(agent.predict(env.reset())[0])
"""


@pytest.mark.slow
def test_a_subclass_of_ppo_trains_plays_tunes_and_travels(house, hub, tmp_path):
    """The method of tests/support/ppo_inverse, which is not a ``TrajectoryAlgorithm``."""
    add_method_of_ppo(house)
    (tmp_path / "loads.py").write_text(LOADS)
    arguments = ("--algo", "ppo_inverse", "--env", "CartPole-v1", "-f", "logs")
    train = ("rl_zoo3.train", *arguments, "--eval-freq", "-1", "-n", "128")
    study = ("--storage", "sqlite:///study.db", "--study-name", "ppo", "--n-evaluations", "1", "--no-optim-plots")
    agent = tmp_path / "logs/ppo_inverse/CartPole-v1_1/CartPole-v1.zip"
    with ForkServer(imports_in=tmp_path, PYTHONPATH=str(house)) as server:

        def run(*words, code=0):
            result = server.run(*words, folder=tmp_path)
            assert result.returncode == code, result.stdout + result.stderr
            return result.stdout + result.stderr

        assert "ppo_inverse.yml[default]" in run(*train) and agent.is_file()
        assert "Mean reward" in run("rl_zoo3.enjoy", *arguments, "-n", "501", "--no-render")
        run("gcrl_zoo.publish", "--algo", "ppo_inverse", "--organization", "zoo", "--n-episodes", "1", "--no-video")
        assert "PPOInverse 4 4" in run(
            "loads"
        )  # two updates of each rollout, by the YAML; weights and biases of two layers
        assert "Loading pretrained agent" in run(*train, "-i", str(agent))
        refused = run(*train, "-i", str(agent), "-params", "resume:True", code=1)
        assert "ppo_inverse has no hyperparameter 'resume'" in refused
        run(*train, *study, "-optimize", "--n-trials", "1")
        assert "Loading from Optuna study..." in run(*train, *study, "--trial-id", "0")


def test_a_broken_method_reads_as_ours(run, house):
    add_method(house, "broken", "import nowhere")
    result = run("rl_zoo3.train", "--algo", "ppo", PYTHONPATH=str(house))
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert last.startswith(
        "RuntimeError: gcrl_zoo could not extend rl_zoo3.utils: gcrl_zoo cannot load its method 'broken'"
    )
    assert "GCRL_ZOO_DISABLE=1" in last
    assert "invalid choice" not in result.stderr


def test_the_plain_way_needs_no_startup_file(tmp_path, house):
    """``python -S`` runs no startup file; the paths are then ours to give."""
    add_method(house)
    paths = os.pathsep.join([str(house), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    for module in (["gcrl_zoo.train"], ["gcrl_zoo.zoo", "enjoy"]):
        result = subprocess.run(
            [sys.executable, "-S", "-m", *module, "--help"],
            env={**os.environ, "PYTHONPATH": paths},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert "ninth" in result.stdout
    assert "usage" in subprocess.run([sys.executable, "-m", "gcrl_zoo.zoo"], capture_output=True, text=True).stderr
