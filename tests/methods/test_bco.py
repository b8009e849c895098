"""bco: who learns what from whom."""

import numpy as np
import optuna
import pytest
import torch as th
import yaml

from gcrl_zoo import BC
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.methods.bco import BCO, search_space
from gcrl_zoo.nets.encoders import OneHotEncoder, VectorEncoder
from gcrl_zoo.nets.inverse import Change, InverseNetwork
from tests.cases.bco import CASE
from tests.common.test_bad_input import refusal
from tests.support.by_hand import HEADS, layers, linear, standardised, surprise
from tests.support.case import batches_of, differing, touched, weights_of
from tests.support.envs import PointEnv, facts, make_env, make_store
from tests.support.throw_away import ROOT


def gradients_of(loss, observation="box", action="discrete", **kwargs):
    """A policy after one backward pass of one of the two losses."""
    env, store = make_env(observation, action), make_store(observation, action)
    model = CASE.make(env, dataset=store, **kwargs).learn(1)
    model.policy.zero_grad(set_to_none=True)
    model.compute_loss(batches_of(model))[1][loss].backward()
    return model.policy


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize(("action", "head"), HEADS)
def test_the_loss_is_that_of_a_hand(action, head):
    store, stream = make_store("box", action), make_store("box", action, seed=1, actions=False)
    env = make_env("box", action)
    model = CASE.make(env, dataset=store, stream=stream, policy_kwargs={"action_head": head}).learn(5)
    batches, policy = batches_of(model), model.policy

    def seen(values):
        return standardised(stream, "observation", values["observation"])

    def infer(batch):
        here, there = seen(batch.observations), seen(batch.goals)
        x = np.concatenate([here, there, np.arcsinh((there - here) / policy.inverse.change.scale.numpy())], axis=1)
        return linear(policy.inverse.head.linear, layers(policy.inverse.network.body, x))

    labelled, unlabelled = batches["labelled"], batches["unlabelled"]
    expected = surprise(head, policy.inverse.head, infer(labelled), labelled.actions, env.action_space).mean()
    chosen = linear(policy.head.linear, layers(policy.body, seen(unlabelled.observations)))
    imitated = policy.head.imitate(*(th.as_tensor(each).float() for each in (chosen, infer(unlabelled)))).mean().item()

    loss, metrics = model.compute_loss(batches)
    assert {name: value.item() for name, value in metrics.items()} == {
        "inverse": pytest.approx(expected, rel=1e-4),
        "clone": pytest.approx(imitated, rel=1e-3),
    }
    assert loss.item() == pytest.approx(metrics["inverse"].item() + metrics["clone"].item())


@pytest.mark.parametrize("observation", ["box", "image", "dict"])
def test_the_inverse_model_learns_from_play_alone(observation):
    policy = gradients_of("inverse", observation)
    assert touched(policy.inverse) and touched(policy.inverse.head)
    assert touched(policy.inverse.encoder) == (observation != "box")
    assert not touched(policy.body) and not touched(policy.head) and not touched(policy.encoder)


@pytest.mark.parametrize("observation", ["box", "image", "dict"])
def test_cloning_leaves_the_teacher_alone(observation):
    policy = gradients_of("clone", observation)
    assert touched(policy.body) and touched(policy.head)
    assert touched(policy.encoder) == (observation != "box")
    assert not touched(policy.inverse) and not touched(policy.inverse.head) and not touched(policy.inverse.encoder)


def test_both_play_with_the_spread_that_the_inverse_model_learned():
    policy = gradients_of("inverse", action="box", policy_kwargs={"action_head": "gaussian"})
    assert policy.head.log_std is policy.inverse.head.log_std and policy.head.log_std.grad.abs().sum() > 0


def test_other_labels_change_the_policy_and_nothing_else():
    """Through a whole training: the optimizer, which both share, does not mix them up."""

    def learned(**labels):
        model = CASE.make(dataset=make_store(), max_grad_norm=None)
        infer = model.policy.inverse.forward
        if labels:
            model.policy.inverse.forward = lambda *pair: (
                infer(*pair) if th.is_grad_enabled() else labels["instead"].expand(16, 5)
            )
        return weights_of(model.learn(20))

    changed = differing(learned(), learned(instead=th.arange(5.0)))
    assert changed and all(path.startswith(("/body.", "/head.")) for path in changed)


# ------------------------------------------------------------------ what is unlabelled


def test_batches_of_what_is_watched_hold_no_actions(monkeypatch):
    seen = {"unlabelled": [], "labelled": []}
    compute = BCO.compute_loss

    def spy(self, batches):
        for source, batch in batches.items():
            seen[source].append(batch.actions)
        return compute(self, batches)

    monkeypatch.setattr(BCO, "compute_loss", spy)
    for data in ({}, {"dataset": make_store()}, {"stream": make_store(seed=1)}):
        CASE.make(**data).learn(60)
    assert len(seen["unlabelled"]) == len(seen["labelled"]) > 60
    assert all(actions is None for actions in seen["unlabelled"])
    assert not any(actions is None for actions in seen["labelled"])


def test_rewards_are_needed_only_to_choose():
    poor = {"dataset": make_store(rewards=False), "stream": make_store(seed=1, actions=False, rewards=False)}
    rich = {"dataset": make_store(), "stream": make_store(seed=1)}
    a, b = (weights_of(CASE.make(**data).learn(20)) for data in (poor, rich))
    assert {path for path in differing(a, b)} <= {"/target_return", "/return_scale"}
    for name, store in poor.items():
        data = {**rich, name: store}
        make = lambda: CASE.make(top_fraction=0.5, **data)  # noqa: B023, E731
        refusal(ValueError, make, f"{name} 'test play'", "no rewards", "set top_fraction to 1")


def test_own_play_needs_no_rewards_to_watch_others(tmp_path):
    make_store(rewards=False).save(tmp_path / "buffer.pkl")
    model = CASE.make(stream=make_store(seed=1, actions=False, rewards=False))
    model.load_replay_buffer(tmp_path / "buffer.pkl")
    assert model.learn(60)._n_updates > 0


def test_only_the_best_are_watched_and_all_is_played():
    store = make_store(n_episodes=10)
    model = CASE.make(dataset=store, top_fraction=0.2).learn(1)
    unlabelled, labelled = (
        batches_of(model, 500)[name].episode_returns.unique() for name in ("unlabelled", "labelled")
    )
    np.testing.assert_allclose(unlabelled, np.sort(store.returns)[-2:], rtol=1e-6)
    assert len(labelled) > 5


def test_pairs_are_one_step_apart_and_hold_all_facts():
    model = CASE.make(make_env("goal"), dataset=make_store("goal")).learn(1)
    for batch in batches_of(model, 200).values():
        assert (batch.horizons == 1).all()
        assert batch.goals.keys() == batch.observations.keys() == {"observation", "achieved_goal"}
        moves = (batch.goals["observation"] - batch.observations["observation"]).norm(dim=1)
        assert moves.max() < 0.3


def always(action, observation, n_episodes=20):
    """Somebody who does one thing, far from all walls; nobody tells what it is."""
    env, episodes = PointEnv(observation, "box"), []
    for start in np.random.default_rng(0).uniform(-0.4, 0.4, (n_episodes, 2)):
        env.reset(seed=0)
        env.point = start
        seen = [env.observe(), *(env.step(action)[0] for _ in range(3))]
        episodes.append(Episode(facts(seen), None, None))
    return TrajectoryStore.from_episodes(episodes)


@pytest.mark.parametrize("observation", ["box", "dict"])
def test_ways_are_scaled_by_what_is_watched(observation):
    data = {"dataset": make_store(observation), "stream": make_store(observation, seed=1, actions=False)}
    model = CASE.make(make_env(observation), **data).learn(1)
    unlabelled = batches_of(model, 3000)["unlabelled"]
    change = model.policy.inverse.change(unlabelled.observations, unlabelled.goals)
    np.testing.assert_allclose(change.sinh().std(0), np.ones(change.shape[1]), rtol=0.25)
    assert change.shape[1] >= 2


@pytest.mark.parametrize("observation", ["box", "goal"])
def test_the_actions_of_others_are_found_and_cloned(observation):
    action = np.float32([0.6, -0.6])  # random play does (-0.5, 1) in the mean
    play, stream = make_store(observation, "box", n_episodes=300, length=3), always(action, observation)
    settings = {"batch_size": 64, "learning_rate": 3e-3, "policy_kwargs": {"net_arch": [64], "inverse_arch": [64]}}
    model = CASE.make(make_env(observation, "box"), dataset=play, stream=stream, **settings).learn(400)
    batch, policy = batches_of(model)["unlabelled"], model.policy
    with th.no_grad():
        told = policy.inverse.head.act(policy.inverse(batch.observations, batch.goals))
        done = policy.head.act(policy.respond(Inputs(state=batch.observations)))
    assert all((each - th.as_tensor(action)).abs().mean() < 0.3 for each in (told, done))


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize("name", ["net_arch", "inverse_arch"])
@pytest.mark.parametrize("widths", [[], 256, None])
def test_no_hidden_layers(name, widths):
    refusal(ValueError, lambda: CASE.make(policy_kwargs={name: widths}), name, "[256, 256]")


def test_what_a_search_tries_fits_data_without_rewards():
    for seed in range(3):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()
        CASE.make(dataset=make_store(rewards=False), **search_space(trial))


def test_hopper_is_learned_as_gcsl_vicreg_learns_it():
    """The baseline gets what the method gets; what differs is said here."""
    ours, theirs = (
        yaml.safe_load((ROOT / "hyperparams" / f"{name}.yml").read_text())[block]
        for name, block in {"bco": "Hopper-v5 with stream", "gcsl_vicreg": "Hopper-v5"}.items()
    )
    same = ours.keys() - {"top_fraction", "policy_kwargs"}
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["top_fraction"] == 1


# ------------------------------------------------------------------ nets


def steps(n=1000, seed=0):
    """States far from zero, and what came one small step later; one dimension never moves."""
    rng = np.random.default_rng(seed)
    states = th.as_tensor(rng.normal([50, 0, 3], [10, 1, 0], (n, 3)), dtype=th.float32)
    moves = th.as_tensor(rng.normal(0, [0.1, 0.01, 0], (n, 3)), dtype=th.float32)
    return {"place": states, "kind": th.zeros(n, dtype=th.long)}, {"place": states + moves, "kind": th.ones(n)}


def encoders():
    place = VectorEncoder((3,))
    place.fit(th.tensor([50.0, 0.0, 3.0]), th.tensor([10.0, 1.0, 0.0]))
    return {"place": place, "kind": OneHotEncoder([2], [0])}


def test_changes_come_out_alike_however_small_they_are():
    change, (states, successors) = Change(encoders()), steps()
    assert change(states, successors).std(0).max() < 0.02
    change.fit(states, successors)
    ways = change(states, successors)
    assert ways.shape == (1000, 3) and change.features_dim == 3 and not ways.requires_grad
    np.testing.assert_allclose(ways.sinh().std(0), [1, 1, 0], atol=1e-5)
    np.testing.assert_array_equal(ways[:, 2], 0)
    np.testing.assert_allclose(change(successors, states), -ways, rtol=1e-6)


def test_far_goals_count_by_their_logarithm():
    change, (states, successors) = Change(encoders()), steps()
    change.fit(states, successors)
    near, far = (change(states, {"place": states["place"] + th.tensor([way, 0, 0])})[:, 0] for way in (0.01, 1e4))
    np.testing.assert_allclose(near, 0.1, rtol=0.1)
    np.testing.assert_allclose(far, np.log(2e5), rtol=0.1)


def test_a_scale_travels_with_the_weights():
    (change, other), pairs = (Change(encoders()), Change(encoders())), steps()
    change.fit(*pairs)
    other.load_state_dict(change.state_dict())
    assert th.equal(change(*pairs), other(*pairs)) and not [*change.parameters()]


@pytest.mark.parametrize("kept", [{}, {"kind": OneHotEncoder([2], [0])}])
def test_where_nothing_is_a_vector_there_is_no_change(kept):
    change, (states, successors) = Change(kept), steps(7)
    change.fit(states, successors)
    assert change.features_dim == 0 and change(states, successors).shape == (7, 0)


def test_an_inverse_model_reads_all_three():
    model, rng = InverseNetwork(4, 2, [8, 6]), th.Generator().manual_seed(0)
    inputs = [th.randn(5, width, generator=rng, requires_grad=True) for width in (4, 4, 2)]
    hidden = model(*inputs)
    assert hidden.shape == (5, model.features_dim) == (5, 6) and hidden.min() >= 0
    hidden.sum().backward()
    assert all(each.grad.abs().sum() > 0 for each in inputs)
    assert InverseNetwork(4, 0, [8])(*inputs[:2], th.zeros(5, 0)).shape == (5, 8)
    assert any(isinstance(layer, th.nn.LayerNorm) for layer in InverseNetwork(4, 2, [8], layer_norm=True).body)
    refusal(ValueError, lambda: InverseNetwork(4, 2, []), "[256, 256]")


def test_the_policy_acts_as_behaviour_cloning_does():
    """Same net and same statistics: what is compared is where the labels come from."""
    ours = CASE.make(dataset=make_store(), policy_kwargs={"net_arch": [16]}).learn(1).policy
    theirs = BC("MlpPolicy", make_env(), dataset=make_store(), device="cpu", policy_kwargs={"net_arch": [16]}).learn(1)
    shapes = {name: value.shape for name, value in theirs.policy.state_dict().items()}
    assert shapes.items() <= {name: value.shape for name, value in ours.state_dict().items()}.items()
