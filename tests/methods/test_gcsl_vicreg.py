"""gcsl_vicreg: who learns what from whom."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.methods.gcsl_vicreg import gcsl_vicreg, terms
from gcrl_zoo.methods.gcsl_vicreg.gcsl_vicreg import DEFAULT_TERMS
from gcrl_zoo.methods.gcsl_vicreg.terms import Branches
from tests.cases.gcsl_vicreg import CASE
from tests.support.case import batches_of, differing, touched, weights_of
from tests.support.envs import make_env, make_store

ALL = dict.fromkeys(DEFAULT_TERMS, 1.0)
WITH_ALL_NETS = {"policy_kwargs": {"n_tokens": 4, "predictor_dim": 8, "forward_arch": [8]}}


def only(*names):
    return {name: float(name in names) for name in DEFAULT_TERMS}


def with_gradients_of(*names, action="discrete", **kwargs):
    """A model after one backward pass of these terms alone."""
    nets = {"policy_kwargs": {"forward_arch": [8]}}
    model = CASE.make(dataset=make_store(action=action), terms=only(*names), **nets, **kwargs).learn(1)
    model.policy.zero_grad(set_to_none=True)
    model.compute_loss(batches_of(model))[0].backward()
    return model


# ------------------------------------------------------------------ what is unlabelled holds no actions


def test_streaming_batches_hold_no_actions(monkeypatch):
    seen = {"unlabelled": [], "labelled": []}
    compute = gcsl_vicreg.GCSLVICReg.compute_loss

    def spy(self, batches):
        for source, batch in batches.items():
            seen[source].append(batch.actions)
        return compute(self, batches)

    monkeypatch.setattr(gcsl_vicreg.GCSLVICReg, "compute_loss", spy)
    for data in ({}, {"dataset": make_store()}, {"stream": make_store(seed=1)}):
        CASE.make(terms=ALL, **WITH_ALL_NETS, **data).learn(60)
    assert len(seen["unlabelled"]) == len(seen["labelled"]) > 60
    assert all(actions is None for actions in seen["unlabelled"])
    assert not any(actions is None for actions in seen["labelled"])


# ------------------------------------------------------------------ who teaches whom


def test_the_default_aligns_what_it_watches_and_learns_what_actions_do():
    assert {source: set(terms) for source, terms in CASE.make()._terms.items()} == {
        "unlabelled": {"align"},
        "labelled": {"inverse"},
    }


def test_inverse_trains_the_goal_given_branch_only(monkeypatch):
    for branch in ("goal_free", "goal_only"):
        monkeypatch.setattr(Branches, branch, property(lambda self: pytest.fail("inverse must not look here")))
    policy = with_gradients_of("inverse").policy
    assert (
        touched(policy.network.slots["state"]) and touched(policy.network.slots["goal"].embed) and touched(policy.head)
    )
    assert policy.network.slots["goal"].null.grad is None, "a missing goal is the goal-free branch"
    assert not touched(policy.network.slots["returns"].embed), "a given return is the goal-free branch"
    assert not touched(policy.expander)


def test_align_moves_the_goal_free_branch_and_not_its_teacher():
    policy = with_gradients_of("align").policy
    assert policy.network.slots["goal"].null.grad.abs().sum() > 0 and touched(policy.network.slots["returns"].embed)
    assert not touched(policy.network.slots["goal"].embed), "a given goal is the teacher"
    assert policy.network.slots["returns"].null.grad is None, "the teacher sees no return"


def test_forward_trains_its_own_model_and_nothing_else():
    policy = with_gradients_of("forward").policy
    assert touched(policy.forward_model)
    assert not touched(policy.network.body) and not touched(policy.head)


@pytest.mark.parametrize("action", ["discrete", "box"])
def test_consistency_moves_the_acting_branch_and_not_the_forward_model(action):
    policy = with_gradients_of("consistency", env=make_env(action=action), action=action).policy
    assert touched(policy.head) and touched(policy.network.slots["returns"].embed) == (
        policy.network.slots["returns"].width > 1
    )
    assert policy.network.slots["goal"].null.grad.abs().sum() > 0, "a missing goal is the goal-free branch"
    assert not touched(policy.forward_model)


def test_a_disturbed_branch_begins_nearby_and_ends_at_the_same_state():
    policy = with_gradients_of("consistency", disturbance=0.5).policy
    assert touched(policy.head)
    pairs = CASE.make(dataset=make_store()).learn(1)._learner.samplers["unlabelled"]
    batch = to_tensors(pairs.sample(np.random.default_rng(0), 2000), policy.device)
    here, nearby = Branches(policy, batch), Branches(policy, batch).disturbed(0.5)
    ways = [each.batch.observations["observation"] for each in (here, nearby)]
    way = (policy.encoder({"observation": ways[1]}) - policy.encoder({"observation": ways[0]})) / policy.change.scale
    assert 0.45 < way.std() < 0.55
    th.testing.assert_close(nearby.next_change, here.next_change - way, atol=1e-4, rtol=1e-4)


class Line(gym.Env):
    """Only its spaces are asked for: what is learned comes from a dataset."""

    observation_space, action_space = spaces.Box(-99, 99, (1,)), spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}


def test_any_action_that_leads_to_the_next_state_is_consistent():
    """Two actions do the same; the inverse model can only tell their mean, which does nothing."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(40):
        actions = rng.choice([-1.0, 1.0], (10, 1)).astype(np.float32) * rng.uniform(0.2, 1, (10, 1)).astype(np.float32)
        places = np.concatenate([[0], np.cumsum(np.abs(actions[:, 0]))]).astype(np.float32)
        episodes.append(Episode({"observation": places[:, None]}, actions, np.ones(10, np.float32), False))
    env = DummyVecEnv([Line])
    errors = {}
    both = {"align": 0.01, "consistency": 1, "forward": 1}
    for name, weights in {"align": {}, "both": both}.items():
        learner = CASE.make(
            env,
            dataset=TrajectoryStore.from_episodes(episodes),
            terms=weights,
            learning_rate=3e-3,
            batch_size=64,
            policy_kwargs={"net_arch": [32], "representation_dim": 16, "forward_arch": [32]},
        ).learn(500)
        batch = learner._learner.samplers["unlabelled"].sample(rng, 200)
        policy, batch = learner.policy, to_tensors(batch, learner.device)
        with th.no_grad():
            action = policy.head.expected(policy.head(Branches(policy, batch).acting))
        moved = (batch.goals["observation"] - batch.observations["observation"]).squeeze(1)
        errors[name] = (action.abs().squeeze(1).mean() - moved.mean()).abs().item()
    assert errors["both"] < 0.15 < 0.4 < errors["align"]


def test_without_vectors_there_is_no_forward_model():
    data = {"dataset": make_store("image"), "policy_kwargs": {"forward_arch": [8]}}
    assert CASE.make(make_env("image"), **data).policy.forward_model is None
    with pytest.raises(ValueError, match="need a forward model, and goals that are vectors"):
        CASE.make(make_env("image"), terms={"consistency": 1}, **data)


def test_vicreg_moves_both_of_its_sides():
    policy = with_gradients_of("vicreg").policy
    assert touched(policy.network.slots["state"].embed) and policy.network.slots["state"].null.grad.abs().sum() > 0
    assert touched(policy.network.slots["goal"].embed) and policy.network.slots["goal"].null.grad.abs().sum() > 0
    assert touched(policy.expander) and not touched(policy.head)


def test_the_goal_free_branch_never_meets_an_action():
    """Without align, the actions of own play cannot make the head imitate them without a goal: no gradient does."""
    model = CASE.make(dataset=make_store(), terms=ALL, **WITH_ALL_NETS).learn(1)
    batches = batches_of(model)
    changed = {**batches, "labelled": batches["labelled"]._replace(actions=batches["labelled"].actions.flip(0))}
    gradients = []
    for each in (batches, changed):
        model.policy.zero_grad(set_to_none=True)
        model.compute_loss(each)[0].backward()
        slots = (model.policy.network.slots["goal"].null, *model.policy.network.slots["returns"].embed.parameters())
        gradients.append([p.grad.clone() for p in slots])
        gradients[-1].append(model.policy.head.linear.weight.grad.clone())
    (*same_a, head_a), (*same_b, head_b) = gradients
    assert not th.equal(head_a, head_b)
    assert all(th.equal(a, b) for a, b in zip(same_a, same_b, strict=True))


def test_alignment_hands_the_teachers_actions_on():
    """Goal-free acting becomes goal-given acting, averaged over goals: with one goal, it is the same."""
    model = CASE.make(dataset=make_store(), learning_rate=0.0).learn(1)
    batch = batches_of(model)["unlabelled"]
    batch = batch._replace(goals={key: value[:1].expand_as(value) for key, value in batch.goals.items()})
    with th.no_grad():
        teacher = model.policy.head(Branches(model.policy, batch).goal_given).softmax(-1)
    optimizer = th.optim.Adam(
        [model.policy.network.slots["goal"].null, *model.policy.network.slots["returns"].embed.parameters()], lr=0.03
    )
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss, _ = terms.align(Branches(model.policy, batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    student = model.policy.head(Branches(model.policy, batch).goal_free).softmax(-1)
    assert losses[-1] < losses[0] / 2
    assert (student - teacher).abs().max() < 0.1


# ------------------------------------------------------------------ terms


@pytest.mark.parametrize("name", list(DEFAULT_TERMS))
def test_a_term_of_weight_zero_is_not_computed(name, monkeypatch):
    def computed(*_):
        raise AssertionError(f"{name} was computed")

    made = name in ("vicreg", "consistency")  # by a function, since they have settings
    monkeypatch.setattr(gcsl_vicreg, *((f"{name}_term", lambda _: computed) if made else (name, computed)))
    CASE.make(dataset=make_store(), terms={**ALL, name: 0}, **WITH_ALL_NETS).learn(3)
    with pytest.raises(AssertionError, match="was computed"):
        CASE.make(dataset=make_store(), terms=only(name), **WITH_ALL_NETS).learn(3)


def test_what_terms_leave_out_keeps_its_weight():
    model = CASE.make(terms={"vicreg": 0})
    weights = {name: weight for terms in model._terms.values() for name, (weight, _) in terms.items()}
    assert weights == {name: weight for name, weight in DEFAULT_TERMS.items() if weight and name != "vicreg"}


def test_weights_weigh():
    weights = {"vicreg": 0.5, "align": 2.0, "consistency": 4.0, "inverse": 3.0, "forward": 5.0}
    model = CASE.make(dataset=make_store(), terms=weights, **WITH_ALL_NETS).learn(1)
    loss, metrics = model.compute_loss(batches_of(model))
    metrics = {name: metric.detach() for name, metric in metrics.items()}
    expected = sum(weight * metrics[name] for name, weight in weights.items())
    assert loss.detach() == pytest.approx(expected.item())
    assert {"vicreg_invariance", "vicreg_variance", "vicreg_covariance"} <= metrics.keys()


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"terms": {"invers": 1}}, ValueError, "'invers'.*inverse"),
        ({"terms": dict.fromkeys(DEFAULT_TERMS, 0)}, ValueError, "nothing to learn"),
        ({"terms": {"predict": 1}}, ValueError, "'predict' needs a predictor.*predictor_dim"),
        ({"terms": {"tokens": 1}}, ValueError, "'tokens' needs tokens.*n_tokens"),
        ({"goal_discount": 1.0}, ValueError, "goal_discount is 1.0"),
        ({"disturbance": -1}, ValueError, "disturbance is -1"),
        ({"unlabelled_first": 2.5}, ValueError, "unlabelled_first is 2.5; give a whole number"),
        ({"phases": {"watch": 3}}, ValueError, "phases is 'watch'; give 'unlabelled' or 'labelled'"),
        ({"phases": {"unlabelled": -1}}, ValueError, "phases: 'unlabelled' is -1"),
        ({"phases": {"unlabelled": 0}}, ValueError, "phases: no source has any updates"),
        (
            {"phases": {"unlabelled": 1}, "terms": only("inverse")},
            ValueError,
            "no term of the unlabelled data has a weight",
        ),
        ({"unlabelled_first": 1, "terms": only("inverse")}, ValueError, "no term of the unlabelled data has a weight"),
        ({"vicreg": {"varance": 1}}, TypeError, "'varance'.*'variance'"),
        ({"top_fraction": 0.0}, ValueError, "fraction"),
        ({"max_horizon": 0}, ValueError, "max_horizon"),
        ({"max_horizon": 2.5}, ValueError, "max_horizon is 2.5; give a whole number"),
        ({"terms": {"align": float("nan")}}, ValueError, "'align' is nan"),
        ({"terms": {"align": float("inf")}}, ValueError, "'align' is inf"),
        ({"terms": {"align": "1e-2"}}, ValueError, "'align' is the text '1e-2' .*write 0.01"),
        ({"vicreg": {"variance": float("nan")}}, ValueError, "vicreg: variance is nan"),
        ({"top_fraction": "1e-1"}, ValueError, "top_fraction is the text"),
        ({"policy_kwargs": {"missing": "zero"}}, ValueError, "'zero'.*'null'.*'noise'"),
        ({"policy_kwargs": {"return_token": "return"}}, ValueError, "'return'.*'return_to_go'.*'episode_return'"),
    ],
)
def test_wrong_settings_are_refused_in_the_constructor(kwargs, error, words):
    with pytest.raises(error, match=words):
        CASE.make(dataset=make_store(), **kwargs)


@pytest.mark.parametrize("data", ["dataset", "stream"])
def test_a_store_that_has_grown_is_read_anew(data):
    """Between two calls of ``learn``, also when only the other store stayed the same."""
    stores = {"dataset": make_store(), "stream": make_store(seed=1, actions=False)}
    model = CASE.make(top_fraction=0.5, **stores).learn(2)
    grown, n_episodes = stores[data], stores[data].n_episodes
    for episode in list(grown.episodes()):
        grown.append(episode)
    model.learn(2)
    unlabelled, labelled = (model._learner.samplers[name].store for name in ("unlabelled", "labelled"))
    expected = (n_episodes, n_episodes) if data == "stream" else (n_episodes / 2, 2 * n_episodes)
    assert (unlabelled.n_episodes, labelled.n_episodes) == expected


def test_only_the_best_are_watched():
    store = make_store(n_episodes=10)
    model = CASE.make(dataset=store, top_fraction=0.2).learn(1)
    best = np.sort(store.returns)[-2:]
    drawn = model._learner.samplers["unlabelled"].sample(np.random.default_rng(0), 100).episode_returns
    assert set(np.round(drawn, 4)) <= set(np.round(best, 4))
    labelled = model._learner.samplers["labelled"].sample(np.random.default_rng(0), 500).episode_returns
    assert len(set(labelled)) > 5


@pytest.mark.parametrize("max_horizon", [1, 3, None])
def test_goals_lie_within_the_horizon(max_horizon):
    model = CASE.make(dataset=make_store(), max_horizon=max_horizon).learn(1)
    for sampler in model._learner.samplers.values():
        horizons = sampler.sample(np.random.default_rng(0), 500).horizons
        assert horizons.min() == 1 and horizons.max() == (max_horizon or 12)


# ------------------------------------------------------------------ who learns when


def test_sources_take_turns():
    phases = {"unlabelled": 3, "labelled": 2}
    model = CASE.make(dataset=make_store(), phases=phases, unlabelled_first=4).learn(1)
    turns = [*model.phase(0), *(source for update in range(4, 14) for source in model.phase(update))]
    assert turns == ["unlabelled", *(["unlabelled"] * 3 + ["labelled"] * 2) * 2]
    assert all(model.phase(update) == ("unlabelled",) for update in range(4))
    assert CASE.make(dataset=make_store()).learn(1).phase(7) is None, "both"


def test_where_goals_are_asked_for_alignment_teaches_far_ones_without_rewards():
    env = make_env("goal")
    data = {"dataset": make_store("goal", rewards=False)}
    model = CASE.make(env, terms=only("align"), **data).learn(1)
    batch = batches_of(model, 500)["unlabelled"]
    assert batch.returns_to_go is None and batch.horizons.max() > 1
    branches = Branches(model.policy, batch)
    assert branches.acting is branches.goal_given and branches.one_step is not branches.goal_given
    model.policy.zero_grad(set_to_none=True)
    model.compute_loss({"unlabelled": batch})[0].backward()
    assert touched(model.policy.network.slots["goal"]) and touched(model.policy.network.body)
    with pytest.raises(ValueError, match="no rewards"):
        CASE.make(env, top_fraction=0.5, **data)


def test_own_play_is_examined_before_anything_is_learned_from_it(monkeypatch):
    """The error on new episodes, of the networks as they were when these were played."""
    seen, heldout_metrics = [], gcsl_vicreg.GCSLVICReg.heldout_metrics

    def spy(self, fresh):
        seen.append((fresh.n_episodes, self._n_updates))
        return heldout_metrics(self, fresh)

    monkeypatch.setattr(gcsl_vicreg.GCSLVICReg, "heldout_metrics", spy)
    model = CASE.make().learn(120)
    rounds = [updates for _, updates in seen]
    assert rounds == sorted(set(rounds)) and rounds[0] == CASE.kwargs["gradient_steps"]
    assert 0 < sum(episodes for episodes, _ in seen) < model.replay_buffer.n_episodes


def test_examining_changes_nothing(monkeypatch):
    looked = weights_of(CASE.make().learn(120))
    monkeypatch.setattr(gcsl_vicreg.GCSLVICReg, "heldout_metrics", lambda *_: {})
    assert not differing(looked, weights_of(CASE.make().learn(120)))
