"""video_vicreg: what the transformer sees in video and in own play, and which term trains what."""

import copy

import numpy as np
import pytest
import torch as th

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.data import TrajectoryStore
from gcrl_zoo.data.windows import WindowIndex
from gcrl_zoo.losses.vicreg import VICRegLoss
from gcrl_zoo.methods.video_vicreg.layout import TokenLayout
from gcrl_zoo.methods.video_vicreg.video_vicreg import DEFAULT_TERMS
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.hyperparams import base_blocks, compose, read_blocks
from tests.cases.video_vicreg import CASE
from tests.support.case import batches_of, touched
from tests.support.envs import make_store

K = CASE.kwargs["policy_kwargs"]["context_length"]
METHOD = discover()["video_vicreg"]
#: What the presets of the notes set for the policy; the sizes are those of the case.
NOTES = [f"exp{number}" for number in range(1, 6)]
PRESETS = {name: compose(METHOD, METHOD.presets[name], "Hopper-v5")[1] for name in NOTES}
SIZES = ("embed_dim", "n_layers", "context_length", "expander_dim", "predictor_dim")
TOKENS = [
    pytest.param({}, id="video only"),
    pytest.param({"action_tokens": True}, id="actions"),
    pytest.param({"action_tokens": True, "modality_token": True, "max_timesteps": 50}, id="modality"),
    pytest.param({"action_tokens": True, "vicreg_on": "tokens"}, id="representation tokens"),
    pytest.param({"vicreg_on": "tokens", "n_heads": 2}, id="representation tokens, no actions"),
]


def only(*names):
    return {name: float(name in names) for name in DEFAULT_TERMS}


def make(observation="box", action="box", policy_kwargs=None, **kwargs):
    """An agent with weights that matter: fresh ones hardly look around."""
    store = make_store(observation, action)
    model = CASE.make(CASE.env(observation, action), dataset=store, policy_kwargs=policy_kwargs or {}, **kwargs).learn(
        2
    )
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * th.randn_like(parameter))
    model.policy.set_training_mode(False)
    return model


def like(preset):
    """An agent with the settings of a preset in the size of the case."""
    block = PRESETS[preset]
    own = {k: v for k, v in block["policy_kwargs"].items() if k not in SIZES}
    if block["policy_kwargs"]["predictor_dim"] is None:
        own["predictor_dim"] = None
    return make(policy_kwargs=own, **{k: block[k] for k in ("terms", "vicreg", "own_return", "phases")})


def with_gradients_of(*names, **kwargs):
    """A model after one backward pass of these terms alone."""
    model = CASE.make(dataset=make_store(), terms=only(*names), **kwargs).learn(1)
    model.policy.zero_grad(set_to_none=True)
    model.compute_loss(batches_of(model))[0].backward()
    return model


# ------------------------------------------------------------------ acting sees the windows of training


def episode(length=9, action="box"):
    store = make_store("box", action, n_episodes=40, length=length)
    return TrajectoryStore.from_episodes([store.episode(max(range(store.n_episodes), key=lambda i: store.lengths[i]))])


def trained_at(model, store, t):
    """The parameters of the action at step t in a window of training that ends there."""
    windows, begin = model.windows(store, "labelled"), max(0, t - K + 1)
    slots = store.first[store.steps[0]] + begin + np.minimum(np.arange(K), t - begin)
    index = np.where(np.arange(K) <= t - begin, slots, slots[0])
    batch = to_tensors(windows.gather(WindowIndex(index[None])), model.device)
    return model.outputs("labelled", batch).chosen[t - begin]


@pytest.mark.parametrize("policy_kwargs", TOKENS)
def test_acting_sees_the_windows_of_training(policy_kwargs, monkeypatch):
    """With two environments, of which one begins another episode on the way."""
    monkeypatch.setattr(th, "rand_like", lambda z: th.full_like(z, 0.8))
    model, store = make(policy_kwargs=policy_kwargs), episode()
    policy, whole = model.policy, store.episode(0)
    states, returns = th.as_tensor(whole.observations["observation"]), store.returns[0]
    memory, length = policy.initial_memory(2), len(whole.actions)
    assert length > 2 * K
    with th.no_grad():
        for t in range(length):
            places = [t, t - 2 if t >= 2 else t]  # the second one starts again at t = 2
            starts = np.array([t == 0, t in (0, 2)])
            inputs = Inputs(state={"observation": states[places]}, episode_return=th.full((2, 1), returns))
            params, memory = policy.respond(inputs, memory, starts)
            for row, place in enumerate(places):
                th.testing.assert_close(params[row], trained_at(model, store, place), atol=1e-4, rtol=1e-4)
            memory = policy.remember(memory, whole.actions[places])


def test_acting_asks_for_the_target_at_each_step():
    policy = make().policy
    policy.set_target_return(5.0)
    seen = []
    policy.tokens.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    state = None
    for _ in range(3):
        _, state = policy.predict(np.zeros((1, 2)), state, deterministic=True)
    assert all(th.equal(each, th.full((1, K, 1), 5.0) / policy.return_scale) for each in seen) and len(seen) == 3
    assert policy.target_description == "a return of 5 of the whole episode"


# ------------------------------------------------------------------ tokens


def test_the_order_of_tokens_is_that_of_the_page(monkeypatch):
    monkeypatch.setattr(th, "rand_like", lambda z: th.full_like(z, 0.75))  # P is 2 * 0.75 - 1 = 0.5
    embedded = th.tensor([[[10.0, 1.0, 20.0], [11.0, 1.0, 21.0], [12.0, 1.0, 22.0]]]).unsqueeze(3)  # a before, R, s
    orders = {
        (False, False): [1, 20, 1, 21, 1, 22],
        (True, False): [1, 20, 11, 1, 21, 12, 1, 22],
        (False, True): [1, 20, 0.5, 21, 0.5, 22],
        (True, True): [1, 20, 11, 0.5, 21, 12, 0.5, 22],
    }
    for (played, representation_tokens), order in orders.items():
        layout = TokenLayout(1, True, False, representation_tokens)
        tokens = layout(embedded, played).flatten()
        assert tokens.tolist() == order
        assert tokens[layout.states(played)].tolist() == [20, 21, 22]
        if representation_tokens:
            assert tokens[layout.representations(played)].tolist() == [0.5, 0.5]
    assert TokenLayout(1, False, False, False)(embedded, True).flatten().tolist() == orders[False, False]


def test_representation_tokens_are_new_each_time_and_not_learned():
    layout = TokenLayout(8, True, False, True)
    draws = [layout(th.zeros(50, 3, 3, 8), True)[:, layout.representations(True)] for _ in range(2)]
    assert not th.equal(*draws) and -1 <= draws[0].min() < -0.9 and 0.9 < draws[0].max() <= 1
    assert not [*layout.parameters()]


@pytest.mark.parametrize("action_tokens", [False, True])
def test_actions_are_seen_only_afterwards_and_only_as_tokens(action_tokens):
    model = make(policy_kwargs={"action_tokens": action_tokens})
    batch = batches_of(model, 64)["labelled"]
    whole = batch.mask.all(1)
    with th.no_grad():
        before = model.outputs("labelled", batch).states[whole]
        for t in range(K):
            changed = batch._replace(actions=batch.actions.clone())
            changed.actions[:, t] = 3 - changed.actions[:, t]
            moved = (model.outputs("labelled", changed).states[whole] - before).abs().amax((0, 2)) > 1e-4
            assert moved.tolist() == [action_tokens and step > t for step in range(K + 1)]


def test_the_modality_token_tells_video_from_own_play():
    for modality_token in (False, True):
        model = make(policy_kwargs={"modality_token": modality_token})
        batch = batches_of(model)["labelled"]
        watched, played = (model.outputs(source, batch).states for source in ("unlabelled", "labelled"))
        assert th.equal(watched, played) != modality_token


@pytest.mark.parametrize("policy_kwargs", TOKENS)
def test_padding_changes_nothing(policy_kwargs, monkeypatch):
    monkeypatch.setattr(th, "rand_like", lambda z: th.full_like(z, 0.8))
    model = make(policy_kwargs=policy_kwargs, terms={"action": 1.0})
    batches = batches_of(model, 32)
    padding = ~batches["labelled"].mask
    assert padding.any()
    loss, _ = model.compute_loss(batches)
    other = copy.deepcopy(batches)
    for batch in other.values():
        batch.observations["observation"][:, 1:][~batch.mask] += 3.0
    other["labelled"].actions[padding] += 0.5
    th.testing.assert_close(model.compute_loss(other)[0], loss)


# ------------------------------------------------------------------ who teaches whom


def test_the_inverse_model_learns_from_own_play_alone():
    model = with_gradients_of("inverse")
    assert set(model._learner.samplers) == {"labelled"}
    policy = model.policy
    assert touched(policy.inverse) and not touched(policy.transformer) and not touched(policy.head)


def test_labels_teach_the_policy_and_not_the_inverse_model():
    model = with_gradients_of("label")
    assert set(model._learner.samplers) == {"unlabelled"}
    policy = model.policy
    assert touched(policy.transformer) and touched(policy.head) and touched(policy.tokens.return_to_go)
    assert not touched(policy.inverse) and not touched(policy.expander)


def test_labels_leave_the_gradient_of_other_terms():
    """Whichever term comes first."""
    model = CASE.make(CASE.env("image"), dataset=make_store("image")).learn(1)
    outputs = model.outputs("unlabelled", batches_of(model)["unlabelled"])
    assert not outputs.labels.requires_grad
    outputs.chosen.sum().backward()
    assert touched(model.policy.encoder)


def test_images_are_encoded_only_if_a_term_needs_them():
    """The last state of a window only for VICReg; no state of own play for an inverse model that sees motion."""
    env, store, counts = CASE.env("image"), make_store("image"), {}
    for vicreg in (0.0, 1.0):
        kwargs = {"terms": {"vicreg": vicreg}, "policy_kwargs": {"inverse_input": "motion"}}
        model = CASE.make(env, dataset=store, **kwargs).learn(1)
        seen = []
        model.policy.encoder.register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append(len(given[0]["observation"]))
        )
        model.compute_loss(batches_of(model, 16))
        counts[vicreg] = seen
    assert counts == {0.0: [16 * K], 1.0: [16 * (K + 1)] * 2}


@pytest.mark.parametrize("shared", [True, False])
def test_the_inverse_model_may_have_its_own_encoder(shared):
    model = CASE.make(CASE.env("image"), dataset=make_store("image"), policy_kwargs={"shared_encoder": shared}).learn(1)
    policy = model.policy
    policy.zero_grad(set_to_none=True)
    model.terms = only("inverse")
    model._check_arguments()
    batch = batches_of(model)
    model.compute_loss({"labelled": batch["labelled"]})[0].backward()
    assert touched(policy.inverse.encoder) and touched(policy.encoder) == shared


def test_own_actions_are_labels_too():
    policy = with_gradients_of("action").policy
    assert touched(policy.transformer) and touched(policy.head) and not touched(policy.inverse)


@pytest.mark.parametrize("action", ["discrete", "box"])
def test_the_predictor_sees_the_executed_or_the_inferred_action(action):
    model = make(action=action)
    policy, batches = model.policy, batches_of(model)
    played, video = (model.outputs(source, batches[source]) for source in ("labelled", "unlabelled"))
    encoded = policy.head.encode(batches["labelled"].actions.flatten(0, 1))
    assert th.equal(played.executed, encoded) and video.batch.actions is None
    assert th.equal(video.executed, policy.inverse.head.expected(video.inferred)) and not video.executed.requires_grad


@pytest.mark.parametrize("data", ["labelled", "unlabelled"])
def test_vicreg_is_that_of_consecutive_steps(data):
    """Against a loop over the pairs; the last one ends at the final observation of the episode."""
    model = make(terms=only("vicreg"))
    batch, policy = batches_of(model, 64)[data], model.policy
    outputs = model.outputs(data, batch)
    z, executed = policy.expander(outputs.states), outputs.executed.unflatten(0, batch.mask.shape)
    pairs = [(w, t) for w in range(len(z)) for t in range(K) if batch.mask[w, t]]
    now, later = (th.stack([z[w, t + after] for w, t in pairs]) for after in (0, 1))
    predicted = policy.predictor(th.stack([th.cat((z[w, t], executed[w, t])) for w, t in pairs]))
    expected = VICRegLoss(1.0, 0.01, 0.01)(now, later)[1] | {"invariance": (predicted - later).square().mean()}
    loss, metrics = model.compute_loss({data: batch})
    for name, value in expected.items():
        th.testing.assert_close(metrics[f"{data}/{name}"], value)
    weighed = expected["invariance"] + 0.01 * expected["variance"] + 0.01 * expected["covariance"]
    th.testing.assert_close(loss, weighed)


# ------------------------------------------------------------------ the experiments of the notes


@pytest.mark.parametrize("env_id", ["CarRacing-v3", "Hopper-v5"])
def test_presets_replace_all_that_the_default_tunes(env_id):
    """Else an experiment of the notes would change with the default, such as by its final updates."""
    of_task = {"policy", "env_wrapper", "n_timesteps", "n_envs", "return_scale", "learning_starts", "image_encoder"}
    tuned, preset = base_blocks(METHOD.yaml)[env_id], read_blocks(METHOD.presets["exp1"])
    assert {*tuned} - of_task <= {*preset["default"], *preset[env_id]}
    assert {*tuned["policy_kwargs"]} - of_task <= {*preset["default"]["policy_kwargs"]}


@pytest.mark.parametrize("env_id", ["CartPole-v1", "default"])
def test_presets_fit_other_actions(env_id):
    """Whatever the blocks of environments set for continuous actions."""
    _, block = compose(METHOD, METHOD.presets["exp1"], env_id)
    assert CASE.make(CASE.env(action="discrete"), policy_kwargs=block["policy_kwargs"], terms=block["terms"])


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_keep_the_ratio_of_the_notes(preset):
    block = PRESETS[preset]
    assert block["train_freq"] == 10 and block["gradient_steps"] == 110
    model = like(preset)
    turns = [source for update in range(110, 220) for source in model.phase(update)]
    assert turns == ["unlabelled"] * 100 + ["labelled"] * 10
    assert model.policy.inverse is None
    computed = {source: [*terms] for source, terms in model._terms.items()}
    assert computed == {
        "unlabelled": ["vicreg"],
        "labelled": ["action", "vicreg"] if preset == "exp4" else ["vicreg"],
    }


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_see_what_the_page_says(preset, monkeypatch):
    monkeypatch.setattr(th, "rand_like", lambda z: th.full_like(z, 0.8))
    model = like(preset)
    policy, size = model.policy, 2
    batch = batches_of(model)["labelled"]
    outputs = model.outputs("labelled", batch)
    o = outputs.states
    if preset in ("exp2", "exp4"):
        action = policy.head.linear(o).clamp(-1, 1)
        expected = policy.expander(th.cat((o, policy.tokens.action(action)), 2))
    else:
        action = o[..., -size:]
        expected = {
            "exp1": lambda: policy.expander(o)[..., :-size],
            "exp3": lambda: policy.expander(o[..., :-size]),
            "exp5": lambda: policy.expander(outputs._outputs[1]),
        }[preset]()
    th.testing.assert_close(outputs.expanded, expected)
    th.testing.assert_close(outputs.chosen.clamp(-1, 1), action[:, :-1].flatten(0, 1).clamp(-1, 1))
    assert outputs.expanded.shape[1] == K + (preset != "exp5")
    loss, metrics = model.compute_loss({"labelled": batch})
    first = int(preset == "exp5")
    now, later = expected[:, :-1], expected[:, 1:]
    predicted = now if preset == "exp1" else policy.predictor(now)
    closeness = (predicted - later).square().mean(2)[batch.mask[:, first:]].mean()
    th.testing.assert_close(metrics["labelled/invariance"], closeness)
    total = 25 * closeness + 25 * metrics["labelled/variance"] + metrics["labelled/covariance"]
    if preset == "exp4":
        error = policy.head.linear(o)[:, :-1][batch.mask] - policy.head.encode(batch.actions[batch.mask])
        total = total + 0.1 * error.square().mean()
    th.testing.assert_close(loss, total)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_compare_no_action_with_a_true_one_except_exp4(preset):
    """Where actions are no tokens, the loss does not depend on them."""
    model = like(preset)
    model.policy.layout.action_tokens = False
    batch = batches_of(model)["labelled"]
    losses = []
    for actions in (batch.actions, -batch.actions):
        th.manual_seed(0)
        losses.append(model.compute_loss({"labelled": batch._replace(actions=actions)})[0])
    assert th.equal(*losses) == (preset != "exp4")
    model.policy.zero_grad(set_to_none=True)
    losses[0].backward()
    assert touched(model.policy.transformer) and touched(model.policy.expander)


def test_own_play_is_conditioned_on_the_achieved_or_the_commanded_return():
    for own_return in ("achieved", "commanded"):
        model = CASE.make(dataset=make_store(), own_return=own_return, target_return=-1.5).learn(1)
        batches = batches_of(model)
        returns = {source: model.outputs(source, batch).returns for source, batch in batches.items()}
        assert th.equal(returns["unlabelled"], batches["unlabelled"].episode_returns)
        expected = batches["labelled"].episode_returns if own_return == "achieved" else th.full((16,), -1.5)
        assert th.equal(returns["labelled"], expected)


def test_the_target_is_the_best_of_the_stream_and_more_than_the_best_of_own_play():
    stream = make_store(seed=1, actions=False)
    assert CASE.make(stream=stream).learn(60).policy.target_return.item() == pytest.approx(stream.returns.max())
    model = CASE.make().learn(60)
    own = model._learner.samplers["labelled"].store.returns
    assert model.policy.target_return.item() == pytest.approx(own.max() + own.std())


def test_only_the_best_are_watched():
    store = make_store(n_episodes=10)
    model = CASE.make(dataset=store, top_fraction=0.2).learn(1)
    assert {name: each.store.n_episodes for name, each in model._learner.samplers.items()} == {
        "unlabelled": 2,
        "labelled": 10,
    }


# ------------------------------------------------------------------ metrics and messages


def test_collapse_shows():
    model = make()
    batches = batches_of(model, 64)
    healthy = model.train_metrics(batches)
    with th.no_grad():
        model.policy.expander[-1].weight.zero_()
    collapsed = model.train_metrics(batches)
    assert {"action_gap", "labelled/spread_min", "unlabelled/spread_min"} <= healthy.keys()
    for source in ("labelled", "unlabelled"):
        assert healthy[f"{source}/spread_mean"] > 0.01 > 1e-6 > collapsed[f"{source}/spread_mean"]
        assert healthy[f"{source}/effective_rank"] > collapsed[f"{source}/effective_rank"]
    without = make(terms={"vicreg": 0.0})
    assert {*without.train_metrics(batches_of(without))} == {"action_gap"}


@pytest.mark.parametrize("settings", [{"terms": {"inverse": 0.0}}, {"phases": {"unlabelled": 3}}])
def test_labels_of_an_untrained_model_are_told(settings):
    with pytest.warns(UserWarning, match=r"'label' imitates the inverse model, which nothing trains.*weight"):
        CASE.make(dataset=make_store(), **settings)


def test_the_inverse_model_is_examined_on_new_episodes():
    model = make()
    new = make_store("box", "box", n_episodes=2, seed=7)
    assert model.heldout_metrics(new)["inverse_held_out"] > 0
    assert make(terms=only("vicreg")).heldout_metrics(new) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"terms": {"align": 1.0}}, "'align'.*'inverse'"),
        ({"terms": dict.fromkeys(DEFAULT_TERMS, 0.0)}, "every weight is 0"),
        ({"terms": only("inverse"), "phases": {"unlabelled": 1}}, "no term of the unlabelled data has a weight"),
        ({"phases": {"labelled": 0}}, "phases: no source has any updates"),
        ({"vicreg": {"stop_gradient": 2}}, "stop_gradient is 2"),
        ({"own_return": "best"}, "'achieved' or 'commanded'"),
        ({"policy_kwargs": {"attention": "banded"}}, "attention is 'banded'; give 'window'"),
        ({"policy_kwargs": {"vicreg_on": "outputs"}}, "'outputs'"),
        ({"policy_kwargs": {"inverse_arch": None}}, "'inverse' needs an inverse model.*inverse_arch"),
        (
            {"policy_kwargs": {"inverse_arch": None}, "terms": only("vicreg")},
            "'vicreg' needs an inverse model.*predictor_sees_action: false",
        ),
        ({"policy_kwargs": {"embed_dim": 4, "action_part": "last"}}, "embed_dim is 4, but the action takes 5"),
        ({"policy_kwargs": {"context_length": 1, "vicreg_on": "tokens"}}, "context_length is 1.*at least 2"),
    ],
)
def test_wrong_settings_are_refused_in_the_constructor(settings, words):
    with pytest.raises((ValueError, TypeError), match=words):
        CASE.make(dataset=make_store(), **settings)


def test_video_needs_returns():
    with pytest.raises(ValueError, match="no rewards"):
        CASE.make(stream=make_store(actions=False, rewards=False))
