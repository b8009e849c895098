"""VICReg along time: consecutive states of one episode, and none behind its end."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.losses.vicreg import VICRegLoss
from tests.cases.dt_vicreg import CASE
from tests.support.envs import make_store


def make(**kwargs):
    model = CASE.make(CASE.env("box", "box"), dataset=make_store("box", "box"), **kwargs).learn(2)
    model.policy.set_training_mode(False)
    return model


@pytest.mark.parametrize(("action_weight", "vicreg_weight"), [(25.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_the_loss_is_what_the_page_says(action_weight, vicreg_weight):
    model = make(action_weight=action_weight, vicreg_weight=vicreg_weight, vicreg={"covariance": 3.0})
    policy, windows = model.policy, model._learner.samplers["labelled"]
    batch = to_tensors(windows.sample(np.random.default_rng(0), 32), th.device("cpu"))
    z = policy.represent_windows(batch)
    pairs = [(w, t) for w in range(len(z)) for t in range(z.shape[1] - 1) if batch.mask[w, t + 1]]
    now, then = (policy.expander(th.stack([z[w, t + later] for w, t in pairs])) for later in (0, 1))
    vicreg, _ = VICRegLoss(covariance=3.0)(now, then)
    nll = policy.head.nll(policy.head(z[batch.mask]), batch.actions[batch.mask]).mean()
    assert not batch.mask.all()
    loss, metrics = model.compute_loss({"labelled": batch})
    th.testing.assert_close(loss, action_weight * nll + vicreg_weight * vicreg)
    assert metrics.keys() == {"nll", "invariance", "variance", "covariance"}


def test_collapse_shows():
    model = make()
    batch = to_tensors(model._learner.samplers["labelled"].sample(np.random.default_rng(0), 64), th.device("cpu"))
    healthy = model.train_metrics({"labelled": batch})
    with th.no_grad():
        model.policy.expander[-1].weight.zero_()
    collapsed = model.train_metrics({"labelled": batch})
    assert healthy["spread_mean"] > 0.01 > 1e-6 > collapsed["spread_mean"]
    assert healthy["effective_rank"] > collapsed["effective_rank"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"action_weight": -1}, "action_weight"), ({"vicreg_weight": None}, "vicreg_weight"), ({"vicreg": {"x": 1}}, "x")],
)
def test_nonsense_is_refused(settings, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make(**settings)
