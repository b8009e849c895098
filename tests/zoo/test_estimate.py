"""A run that takes long says so, once, soon after it began to learn."""

import argparse
import functools
import time
from types import SimpleNamespace

import pytest
import yaml

from gcrl_zoo.zoo.estimate import ENOUGH, LONG, TimeEstimate, duration


class Clock:
    """Seconds that pass only where the test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(total: int, round_steps: int, learning_starts: int, update_seconds: float, *, plays: bool, verbose: int = 1):
    """A run whose steps take no time and whose rounds of updates take ``update_seconds``; at which step it was told."""
    clock = Clock()
    estimate = TimeEstimate(verbose, clock)
    model = SimpleNamespace(num_timesteps=0, _n_updates=0, _total_timesteps=total)
    estimate.model = model
    estimate._on_training_start()
    told = None
    while model.num_timesteps < total:
        if not plays:
            model._n_updates, clock.now = model._n_updates + 1, clock.now + update_seconds
        for _ in range(round_steps if plays else 1):
            model.num_timesteps += 1
            estimate._on_step()
        if told is None and estimate.seconds is not None:
            told = model.num_timesteps
        if plays and model.num_timesteps >= learning_starts:
            model._n_updates, clock.now = model._n_updates + 9, clock.now + update_seconds
    return estimate.seconds, told, clock.now


def test_own_play_is_told_after_the_first_rounds_of_updates(capsys):
    """87 s for the updates of 250 steps: 9.6 hours, known after two rounds."""
    seconds, told, whole = run(100_000, 250, 1000, 87, plays=True)
    assert told == 1500
    assert seconds == pytest.approx(whole, rel=0.02)
    assert capsys.readouterr().out.count("about 10 hours more. To shorten it") == 1


def test_offline_is_told_after_a_few_seconds(capsys):
    seconds, told, whole = run(10_000, 1, 0, 0.35, plays=False)
    assert told * 0.35 == pytest.approx(ENOUGH, abs=1)
    assert seconds == pytest.approx(whole, rel=0.02)
    assert capsys.readouterr().out.count("about 58 minutes more. To shorten it") == 1


@pytest.mark.parametrize("plays", [True, False])
def test_minutes_are_told_without_advice(capsys, plays):
    run(10_000, 1, 0, 0.05, plays=plays)
    assert capsys.readouterr().out == "At this speed the run takes about 8 minutes more.\n"


@pytest.mark.parametrize(("seconds", "verbose"), [(0.005, 1), (0.35, 0)])
@pytest.mark.parametrize("plays", [True, False])
def test_a_short_run_and_a_silent_one_print_nothing(capsys, plays, seconds, verbose):
    found, *_ = run(10_000, 1, 0, seconds, plays=plays, verbose=verbose)
    assert (found > LONG) == (verbose == 0)
    assert capsys.readouterr().out == ""


def test_durations():
    assert [duration(s) for s in (61, 1800, 5900, 32_000, 400_000)] == [
        "1 minutes", "30 minutes", "98 minutes", "9 hours", "5 days",
    ]  # fmt: skip


def test_rl_zoo_prints_it(tmp_path, monkeypatch, capsys):
    """Through RL Zoo's own manager, in own play; every second is an hour."""
    from rl_zoo3.exp_manager import ExperimentManager

    from gcrl_zoo.zoo import experiment

    fast = functools.partial(TimeEstimate, clock=lambda: time.monotonic() * 3600)
    monkeypatch.setattr(experiment, "TimeEstimate", fast)
    block = {"policy": "MlpPolicy", "n_timesteps": 200, "learning_starts": 20, "train_freq": 10, "gradient_steps": 1}
    (tmp_path / "mine.yml").write_text(yaml.dump({"default": block}))
    manager = ExperimentManager(
        argparse.Namespace(), "bc", "CartPole-v1", str(tmp_path), eval_freq=-1, config=str(tmp_path / "mine.yml")
    )
    model, _ = manager.setup_experiment()
    manager.learn(model)
    assert capsys.readouterr().out.count("At this speed the run takes about") == 1
