"""Policies with several optimizers: each parameter belongs to one, each optimizer has a learning rate."""

from types import SimpleNamespace

import pytest
import torch as th
from gymnasium import spaces

from gcrl_zoo import BC
from gcrl_zoo.common.learner import Learner
from gcrl_zoo.common.optimizers import metric_of
from gcrl_zoo.common.run_state import RandomStreams
from tests.support.case import weights_of
from tests.support.envs import make_env, make_store
from tests.support.matrix import every_trajectory_case
from tests.support.value_learner import ValueLearner, ValuePolicy

SPACES = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)


def make(policy_class, **kwargs):
    policy = policy_class(*SPACES, **kwargs)
    policy.make_optimizers(lambda left: 1e-2 * left)
    return policy


class Twice(ValuePolicy):
    """The value network is also in SB3's optimizer, which takes all parameters."""

    def make_optimizers(self, lr_schedule):
        super().make_optimizers(lr_schedule)
        self.optimizer = self.make_optimizer(lr_schedule)


class Never(ValuePolicy):
    """A network that was made after the optimizers."""

    def make_optimizers(self, lr_schedule):
        super().make_optimizers(lr_schedule)
        self.late = th.nn.Linear(2, 2)


class Missing(ValuePolicy):
    def make_optimizers(self, lr_schedule):
        self.optimizer = self.make_optimizer(lr_schedule)


class NoRate(ValuePolicy):
    def learning_rates(self, rate):
        return {"optimizer": rate}


@pytest.mark.parametrize(
    ("policy_class", "words"),
    [
        (Twice, r"'value\.0\.weight' of Twice is stepped by optimizer and by value_optimizer"),
        (Never, r"'late\.weight' of Never is stepped by no optimizer"),
        (Missing, "Missing has no `value_optimizer`"),
        (NoRate, "learning_rates of NoRate gives rates for optimizer, but its optimizers are optimizer, value_opt"),
    ],
)
def test_what_would_train_wrongly_is_refused_before_training(policy_class, words):
    with pytest.raises(ValueError, match=rf"^[^\n]*{words}[^\n]*\.$"):
        ValueLearner(policy_class, make_env(), dataset=make_store(), device="cpu")


@every_trajectory_case
def test_a_method_may_have_one(case):
    policy = case.make().policy
    assert list(policy.optimizers) == ["optimizer"] and policy.learning_rates(0.5) == {"optimizer": 0.5}
    stepped = [p for group in policy.optimizer.param_groups for p in group["params"]]
    assert len(stepped) == len(list(policy.parameters()))


def test_modules_that_share_networks_are_given_once():
    policy = make(ValuePolicy)
    optimizer = policy.make_optimizer(lambda left: 1.0, policy.value, policy.value[0], policy.body)
    expected = [*policy.value.parameters(), *policy.body.parameters()]
    stepped = optimizer.param_groups[0]["params"]
    assert len(stepped) == len(expected) and all(a is b for a, b in zip(stepped, expected, strict=True))


def test_an_update_steps_all_and_leaves_no_old_gradient():
    policy = make(ValuePolicy)
    algorithm = SimpleNamespace(policy=policy, max_grad_norm=None)
    learner = Learner(algorithm, RandomStreams(0, th.device("cpu")))
    body, value = policy.body[0].weight, policy.value[0].weight
    target = policy.target[0].weight.clone()
    learner.step(body.sum() + value.sum(), {})
    assert body.grad is not None and value.grad is not None
    before = body.detach().clone(), value.detach().clone()
    learner.step(value.sum(), {})
    assert body.grad is None and th.equal(body, before[0]) and not th.equal(value, before[1])
    assert th.equal(policy.target[0].weight, target)


def test_metrics_of_further_optimizers_have_their_name():
    assert metric_of("grad_norm", "optimizer") == "grad_norm"
    assert metric_of("grad_norm", "value_optimizer") == "grad_norm/value_optimizer"


def test_the_hook_follows_each_step(monkeypatch):
    """Offline, in own play and in the updates at its end; it sees the new weights and may draw random numbers."""
    seen = []

    class Hooked(BC):
        def after_update(self):
            seen.append((self._n_updates, weights_of(self), float(th.rand(()))))

    settings = {"learning_starts": 24, "train_freq": 12, "gradient_steps": 4, "batch_size": 8, "device": "cpu"}
    for data in ({"dataset": make_store()}, {"final_gradient_steps": 6}):
        runs = []
        for _ in range(2):
            seen.clear()
            model = Hooked("MlpPolicy", make_env(), **settings, **data, seed=0).learn(48)
            assert [n for n, *_ in seen] == list(range(1, model._n_updates + 1))
            assert all(th.equal(seen[-1][1][name], value) for name, value in weights_of(model).items())
            runs.append([drawn for *_, drawn in seen])
        assert runs[0] == runs[1] and len(set(runs[0])) > 1
