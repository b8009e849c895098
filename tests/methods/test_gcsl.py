"""gcsl: what is taken to have been the goal, what counts how much, and what acting asks for."""

from dataclasses import replace

import numpy as np
import pytest
import torch as th

from gcrl_zoo.data import TrajectoryStore
from gcrl_zoo.wrappers import FixedGoal
from tests.cases.gcsl import CASE
from tests.common.test_bad_input import refusal
from tests.support.by_hand import HEADS, batch_of, layers, linear, standardised, surprise
from tests.support.case import differing, weights_of
from tests.support.corridor import make_corridor, walked
from tests.support.envs import PointEnv, make_env, make_store

STRATEGIES = ("future", "final", "episode", "geometric", "random")
HORIZON = {"policy_kwargs": {"horizon": True}}


def inside(policy, store, batch):
    """(B, D) what the heads see, by hand."""
    seen = [batch.observations[key] for key in policy.roles.state_keys]
    columns = [standardised(store, key, each) for key, each in zip(policy.roles.state_keys, seen, strict=True)]
    columns.append(standardised(store, "achieved_goal", batch.goals["achieved_goal"]))
    if policy.horizon:
        columns.append(np.log1p(batch.horizons.numpy())[:, None])
    return layers(policy.body, np.concatenate(columns, axis=1))


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize("horizon", [False, True])
@pytest.mark.parametrize(("action", "head"), HEADS)
def test_the_loss_is_that_of_a_hand(action, head, horizon):
    store, env = make_store("goal", action), make_env("goal", action)
    model = CASE.make(env, dataset=store, policy_kwargs={"action_head": head, "horizon": horizon}).learn(5)
    batch, policy = batch_of(model), model.policy
    params = linear(policy.head.linear, inside(policy, store, batch))
    expected = surprise(head, policy.head, params, batch.actions, env.action_space).mean()
    loss, metrics = model.compute_loss({"labelled": batch})
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert metrics == {"nll": loss}


def penalised(strategy="episode", penalty=1.5, expectile=0.2, **kwargs):
    """A model, its data and a batch, pairs whose goal lies behind included; some of its pairs are late."""
    store = make_store("goal")
    settings = {"goal_strategy": strategy, "detour_penalty": penalty, "expectile": expectile, "learning_rate": 1e-2}
    model = CASE.make(make_env("goal"), dataset=store, **settings, **kwargs).learn(60)
    return model, store, batch_of(model)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_detours_count_as_much_as_a_hand_says(strategy):
    model, store, batch = penalised(strategy)
    policy, horizons = model.policy, batch.horizons.numpy()
    z = inside(policy, store, batch)
    nll = surprise("auto", policy.head, linear(policy.head.linear, z), batch.actions, model.action_space)
    delay = horizons / policy.mean_horizon.item() - linear(policy.time_to_goal, z)[:, 0]
    ahead = horizons > 0
    weights = np.where(ahead, np.exp(-1.5 * np.maximum(delay, 0)), 1)
    errors = np.where(delay > 0, 0.2, 0.8) * ahead * delay**2
    assert ahead.all() is np.bool_(strategy not in ("episode", "random")) and (weights < 1).any()
    loss, metrics = model.compute_loss({"labelled": batch})
    expected = {
        "nll": (weights * nll).sum() / weights.sum(),
        "time_to_goal": errors.mean(),
        "weight": weights.mean(),
    }
    assert {name: metric.item() for name, metric in metrics.items()} == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(expected["nll"] + expected["time_to_goal"], rel=1e-4)


def test_weights_are_no_way_to_a_lower_loss():
    """The second head learns from its own error only, whatever the weights would gain."""
    model, store, batch = penalised()
    policy = model.policy
    policy.zero_grad(set_to_none=True)
    model.compute_loss({"labelled": batch})[0].backward()
    z = inside(policy, store, batch)
    delay = batch.horizons.numpy() / policy.mean_horizon.item() - linear(policy.time_to_goal, z)[:, 0]
    slope = -2 * np.where(delay > 0, 0.2, 0.8) * (batch.horizons.numpy() > 0) * delay / len(delay)
    np.testing.assert_allclose(policy.time_to_goal.weight.grad[0], slope @ z, rtol=1e-3, atol=1e-6)
    assert policy.time_to_goal.bias.grad.item() == pytest.approx(slope.sum(), rel=1e-3)


def test_without_a_penalty_nobody_asks_how_long_it_takes():
    model = CASE.make(make_env("goal"), dataset=make_store("goal"), detour_penalty=0).learn(5)
    model.policy.zero_grad(set_to_none=True)
    model.compute_loss({"labelled": batch_of(model)})[0].backward()
    assert model.policy.time_to_goal.weight.grad is None


def test_the_second_head_learns_how_long_the_fastest_take():
    """From the corridor's start half of the walkers take 4 steps to the room, half of them 34."""
    settings = {"learning_rate": 3e-3, "batch_size": 64, "goal_strategy": "final", "detour_penalty": 2.0}
    model = CASE.make(make_corridor(), dataset=walked(), expectile=0.02, **settings).learn(600)
    policy = model.policy
    observation = {key: th.as_tensor(value) for key, value in make_corridor().reset().items()}
    with th.no_grad():
        told = policy.time_to_goal(policy.represent(policy.roles.inputs(observation))) * policy.mean_horizon
    assert 2 < told.item() < 8
    lengths = np.array([4, 34])
    mean = (lengths * (lengths + 1) / 2).sum() / lengths.sum()  # over all steps
    assert policy.mean_horizon.item() == pytest.approx(mean, rel=0.05)


# ------------------------------------------------------------------ hindsight


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_reaches_the_sampler(strategy):
    limit = 2 if strategy in ("future", "geometric") else None
    settings = {"goal_strategy": strategy, "max_horizon": limit, "discount": 0.5}
    sampler = CASE.make(make_env("goal"), dataset=make_store("goal"), **settings).learn(1)._learner.samplers["labelled"]
    assert (sampler.strategy, sampler.max_horizon, sampler.discount) == (strategy, limit, 0.5)
    assert tuple(sampler.goal_keys) == ("achieved_goal",)
    batch = sampler.sample(np.random.default_rng(0), 500)
    assert list(batch.goals) == ["achieved_goal"] and batch.horizons.max() <= (limit or 12)


@pytest.mark.parametrize("given", ["garbage", "none"])
@pytest.mark.parametrize("variant", CASE.variants)
def test_rewards_are_never_read(given, variant):
    store = make_store()
    rewards = np.random.default_rng(0).uniform(-1e6, 1e6, 12)
    changed = [
        replace(each, rewards=rewards[: each.length] if given == "garbage" else None) for each in store.episodes()
    ]
    clean, dirty = (
        weights_of(CASE.make(dataset=each, **CASE.variants[variant]).learn(40))
        for each in (store, TrajectoryStore.from_episodes(changed))
    )
    assert set(differing(clean, dirty)) <= {"/target_return", "/return_scale"}


def test_what_was_commanded_is_not_learned_from():
    """A dataset may say what its agent was asked for; that it did not get there is no secret."""
    store = make_store("goal")
    rng = np.random.default_rng(0)

    def commanded(each):
        wanted = np.tile(rng.uniform(-1, 1, 2), (each.length + 1, 1))
        return replace(each, observations={**each.observations, "desired_goal": wanted})

    told = TrajectoryStore.from_episodes(map(commanded, store.episodes()))
    plain, asked = (weights_of(CASE.make(make_env("goal"), dataset=each).learn(40)) for each in (store, told))
    assert not differing(plain, asked)


def test_goals_that_a_dataset_lacks_are_those_of_the_wrapper():
    """Learning from them is learning from a dataset that has them."""
    store = make_store()
    with_goals = [
        replace(each, observations={**each.observations, "achieved_goal": each.observations["observation"][:, 1:]})
        for each in store.episodes()
    ]

    def learned(store):
        env = FixedGoal(PointEnv(), goal=[0.5], indices=[1], threshold=0.1)
        return weights_of(CASE.make(env, dataset=store).learn(40))

    assert not differing(learned(store), learned(TrajectoryStore.from_episodes(with_goals)))


# ------------------------------------------------------------------ acting


def logits(model, observation):
    """What the head is told, for the commands that acting would give."""
    observation = {key: th.as_tensor(value) for key, value in observation.items()}
    with th.no_grad():
        return model.policy.head(model.policy.represent(model.policy.command(model.policy.roles.inputs(observation))))


def test_it_acts_towards_the_goal():
    env = make_env("goal", n_envs=4)
    model, observation = CASE.make(env).learn(120), env.reset()
    plain = logits(model, observation)
    assert not th.allclose(plain, logits(model, {**observation, "desired_goal": -observation["desired_goal"]}))
    model.policy.set_target_return(50.0)
    assert th.equal(plain, logits(model, observation))


@pytest.mark.parametrize("seen", [True, False])
def test_the_horizon_changes_what_is_done_where_it_is_seen(seen):
    env = make_env("goal", n_envs=4)
    model, observation = CASE.make(env, policy_kwargs={"horizon": seen}).learn(120), env.reset()
    near = logits(model, observation)
    model.policy.target_horizon.fill_(10)
    assert th.allclose(near, logits(model, observation)) is not seen


def test_acting_asks_for_the_target_horizon(monkeypatch):
    env = make_env("goal", n_envs=4)
    model = CASE.make(env, target_horizon=7, dataset=make_store("goal"), **HORIZON).learn(5)
    heard, represent = [], model.policy.represent
    monkeypatch.setattr(model.policy, "represent", lambda inputs: heard.append(inputs.horizon) or represent(inputs))
    model.predict(env.reset())
    assert [each.tolist() for each in heard] == [[[7.0]] * 4]


def test_a_target_horizon_given_to_load_is_asked_for(tmp_path):
    CASE.make(target_horizon=7, dataset=make_store(), **HORIZON).learn(5).save(tmp_path / "agent")
    assert CASE.algorithm.load(tmp_path / "agent").policy.target_horizon == 7
    loaded = CASE.algorithm.load(tmp_path / "agent", target_horizon=3, env=CASE.env(), dataset=make_store())
    assert loaded.policy.target_horizon == 3
    assert loaded.learn(5).policy.target_horizon == 3


# ------------------------------------------------------------------ what cannot be


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"goal_strategy": "futur"}, ("'futur'", "'future', 'final', 'episode', 'geometric' or 'random'")),
        ({"goal_strategy": None}, ("None", "future")),
        ({"goal_strategy": "final", "max_horizon": 5}, ("'final'", "max_horizon")),
        ({"goal_strategy": "episode", "max_horizon": 5}, ("'episode'", "max_horizon")),
        ({"goal_strategy": "random", "max_horizon": 5}, ("'random'", "max_horizon")),
        ({"max_horizon": 0}, ("max_horizon", "0")),
        ({"max_horizon": 2.5}, ("max_horizon", "whole")),
        ({"max_horizon": "5"}, ("max_horizon", "text")),
        ({"discount": 1.0}, ("discount", "[0, 1)")),
        ({"discount": -0.1}, ("discount", "[0, 1)")),
        ({"discount": "9e-1"}, ("discount", "text")),
        ({"discount": None}, ("discount", "None")),
        ({"expectile": 0}, ("expectile", "(0, 1]")),
        ({"expectile": 1.5}, ("expectile", "(0, 1]")),
        ({"expectile": None}, ("expectile", "(0, 1]")),
        ({"detour_penalty": -1}, ("detour_penalty", "at least 0")),
        ({"detour_penalty": None}, ("detour_penalty", "None")),
        ({"detour_penalty": np.nan}, ("detour_penalty", "at least 0")),
        ({"target_horizon": 0}, ("target_horizon", "at least 1")),
        ({"target_horizon": "soon"}, ("target_horizon", "at least 1")),
    ],
    ids=str,
)
def test_settings_that_cannot_be(settings, words, tmp_path):
    refusal(ValueError, lambda: CASE.make(**settings), *words)
    CASE.make().save(tmp_path / "agent")
    refusal(ValueError, lambda: CASE.algorithm.load(tmp_path / "agent", **settings), *words)


def test_a_penalty_beside_the_horizon():
    """What takes the horizon for an input would predict it perfectly, and nothing would ever come late."""
    settings = {"detour_penalty": 1.0, "policy_kwargs": {"horizon": True}}
    refusal(ValueError, lambda: CASE.make(**settings), "`horizon`", "detour_penalty (1.0)")


def test_an_environment_that_asks_for_no_goal(tmp_path):
    advice = {"box": "gcrl_zoo.wrappers.FixedGoal", "dict": "gcrl_zoo.wrappers.FixedGoal", "image": "DatasetGoal"}
    for kind, wrapper in advice.items():
        refusal(ValueError, lambda kind=kind: CASE.make(make_env(kind)), "GCSL", "goals", wrapper)


def test_a_dataset_without_goals_where_no_wrapper_knows_them():
    refusal(ValueError, lambda: CASE.make(make_env("goal"), dataset=make_store()), "dataset", "'achieved_goal'")


@pytest.mark.parametrize("broken", ["other shape", "no such key"])
def test_a_dataset_of_another_environment_is_told_apart_before_a_wrapper_reads_it(broken):
    def broken_one(each):
        (seen,) = each.observations.values()
        other = {"observation": seen[:, :1]} if broken == "other shape" else {"elsewhere": seen}
        return replace(each, observations=other)

    store = TrajectoryStore.from_episodes(map(broken_one, make_store().episodes()), name="theirs")
    refusal(ValueError, lambda: CASE.make(dataset=store), "dataset", "'theirs'", "'observation'", "(2,)")


def test_a_replay_buffer_without_goals(tmp_path):
    make_store().save(tmp_path / "buffer.pkl")
    refusal(ValueError, lambda: CASE.make().load_replay_buffer(tmp_path / "buffer.pkl"), "'achieved_goal'")
