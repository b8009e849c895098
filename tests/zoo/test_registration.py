"""What a user sees: RL Zoo's own scripts, in subprocesses, from an empty folder."""

import os
import subprocess
import sys
import sysconfig

import pytest

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.__main__ import SCRIPTS
from tests.support.throw_away import add_method, add_method_of_docs


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_stock_script_starts_and_knows_our_algorithms(run, script):
    result = run(f"rl_zoo3.{script}", "--help")
    assert result.returncode == 0, result.stderr
    for name in discover():
        assert name in result.stdout.replace("\n", "")


def test_the_switch_leaves_stock_rl_zoo(run):
    result = run("rl_zoo3.train", "--algo", next(iter(discover())), GCRL_ZOO_DISABLE="1")
    assert result.returncode == 2
    assert "invalid choice" in result.stderr


@pytest.mark.slow
def test_a_ninth_method_trains_plays_and_tunes(run, house, tmp_path):
    """The method of docs/add_a_method.md: one folder and one YAML; and the user has a custom_envs.py of their own."""
    add_method_of_docs(house)
    (tmp_path / "custom_envs.py").write_text(
        "from gymnasium import register\n"
        "register('Mine-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=50)\n"
    )
    common = {"PYTHONPATH": str(house)}
    arguments = ("--algo", "rcbc", "--env", "Mine-v0", "-f", "logs")

    result = run("rl_zoo3.train", *arguments, "-n", "300", "--eval-freq", "-1", **common)
    assert result.returncode == 0, result.stderr
    assert "rcbc.yml[default]" in result.stdout
    assert (tmp_path / "logs/rcbc/Mine-v0_1/Mine-v0.zip").is_file()

    result = run("rl_zoo3.enjoy", *arguments, "-n", "100", "--no-render", **common)
    assert result.returncode == 0, result.stderr
    assert "Mean reward" in result.stdout

    study = ("--storage", "sqlite:///study.db", "--study-name", "rcbc")
    tune = ("-optimize", "--n-trials", "1", "-n", "128", "--n-evaluations", "1", "--no-optim-plots")
    result = run("rl_zoo3.train", *arguments, *study, *tune, **common)
    assert result.returncode == 0, result.stderr

    result = run("rl_zoo3.train", *arguments, *study, "--trial-id", "0", "-n", "64", **common)
    assert result.returncode == 0, result.stderr
    assert "Loading from Optuna study..." in result.stdout
    assert "learning_rate" in (tmp_path / "logs/rcbc/Mine-v0_3/Mine-v0/config.yml").read_text()


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
