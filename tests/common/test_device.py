"""A gradient step needs nothing from the CPU and waits for nothing."""

from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from gcrl_zoo.common.augmentation import RandomShift
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.learner import Learner
from gcrl_zoo.data.samplers import StepBatch
from tests.support.case import data_of, trajectory_cases
from tests.support.envs import ACTIONS, OBSERVATIONS
from tests.support.matrix import every_trajectory_case, every_variant
from tests.support.meta_device import META, LeftTheDevice, OnDevice, on_device

HEADS = ("deterministic", "gaussian", "bins")


def take_steps(case, observation="box", action="discrete", plant=None, **kwargs):
    """Two updates, from a batch on the device to the weights."""
    env = case.env(observation, action)
    source = "dataset" if "dataset" in case.sources else "own play"
    model = case.make(env, **data_of(source, observation, action), **kwargs).learn(1 if source == "dataset" else 60)
    samplers, rng = model._learner.samplers, model._run.streams.numpy
    batches = {
        name: to_tensors(samplers[name].sample(rng, 16), META) for name in model.phase(model._n_updates) or samplers
    }
    model.policy.set_training_mode(True)
    with on_device(model.policy):
        learner = Learner(model, model._run.streams)
        for _ in range(2):
            loss, metrics = model.compute_loss(batches)
            if plant is not None:
                loss = plant(loss)
            assert loss.device == META and loss.shape == ()
            learner.step(loss, metrics)
            model.after_update()
    for optimizer in model.policy.optimizers.values():
        assert [state["exp_avg"] for state in optimizer.state.values()], "the optimizer did not step"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
@every_trajectory_case
def test_a_step_stays_on_the_device(case, observation, action):
    take_steps(case, observation, action)


@every_variant
def test_so_does_every_variant(case, variant):
    take_steps(case, **variant)


@every_trajectory_case
@pytest.mark.parametrize("head", HEADS)
def test_so_does_every_head(case, head):
    take_steps(case, action="box", policy_kwargs={"action_head": head})


def test_random_shifts_stay_on_the_device():
    facts = spaces.Dict({"image": spaces.Box(0, 255, (3, 36, 40), np.uint8)})
    images = th.empty(4, 2, 3, 36, 40, dtype=th.uint8, device=META)  # of windows
    with OnDevice():
        shifted = RandomShift(facts, 4)(StepBatch({"image": images}, None))
    assert shifted.observations["image"].shape == images.shape


@pytest.mark.parametrize("action", [*ACTIONS, *HEADS])
@every_trajectory_case
def test_acting_stays_on_the_device_until_the_action_is_there(case, action):
    head = {"policy_kwargs": {"action_head": action}} if action in HEADS else {}
    env = case.env("goal", "discrete" if action == "discrete" else "box", n_envs=3)
    policy = case.make(env, **head).policy
    policy.set_training_mode(False)
    observation = to_tensors(env.reset(), META)
    with th.no_grad(), on_device(policy):
        for deterministic in (True, False):
            assert len(policy._predict(observation, deterministic)) == 3


class ScaledBackward(th.autograd.Function):
    """Uses a CPU tensor when gradients are computed."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * th.tensor(2.0)


PLANTED = {
    "in backward": ScaledBackward.apply,
    "0-dim tensor": lambda x: x * th.tensor(2.0),
    "made on the CPU": lambda x: x * float(len(th.ones(3))),
    "item": lambda x: x * x.item(),
    "truth": lambda x: x * 2 if x > 0 else x,
    "nonzero": lambda x: x + x.reshape(1).nonzero().sum(),
    "mask": lambda x: x.reshape(1)[x.reshape(1) > 0].sum(),
    "masked_select": lambda x: x.reshape(1).masked_select(x.reshape(1) > 0).sum(),
    "to the CPU": lambda x: x.cpu(),
    "index from the CPU": lambda x: x.reshape(1)[th.tensor([0])].sum(),
    "equal": lambda x: x * th.equal(x, x),
    "unique": lambda x: x.reshape(1).unique().sum(),
    "isnan": lambda x: x * 2 if th.isnan(x).any() else x,
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=list(PLANTED))
def test_the_watch_catches_what_it_should(plant):
    with pytest.raises(LeftTheDevice):
        take_steps(trajectory_cases()[0], plant=plant)


def test_the_watch_lets_ordinary_work_pass():
    with OnDevice():
        x = th.ones(3, 4, device=META)
        index = th.zeros(2, dtype=th.long, device=META)
        assert (x[index] * 2.0 + 1).sum().shape == ()


def test_the_watch_sees_the_optimizer():
    """AdamW as it is by default counts its steps on the CPU."""
    net = th.nn.Linear(2, 1, device=META)
    for capturable in (False, True):
        with mock.patch("torch.optim.adam._get_capturable_supported_devices", lambda *_, **__: ["meta"]):
            optimizer = th.optim.AdamW(net.parameters(), capturable=capturable, foreach=False)
            with OnDevice(), nullcontext() if capturable else pytest.raises(LeftTheDevice):
                net(th.ones(1, 2, device=META)).sum().backward()
                optimizer.step()


@every_trajectory_case
def test_the_default_optimizer_counts_on_the_device(case):
    """What stands in for it above is fair: fused AdamW, too, keeps its count of steps beside the weights."""
    assert case.make().policy.optimizer.defaults["fused"] is True
