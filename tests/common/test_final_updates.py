"""Training from random weights after own play: which state is reset, which is kept, and the learning rate."""

import numpy as np
import pytest
import torch as th

from tests.support.case import data_of, differing, trajectory_cases, weights_of

cases = pytest.mark.parametrize("case", trajectory_cases(), ids=str)
PLAY = {"learning_starts": 0, "train_freq": 30, "gradient_steps": -1}


def make(case, **settings):
    return case.make(case.env(), **{**PLAY, "learning_rate": lambda left: left / 100, **settings})


def spied(model, monkeypatch):
    """Record at each update the learning rate, the weights and the size of the optimizer's state."""
    seen, compute = [], model.compute_loss

    def spy(batches):
        optimizer = model.policy.optimizer
        seen.append((optimizer.param_groups[0]["lr"], weights_of(model), len(optimizer.state)))
        return compute(batches)

    monkeypatch.setattr(model, "compute_loss", spy)
    return seen


@cases
def test_weights_are_drawn_again_and_statistics_are_kept(case, monkeypatch):
    model = make(case, final_gradient_steps=40)
    seen = spied(model, monkeypatch)
    model.learn(60)
    rates = [rate for rate, _, _ in seen]
    np.testing.assert_allclose(rates[:60], (1 - np.arange(60) / 60) / 100, atol=1e-12)
    np.testing.assert_allclose(rates[60:], (1 - np.arange(40) / 40) / 100, atol=1e-12)
    assert model.num_timesteps == 60 and model._n_updates == 100

    (_, before, known), (_, after, forgotten) = seen[59], seen[60]
    names = {name for name, _ in model.policy.named_parameters(remove_duplicate=False)}
    changed = {path.removeprefix("/") for path in differing(before, after)}
    random = {name for name in names if before[name].numel() > 1 and before[name].std() > 0}
    assert len(changed & random) > len(random) / 2, "weights are drawn anew"
    assert not changed - names, "statistics of the data stay"
    assert known and not forgotten, "the optimizer forgets"


@cases
def test_final_updates_use_all_own_play(case, monkeypatch):
    model = make(case, final_gradient_steps=5)
    compute, known = model.compute_loss, []
    monkeypatch.setattr(model, "compute_loss", lambda b: known.append(model._learner._data[2]) or compute(b))
    model.learn(60)
    assert known[-5:] == [model.replay_buffer.version] * 5


@cases
def test_final_updates_have_their_own_warm_up(case, monkeypatch):
    model = make(case, final_gradient_steps=40, warmup_steps=20, learning_rate=1e-2)
    seen = spied(model, monkeypatch)
    model.learn(60)
    rates = [rate for rate, _, _ in seen]
    np.testing.assert_allclose(rates[:60], np.minimum(1, np.arange(1, 61) / 20) / 100)
    np.testing.assert_allclose(rates[60:], rates[:40])


@cases
def test_training_from_a_dataset_has_no_final_updates(case, monkeypatch):
    model = make(case, final_gradient_steps=40, dataset=data_of("dataset")["dataset"])
    seen = spied(model, monkeypatch)
    model.learn(20)
    assert len(seen) == 20 and all(remembered for _, _, remembered in seen[1:])


@cases
def test_a_stopped_run_has_no_final_updates(case):
    model = make(case, final_gradient_steps=40)
    model.learn(90, callback=lambda *_: model.num_timesteps < 60)
    assert model._n_updates < 90


@cases
def test_the_last_log_line_follows_the_final_updates(case, monkeypatch):
    model = make(case, final_gradient_steps=7)
    written = []
    monkeypatch.setattr(model, "dump_logs", lambda dump=model.dump_logs: written.append(model._n_updates) or dump())
    model.learn(60, log_interval=30)
    assert written == [30, 60, 67]


@cases
@pytest.mark.parametrize("steps", [-1, 0.5, None, "7"])
def test_final_gradient_steps_must_be_a_whole_number(case, steps):
    with pytest.raises(ValueError, match="final_gradient_steps"):
        case.make(case.env(), final_gradient_steps=steps)


def test_final_updates_are_deterministic():
    (case,) = (case for case in trajectory_cases() if case.name == "gcsl_vicreg")
    a, b = (weights_of(make(case, final_gradient_steps=30).learn(60)) for _ in range(2))
    assert not differing(a, b)
    assert all(th.isfinite(value).all() for value in a.values())
