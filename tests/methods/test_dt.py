"""The Decision Transformer: what it sees in training is what it sees when it acts, and nothing else."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.data import TrajectoryStore, Windows
from gcrl_zoo.data.windows import WindowIndex
from gcrl_zoo.methods.dt.policies import TOKENS
from gcrl_zoo.nets.transformer import causal
from tests.cases import dt_gated, dt_vicreg
from tests.cases.dt import CASE
from tests.support.envs import make_env, make_store

K = CASE.kwargs["policy_kwargs"]["context_length"]
ATTENTIONS = ("window", "banded")


FAMILY = [pytest.param(case, id=case.name) for case in (CASE, dt_gated.CASE, dt_vicreg.CASE)]


def make(attention="window", observation="box", action="discrete", n_envs=1, case=CASE, **policy_kwargs):
    """An agent with weights that matter: fresh ones hardly look around."""
    env = case.env(observation, action, n_envs=n_envs)
    policy_kwargs = {"attention": attention, "max_timesteps": 50, **policy_kwargs}
    model = case.make(env, dataset=make_store(observation, action), policy_kwargs=policy_kwargs).learn(2)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * th.randn_like(parameter))
    model.policy.set_training_mode(False)
    return model


def episode_store(length, observation="box", action="discrete"):
    """One long episode of random play."""
    store = make_store(observation, action, n_episodes=40, length=length)
    longest = max(range(store.n_episodes), key=lambda i: store.lengths[i])
    return TrajectoryStore.from_episodes([store.episode(longest)])


def window(store, begin, length):
    """Steps of the first episode of a store, as a batch of one window."""
    sampler = Windows(store, length)
    slots = store.first[store.steps[0]] + begin + np.arange(length)
    return to_tensors(sampler.gather(WindowIndex(slots[None])), th.device("cpu"))


def inputs_at(batch, t):
    return Inputs(
        state={key: each[:, t] for key, each in batch.observations.items()},
        return_to_go=batch.returns_to_go[:, t, None],
    )


def acted(policy, batch, length, start=0):
    """The representation at each step when acting goes through the same episode; (T, D)"""
    seen = []
    policy.head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    memory, starts = policy.initial_memory(1), np.array([True])
    with th.inference_mode():
        for t in range(length):
            _, memory = policy.choose(inputs_at(batch, t), memory, starts)
            memory, starts = policy.remember(memory, batch.actions[:, t].numpy()), np.array([False])
    return th.cat(seen)


def causal_of(policy, n_steps):
    """What may be seen in a window of any length."""
    return causal(TOKENS * n_steps - 1, policy.band)


@pytest.mark.parametrize("case", FAMILY)
@pytest.mark.parametrize(("observation", "action"), [("box", "discrete"), ("dict", "box"), ("discrete", "box")])
def test_acting_sees_the_windows_of_training(case, observation, action):
    policy, store = make("window", observation, action, case=case).policy, episode_store(12, observation, action)
    whole = window(store, 0, 12)
    seen = acted(policy, whole, 12)
    with th.no_grad():
        for t in range(12):
            begin = max(0, t - K + 1)
            expected = policy.represent_windows(window(store, begin, t - begin + 1))[0, -1]
            th.testing.assert_close(seen[t], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", FAMILY)
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_acting_in_bands_is_one_forward_over_the_whole_episode(case, n_layers):
    """Far beyond the window."""
    policy, length = make("banded", "box", "box", case=case, n_layers=n_layers).policy, 40
    store = episode_store(length, "box", "box")
    whole = window(store, 0, store.lengths[0])
    assert store.lengths[0] > 8 * K
    policy.window.mask = causal_of(policy, store.lengths[0])
    with th.no_grad():
        expected = policy.represent_windows(whole)[0]
    th.testing.assert_close(acted(policy, whole, store.lengths[0]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_nothing_is_seen_before_it_is_there(attention):
    """Of the own step: the return and the state, not the action. Of later ones nothing."""
    policy, store = make(attention, "box", "box").policy, episode_store(12, "box", "box")
    batch = window(store, 0, K)
    with th.no_grad():
        before = policy.represent_windows(batch)[0]
        for t in range(K):
            changed = copy.deepcopy(batch)
            changed.actions[:, t:] += 1.0
            changed.returns_to_go[:, t + 1 :] += 1.0
            changed.observations["observation"][:, t + 1 :] += 1.0
            after = policy.represent_windows(changed)[0]
            th.testing.assert_close(after[: t + 1], before[: t + 1])
            assert t == K - 1 or (after[t + 1] - before[t + 1]).abs().max() > 1e-3
            changed.returns_to_go[:, t] += 1.0
            assert (policy.represent_windows(changed)[0, t] - before[t]).abs().max() > 1e-3


def test_the_window_ends_where_it_should():
    """A band of all layers together reaches as far as the window, and not further; so does the window itself."""
    for attention, n_layers in (("window", 2), ("banded", 1), ("banded", 3)):
        policy = make(attention, "box", "box", n_layers=n_layers).policy
        store = episode_store(30, "box", "box")
        whole = window(store, 0, 20)
        other = copy.deepcopy(whole)
        other.observations["observation"][:, 9] += 5.0
        changed = (acted(policy, whole, 20) - acted(policy, other, 20)).abs().amax(1) > 1e-6
        assert changed.nonzero().flatten().tolist() == list(range(9, 9 + K))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_changes_nothing(attention):
    model = make(attention, "box", "box")
    batch = window(episode_store(12, "box", "box"), 0, K)
    model.policy.set_training_mode(False)
    loss, _ = model.compute_loss({"labelled": batch})
    padded = batch._replace(
        observations={key: th.cat((each, each[:, :1] + 9), 1) for key, each in batch.observations.items()},
        actions=th.cat((batch.actions, batch.actions[:, :1]), 1),
        mask=th.cat((batch.mask, th.tensor([[False]])), 1),
        returns_to_go=th.cat((batch.returns_to_go, batch.returns_to_go[:, :1] + 9), 1),
        timesteps=th.cat((batch.timesteps, batch.timesteps[:, :1]), 1),
    )
    model.policy.window.mask = causal_of(model.policy, K + 1)
    th.testing.assert_close(model.compute_loss({"labelled": padded})[0], loss)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("action", ["discrete", "box"])
def test_environments_side_by_side_know_nothing_of_each_other(attention, action):
    """They begin and end at different times."""
    model = make(attention, "box", action, n_envs=3)
    episodes = [[model.observation_space.sample() for _ in range(n)] for n in (4, 7, 11, 5, 8, 2, 9, 3, 6)]
    alone = []
    for episode in episodes:
        state, actions = None, []
        for observation in episode:
            chosen, state = model.predict(observation, state, deterministic=True)
            actions.append(chosen)
        alone.append(np.array(actions))
    running, waiting, together = [0, 1, 2], list(range(3, len(episodes))), [[] for _ in episodes]
    state, starts = None, np.ones(3, dtype=bool)
    while True:
        seen = [episodes[i][len(together[i])] for i in running]
        actions, state = model.predict(
            {key: np.stack([each[key] for each in seen]) for key in seen[0]}, state, starts, deterministic=True
        )
        starts[:] = False  # as evaluate_policy does: in place
        for slot, i in enumerate(running):
            together[i].append(actions[slot])
            np.testing.assert_allclose(together[i], alone[i][: len(together[i])], atol=1e-5)
            if len(together[i]) == len(episodes[i]):
                if not waiting:
                    return
                running[slot], starts[slot] = waiting.pop(0), True


def test_a_state_is_not_changed_by_going_on():
    model = make("window")
    observation = model.observation_space.sample()
    _, state = model.predict(observation)
    first, _ = model.predict(observation, state, deterministic=True)
    model.predict(model.observation_space.sample(), state)
    again, _ = model.predict(observation, state, deterministic=True)
    assert first == again


def test_in_bands_only_the_newest_state_goes_on():
    model = make("banded")
    observation = model.observation_space.sample()
    _, state = model.predict(observation)
    model.predict(observation, state)
    with pytest.raises(ValueError, match="continued only once"):
        model.predict(observation, state)


def test_the_wrapper_is_asked_for():
    with pytest.raises(ValueError, match=r"no 'return_to_go'; add it with `env_wrapper: gcrl_zoo.wrappers.ReturnToGo`"):
        CASE.algorithm("MlpPolicy", make_env())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attention": "sparse"}, "'window' or 'banded'"),
        ({"context_length": 0}, "context_length is 0"),
        ({"n_heads": 3}, "n_heads is 3, which does not divide embed_dim"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_nonsense_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        CASE.make(policy_kwargs=settings)


def test_what_is_asked_for_counts_down():
    model = make("window", n_envs=2)
    model.policy.set_target_return(5.0)
    asked = []
    scale = model.policy.return_scale.item()
    model.policy.tokens.register_forward_pre_hook(lambda _, given: asked.append(scale * given[1][0, 0].item()))
    env = model.env
    rewards = []

    def note(local, _):
        rewards.append(local["rewards"][0])

    evaluate_policy(model, env, 2, callback=note)
    assert asked[0] == pytest.approx(5.0) and asked[1] == pytest.approx(5.0 - rewards[0], abs=1e-5)
    assert model.policy.target_description == "a return of 5 of the whole episode, counted down"


@pytest.mark.parametrize("beyond", [True, False], ids=["own play", "dataset"])
def test_own_play_target_description_more_than_the_best_so_far(beyond):
    """An agent that gets just what it asks for would else never do better."""
    model = CASE.make() if beyond else CASE.make(dataset=make_store())
    returns = model.learn(60 if beyond else 1)._learner.samplers["labelled"].store.returns
    assert returns.std() > 0
    target = returns.max() + beyond * returns.std()
    assert model.policy.target_return.item() == pytest.approx(target, rel=1e-5)
    assert CASE.make(target_return=3.0).learn(60).policy.target_return == 3


def test_returns_of_zero_are_no_scale():
    """Nor is what rounding leaves of them: any reward of acting would be enormous."""
    episodes = make_store("box", "discrete").episodes()
    nothing = [replace(episode, rewards=np.full_like(episode.rewards, 1e-9)) for episode in episodes]
    model = CASE.make(dataset=TrajectoryStore.from_episodes(nothing)).learn(1)
    assert model.policy.return_scale == 1.0


@pytest.mark.parametrize("observation", ["box", "discrete", "dict", "image"])
def test_observations_become_what_stock_makes_of_them(observation):
    """A batch takes a short way, everything else that of Stable-Baselines3."""
    policy = CASE.make(CASE.env(observation, "discrete")).policy
    space = policy.observation_space
    batch = {key: np.stack([part] * 3) for key, part in space.sample().items()}
    upside_down = {key: part[::-1] for key, part in batch.items()}
    single = {key: part[0] for key, part in batch.items()}
    for given in (batch, upside_down, single):
        ours, theirs = policy.obs_to_tensor(given), BasePolicy.obs_to_tensor(policy, given)
        assert ours[1] == theirs[1] == (given is not single)
        assert ours[0].keys() == theirs[0].keys()
        for key, part in ours[0].items():
            assert part.dtype == theirs[0][key].dtype and th.equal(part, theirs[0][key])


@pytest.mark.parametrize("case", FAMILY)
def test_with_bf16_the_head_computes_in_full_precision(case):
    """bfloat16 tells apart 256 actions only."""
    model, dtypes = case.make(dataset=make_store(), bf16=True), set()
    model.policy.head.register_forward_pre_hook(lambda _, inputs: dtypes.add(inputs[0].dtype))
    model.policy.head.register_forward_hook(lambda _, inputs, output: dtypes.add(output.dtype))
    model.learn(2)
    assert dtypes == {th.float32}
