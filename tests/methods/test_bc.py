"""bc: what is cloned, and how."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
import yaml

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.methods.bc import search_space
from tests.cases.bc import CASE
from tests.common.test_bad_input import refusal
from tests.support.by_hand import HEADS, batch_of, layers, linear, standardised, surprise
from tests.support.case import differing, weights_of
from tests.support.envs import make_env, make_store
from tests.support.throw_away import ROOT


@pytest.mark.parametrize(("action", "head"), HEADS)
def test_the_loss_is_that_of_a_hand(action, head):
    store = make_store("box", action)
    env = make_env("box", action)
    model = CASE.make(env, dataset=store, policy_kwargs={"action_head": head}).learn(5)
    batch, policy = batch_of(model), model.policy
    x = layers(policy.body, standardised(store, "observation", batch.observations["observation"]))
    expected = surprise(head, policy.head, linear(policy.head.linear, x), batch.actions, env.action_space).mean()
    loss, metrics = model.compute_loss({"labelled": batch})
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert metrics == {"nll": loss}


def told(returns, seed=0):
    """An episode per return; its observations are drawn for it alone."""
    rng = np.random.default_rng(seed)
    episodes = [
        Episode({"observation": rng.uniform(-1, 1, (6, 2))}, rng.integers(2, 7, 5), np.full(5, each / 5))
        for each in returns
    ]
    return TrajectoryStore.from_episodes(episodes, name="told")


RETURNS = [3.0, -5.0, 8.0, 1.0, 8.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("fraction", "chosen"), [(0.01, {4}), (2 / 7, {2, 4}), (0.3, {0, 2, 4}), (0.5, {0, 2, 4, 6}), (1.0, set(range(7)))]
)
def test_only_the_best_episodes_are_cloned(fraction, chosen):
    store = told(RETURNS)
    model = CASE.make(dataset=store, top_fraction=fraction).learn(1)
    batch = model._learner.samplers["labelled"].sample(np.random.default_rng(0), 2000)
    places = {tuple(step): i for i, each in enumerate(store.episodes()) for step in each.observations["observation"]}
    assert {places[tuple(step)] for step in batch.observations["observation"]} == chosen


def test_what_is_not_chosen_changes_nothing_but_the_scale_of_observations():
    """The best half of a store is learned from as a store of its own."""

    def learned(store, fraction):
        model = CASE.make(dataset=store, top_fraction=fraction)
        model.fit_statistics = lambda unlabelled: None
        return weights_of(model.learn(40))

    store = told(RETURNS)
    best = TrajectoryStore.from_episodes([store.episode(i) for i in (0, 2, 4, 6)])
    assert not differing(learned(store, 0.5), learned(best, 1.0))
    assert differing(learned(store, 0.5), learned(store, 1.0))


def test_own_play_is_chosen_from_anew_as_it_grows():
    model = CASE.make(top_fraction=0.25).learn(60)
    few = model._learner.samplers["labelled"].store.n_episodes
    model.learn(200, reset_num_timesteps=False)
    model.train(1)
    many, own = model._learner.samplers["labelled"].store, model.replay_buffer
    assert many.n_episodes > few and many.n_episodes == -(-own.n_episodes // 4)
    np.testing.assert_array_equal(np.sort(many.returns), np.sort(own.returns)[-many.n_episodes :])


def test_rewards_are_needed_only_to_choose():
    poor = make_store(rewards=False)
    assert not differing(weights(poor), weights(make_store()))
    for own_play in (False, True):
        make = lambda: CASE.make(dataset=poor, top_fraction=0.5, own_play=own_play)  # noqa: B023, E731
        refusal(ValueError, make, "dataset 'test play'", "no rewards", "set top_fraction to 1")


def test_a_buffer_without_rewards_has_no_best_episodes(tmp_path):
    make_store(rewards=False).save(tmp_path / "buffer.pkl")
    load = lambda: CASE.make(top_fraction=0.5).load_replay_buffer(tmp_path / "buffer.pkl")  # noqa: E731
    refusal(ValueError, load, "no rewards", "set top_fraction to 1")


def test_what_a_search_tries_fits_data_without_rewards():
    for seed in range(3):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()
        CASE.make(dataset=make_store(rewards=False), **search_space(trial))


def test_a_dataset_without_rewards_has_a_block_of_its_own():
    block = yaml.safe_load((ROOT / "hyperparams" / "bc.yml").read_text())["pointmaze-medium-v0"]
    assert block["dataset"].startswith("pointmaze-medium-") and block["top_fraction"] == 1


def weights(store):
    """What is learned, the scales of returns apart."""
    told = weights_of(CASE.make(dataset=store).learn(20))
    return {name: value for name, value in told.items() if name not in ("target_return", "return_scale")}


@pytest.mark.parametrize("net_arch", [[], 256, None])
def test_no_hidden_layers(net_arch):
    refusal(ValueError, lambda: CASE.make(policy_kwargs={"net_arch": net_arch}), "net_arch", "[256, 256]")


def test_episodes_that_end_otherwise_are_the_same_to_it():
    store = make_store()
    turned = TrajectoryStore.from_episodes([replace(each, terminated=not each.terminated) for each in store.episodes()])
    assert not differing(weights(store), weights(turned))
