"""A policy without its algorithm: saved and loaded, traced and exported, it acts as before."""

import copy
import warnings

import numpy as np
import pytest
import torch as th

from gcrl_zoo import BC, DT
from gcrl_zoo.common.window_policy import WindowPolicy
from gcrl_zoo.methods.bc.policies import BCPolicy
from tests.support.case import differing, trajectory_cases
from tests.support.matrix import every_trajectory_case, every_variant, variants

WINDOWS = [
    pytest.param(case, variant, id=f"{case}-{name}")
    for case, name, variant in variants
    if issubclass(case.algorithm.policy_aliases["MlpPolicy"], WindowPolicy)
]


def learned(case, observation="box", action="box", **kwargs):
    """A small agent with statistics and a target, and its environment, of which episodes end early."""
    env = case.env(observation, action, n_envs=3, max_steps=7)
    model = case.make(env, **kwargs).learn(42)
    assert model._n_updates
    return model, env


def assert_same_play(one, other, env, n_steps=12):
    """``other`` is a policy, or a function of the arguments of ``predict``; random numbers are the same."""
    predict = other.predict if hasattr(other, "predict") else other
    observation, starts, state, its_state = env.reset(), np.ones(3, dtype=bool), None, None
    for step in range(n_steps):
        th.manual_seed(step)
        action, state = one.predict(observation, state, starts, deterministic=True)
        th.manual_seed(step)
        same, its_state = predict(observation, its_state, starts, deterministic=True)
        np.testing.assert_allclose(same, action, rtol=0, atol=2e-6)
        observation, _, starts, _ = env.step(action)


def quietly_traced(module, *inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that assertions and sizes are recorded as constants
        return th.jit.trace(module, inputs, strict=False)


@every_variant
def test_save_and_load(case, variant, tmp_path):
    """Every argument of the constructor travels, and so do statistics, target and scale."""
    model, env = learned(case, **variant)
    model.policy.save(tmp_path / "policy.pt")
    loaded = type(model.policy).load(tmp_path / "policy.pt", device="cpu")
    assert not differing(model.policy.state_dict(), loaded.state_dict()) and not loaded.training
    assert loaded.target_return == model.policy.target_return and loaded.device == th.device("cpu")
    assert_same_play(model.policy, loaded, env)


@every_trajectory_case
def test_save_and_load_in_other_spaces(case, tmp_path):
    model, env = learned(case, "goal", "discrete")
    model.policy.save(tmp_path / "policy.pt")
    assert_same_play(model.policy, type(model.policy).load(tmp_path / "policy.pt"), env)
    assert_same_play(model.policy, copy.deepcopy(model.policy), env)


@every_trajectory_case
def test_a_policy_with_other_arguments_is_saved_too(case, tmp_path):
    changed = {"action_head": "bins", "action_head_kwargs": {"n_bins": 5}, "optimizer_class": th.optim.Adam}
    model, env = learned(case, policy_kwargs=changed)
    model.policy.save(tmp_path / "policy.pt")
    loaded = type(model.policy).load(tmp_path / "policy.pt")
    assert loaded.head.n_bins == 5 and type(loaded.optimizer) is th.optim.Adam
    assert_same_play(model.policy, loaded, env)


class Wide(BCPolicy):
    """A subclass of a user's, which says nothing of saving."""

    def __init__(self, *args, width=3, **kwargs):
        super().__init__(*args, **kwargs)
        self.width = width


def test_policies_of_users_need_no_further_code(tmp_path):
    model = BC(Wide, "CartPole-v1", policy_kwargs={"width": 7})
    model.policy.save(tmp_path / "policy.pt")
    assert Wide.load(tmp_path / "policy.pt").width == 7


def test_what_is_no_policy_of_that_class_is_refused_in_one_sentence(tmp_path):
    model = BC("MlpPolicy", "CartPole-v1")
    model.policy.save(tmp_path / "policy.pt")
    model.save(tmp_path / "agent.zip")
    (tmp_path / "text").write_text("no pickle")
    (tmp_path / "empty").touch()
    th.save([1, 2], tmp_path / "list")
    with pytest.raises(ValueError, match=r"^[^\n]*holds a BCPolicy, not a DTPolicy[^\n]*\.$"):
        DT.policy_aliases["MlpPolicy"].load(tmp_path / "policy.pt")
    for other in ("agent.zip", "text", "empty", "list"):
        with pytest.raises(ValueError, match=r"^[^\n]*holds no policy[^\n]*\.$"):
            BCPolicy.load(tmp_path / other)


@every_trajectory_case
def test_forward_and_its_trace_are_predict(case):
    """At the beginning of an episode, for policies with memory."""
    model, env = learned(case, "dict", "box" if case.name in ("bc", "dt") else "discrete")
    policy, observation = model.policy, env.reset()
    expected, _ = policy.predict(observation, deterministic=True)
    tensors, _ = policy.obs_to_tensor(observation)
    for module in (policy, quietly_traced(policy, tensors)):
        np.testing.assert_allclose(module(tensors).detach(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", [case for case in trajectory_cases() if case.name in ("bco", "gcsl_vicreg")], ids=str)
def test_forward_can_be_exported(case):
    model, env = learned(case)
    policy, observation = model.policy, env.reset()
    tensors, _ = policy.obs_to_tensor(observation)
    exported = th.export.export(policy, (tensors,)).module()
    expected, _ = policy.predict(observation, deterministic=True)
    np.testing.assert_allclose(exported(tensors).detach(), expected, rtol=0, atol=2e-6)


def as_predict(policy, step, memory):
    """An exported step under the arguments of ``predict``."""

    def predict(observation, state, starts, deterministic):
        tensors, _ = policy.obs_to_tensor(observation)
        with th.no_grad():
            actions, state = step(tensors, th.as_tensor(starts), memory if state is None else state)
        return actions.numpy(), state

    return predict


@pytest.mark.parametrize(("case", "variant"), WINDOWS)
def test_a_step_with_its_memory_as_tensors_is_predict(case, variant):
    model, env = learned(case, action="discrete" if case.name == "dt_vicreg" else "box", **variant)
    step = model.policy.exportable_step()
    assert_same_play(model.policy, as_predict(model.policy, step, step.initial_memory(3)), env, 20)


@pytest.mark.parametrize(
    ("case", "variant"), [each for each in WINDOWS if each.id in ("dt-banded", "dt_gated-ensemble")]
)
def test_a_trace_of_a_step_is_predict(case, variant):
    model, env = learned(case, **variant)
    step, (tensors, _) = model.policy.exportable_step(), model.policy.obs_to_tensor(env.reset())
    memory = step.initial_memory(3)
    traced = quietly_traced(step, tensors, th.ones(3, dtype=th.bool), memory)
    assert_same_play(model.policy, as_predict(model.policy, traced, memory), env)
