"""Networks that begin anew: what goes, what stays, and what the learning rate does."""

import numpy as np
import pytest
import torch as th

from .case import all_cases, data_of, differing, weights_of

cases = pytest.mark.parametrize("case", all_cases(), ids=str)
sources = pytest.mark.parametrize("source", ["own play", "dataset"])


def spied(model, monkeypatch):
    """The model, and for each update its learning rate, weights and how many numbers the optimizer remembers."""
    seen, compute = [], model.compute_loss

    def spy(batches):
        optimizer = model.policy.optimizer
        seen.append((optimizer.param_groups[0]["lr"], weights_of(model), len(optimizer.state)))
        return compute(batches)

    monkeypatch.setattr(model, "compute_loss", spy)
    return seen


@cases
@sources
def test_networks_begin_anew(case, source, monkeypatch):
    settings = {"learning_starts": 0, "train_freq": 30, "gradient_steps": -1, **data_of(source)}
    model = case.make(case.env(), learning_rate=lambda left: left / 100, resets=[0.5], **settings)
    seen = spied(model, monkeypatch)
    model.learn(120)
    rates = [rate for rate, _, _ in seen]
    np.testing.assert_allclose(rates, (1 - np.arange(120) % 60 / 60) / 100, atol=1e-12)

    (_, before, known), (_, after, forgotten) = seen[59], seen[60]
    names = {name for name, _ in model.policy.named_parameters()}
    changed = {path.removeprefix("/") for path in differing(before, after)}
    random = {name for name in names if before[name].numel() > 1 and before[name].std() > 0}
    assert len(changed & random) > len(random) / 2, "weights are drawn anew"
    assert changed - names <= {"target_return"}, "statistics of the data stay"
    assert known and not forgotten, "the optimizer forgets"
    assert model.num_timesteps == model._n_updates == 120


@cases
def test_without_resets_nothing_is_forgotten(case, monkeypatch):
    model = case.make(case.env(), dataset=data_of("dataset")["dataset"])
    seen = spied(model, monkeypatch)
    model.learn(20)
    assert all(remembered for _, _, remembered in seen[1:])


@cases
def test_the_next_run_resets_again(case, monkeypatch):
    model = case.make(case.env(), resets=[0.5], **data_of("dataset"))
    seen = spied(model, monkeypatch)
    model.learn(10).learn(10)
    assert [i for i, (_, _, remembered) in enumerate(seen) if not remembered] == [0, 5, 15]


@cases
@pytest.mark.parametrize("resets", [0.5, [0], [1.0], [0.6, 0.3], [0.5, 0.5], "0.5", [True], None])
def test_resets_are_rising_fractions(case, resets):
    with pytest.raises(ValueError, match=r"resets is .*give rising fractions"):
        case.make(case.env(), resets=resets)


def test_a_reset_repeats_itself():
    (case,) = (case for case in all_cases() if case.name == "gcsl_vicreg")
    a, b = (weights_of(case.make(case.env(), resets=[0.3, 0.6]).learn(90)) for _ in range(2))
    assert not differing(a, b)
    assert all(th.isfinite(value).all() for value in a.values())
