"""Explorers: own play differs from acting as told, and inputs are left alone. The collector: what it stores is true."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from gcrl_zoo import BC, DT
from gcrl_zoo.common.collector import Collector
from gcrl_zoo.common.explorers import NoiseLevels, RandomPlay
from gcrl_zoo.common.roles import Inputs
from tests.support.envs import ACTION_SPACES
from tests.support.matrix import every_trajectory_case, sources_of

BOX, DISCRETE = ACTION_SPACES["box"], ACTION_SPACES["discrete"]
ENVS = 4000
MANY = {"box": np.full((ENVS, 2), 0.5, dtype=np.float32), "discrete": np.full(ENVS, 4)}
START, GO_ON = np.ones(ENVS, dtype=bool), np.zeros(ENVS, dtype=bool)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("action", ["box", "discrete"])
@pytest.mark.parametrize("levels", [None, (0.0,), (0.0, 1.0)])
def test_actions_stay_in_the_space_and_arguments_as_they_were(action, levels):
    space, actions = ACTION_SPACES[action], MANY[action].copy()
    explorer = RandomPlay(space, rng()) if levels is None else NoiseLevels(space, rng(), levels)
    inputs = Inputs(state={"observation": th.zeros(ENVS, 2)})
    assert explorer.command(inputs, START) == inputs
    for starts in (START, GO_ON):
        played = explorer.perturb(actions, starts)
        assert all(space.contains(each) for each in played[:200]) and played.dtype == actions.dtype
        np.testing.assert_array_equal(actions, MANY[action])


def test_random_play_is_uniform():
    counts = np.bincount(RandomPlay(DISCRETE, rng()).perturb(MANY["discrete"], START), minlength=7)
    assert counts[:2].sum() == 0 and counts[2:].min() > ENVS / 5 * 0.85
    played = RandomPlay(BOX, rng()).perturb(MANY["box"], START)
    np.testing.assert_allclose(played.mean(0), (BOX.low + BOX.high) / 2, atol=0.1)
    np.testing.assert_allclose(played.std(0), (BOX.high - BOX.low) / np.sqrt(12), rtol=0.05)


@pytest.mark.parametrize("low", [-1.0, 0.0, 0.25, -2.0])
def test_random_play_rests(low):
    """A number of an action is 0, or the bound nearest to 0, with the given probability."""
    space = spaces.Box(low, low + 1.5, (3,), np.float32)
    actions = np.zeros((ENVS, 3), dtype=np.float32)
    played = RandomPlay(space, rng(), rest=0.8).perturb(actions, START)
    at_rest = played == np.clip(0, low, low + 1.5).astype(np.float32)
    np.testing.assert_allclose(at_rest.mean(0), 0.8, atol=0.03)
    assert np.corrcoef(at_rest.T)[0, 1:] == pytest.approx(0, abs=0.05)  # each by itself
    assert space.contains(played.min(0)) and space.contains(played.max(0))


def test_each_number_may_rest_by_its_own_probability():
    space, rests = spaces.Box(-1, 1, (3,)), [0.0, 0.5, 0.9]
    at_rest = RandomPlay(space, rng(), rest=rests).perturb(np.zeros((4000, 3), np.float32), np.ones(4000, bool)) == 0
    np.testing.assert_allclose(at_rest.mean(0), rests, atol=0.03)
    with pytest.raises(
        ValueError, match=r"^random_rest is \[0.5\], but an action has 3 dimensions; give 3 numbers, or one"
    ):
        RandomPlay(space, rng(), rest=[0.5])


def test_choices_do_not_rest():
    with pytest.raises(ValueError, match=r"^random_rest is 0.5, but it is for Box actions, not for Discrete.*\.$"):
        BC("MlpPolicy", "CartPole-v1", random_rest=0.5)


def test_no_noise_means_the_very_same_actions():
    """The collector tells by identity whether a policy's memory must hear of other actions."""
    for action, space in (("box", BOX), ("discrete", DISCRETE)):
        assert NoiseLevels(space, rng(), [0.0]).perturb(MANY[action], START) is MANY[action]


def test_a_level_is_the_share_of_random_choices():
    played = NoiseLevels(DISCRETE, rng(), [0.5]).perturb(MANY["discrete"], START)
    assert np.mean(played != 4) == pytest.approx(0.5 * 4 / 5, abs=0.03)


def test_a_level_is_a_share_of_half_the_range():
    space = ACTION_SPACES["box"]
    actions = np.tile((space.low + space.high) / 2, (ENVS, 1))
    played = NoiseLevels(space, rng(), [0.1]).perturb(actions, START)
    np.testing.assert_allclose(played.std(0), 0.1 * (space.high - space.low) / 2, rtol=0.05)
    np.testing.assert_allclose(played.mean(0), actions[0], atol=0.02)


@pytest.mark.parametrize("hold", [1, 4])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_uniform_noise_replaces_each_number_by_itself(level, hold):
    """In the mean, a level is the share of random numbers, each of which may rest."""
    explorer = NoiseLevels(BOX, rng(), level, hold, rest=0.5, kind="uniform")
    for starts in (START, *[GO_ON] * 10):
        played = explorer.perturb(MANY["box"], starts)
        moved = played != MANY["box"]
        np.testing.assert_allclose(moved.mean(0), level, atol=0.03)
        assert np.corrcoef(moved.T)[0, 1:] == pytest.approx(0, abs=0.06) if level else not moved.any()
        assert all(BOX.contains(each) for each in played[:200])
    if level:
        at_rest = played == np.clip(0, BOX.low, BOX.high)
        np.testing.assert_allclose((at_rest & moved).mean(0) / moved.mean(0), 0.5, atol=0.06)


def test_random_choices_of_one_step_are_drawn_as_ever():
    """Results were measured with these draws: levels, then who is wild, then what if anyone is."""
    explorer, same = NoiseLevels(DISCRETE, rng(), [0.0, 0.1]), rng()
    own, levels = np.full(2, 4), np.zeros(2, dtype=np.float32)
    for step in range(200):
        starts = np.array([step % 7 == 0, step % 5 == 0])
        if starts.any():
            levels = np.where(starts, same.choice(np.float32([0, 0.1]), 2), levels)
        wild = same.random(2) < levels if levels.any() else np.zeros(2, dtype=bool)
        expected = np.where(wild, same.integers(5, size=2) + 2, own) if wild.any() else own
        np.testing.assert_array_equal(explorer.perturb(own, starts), expected)


def test_an_episode_keeps_its_level():
    explorer = NoiseLevels(BOX, rng(), [0.0, 1.0])
    moved = [(explorer.perturb(MANY["box"], starts) != MANY["box"]).any(1) for starts in (START, GO_ON, GO_ON, START)]
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_array_equal(moved[0], moved[2])
    assert 0.45 < moved[0].mean() < 0.55
    assert 0.4 < np.mean(moved[0] != moved[3]) < 0.6


def test_only_new_episodes_get_a_new_level():
    explorer = NoiseLevels(BOX, rng(), [0.0, 1.0])
    some = np.arange(ENVS) % 2 == 0
    before, after = ((explorer.perturb(MANY["box"], starts) != MANY["box"]).any(1) for starts in (START, some))
    np.testing.assert_array_equal(before[~some], after[~some])
    assert (before[some] != after[some]).mean() > 0.4


@sources_of("own play")
def test_explorers_hear_of_each_new_episode(case, source):
    env = case.env(n_envs=3, max_steps=4)
    heard, dones = [], [np.ones(3, dtype=bool)]

    class Spy(RandomPlay):
        def command(self, inputs, episode_starts):
            heard.append(episode_starts.copy())
            return inputs

    collector, spy = Collector(env, case.make(env).policy), Spy(DISCRETE, rng())
    collector.start(env.reset())
    for _ in range(20):
        dones.append(collector.step(spy).dones)
    np.testing.assert_array_equal(heard, dones[:-1])


@pytest.mark.parametrize("hold", [1, 2, 8.0])
@pytest.mark.parametrize("action", ["box", "discrete"])
def test_random_actions_last_as_long_as_told(action, hold):
    """In the mean, each environment by itself; a new episode begins with a new one."""
    explorer = RandomPlay(ACTION_SPACES[action], rng(), hold)
    played = [explorer.perturb(MANY[action], starts) for starts in (START, *[GO_ON] * 20, START)]
    assert all(ACTION_SPACES[action].contains(each) for each in played[-1][:200])
    same = [(a == b).reshape(ENVS, -1).all(1).mean() for a, b in pairwise(played)]
    by_chance = 1 / 5 if action == "discrete" else 0
    kept = (1 - 1 / hold) + by_chance / hold
    np.testing.assert_allclose(same, [*[kept] * 20, by_chance], atol=0.04)


@pytest.mark.parametrize("action", ["box", "discrete"])
def test_noise_lasts_too_and_leaves_calm_episodes_alone(action):
    explorer = NoiseLevels(ACTION_SPACES[action], rng(), [0.0, 0.5], hold=8)
    first, second = (explorer.perturb(MANY[action], starts) for starts in (START, GO_ON))
    moved = (first != MANY[action]).reshape(ENVS, -1).any(1)
    share = 0.5 if action == "box" else 0.5 * 0.5 * 4 / 5
    assert moved.mean() == pytest.approx(share, abs=0.03)
    assert (first == second)[moved].reshape(moved.sum(), -1).all(1).mean() > 0.75


MANY_CHOICES = spaces.Discrete(10**9)  # so that no two random ones are the same by chance


@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_random_choice_lasts_as_long_as_told_however_many_environments_there_are(n_envs):
    explorer = NoiseLevels(MANY_CHOICES, rng(), 0.5, hold=8)
    own = np.zeros(n_envs, dtype=np.int64)
    played = np.stack([explorer.perturb(own, np.full(n_envs, step == 0)) for step in range(20_000)], axis=1)
    for actions in played:
        wild = actions[actions != 0]
        assert len(wild) / len(actions) == pytest.approx(0.5, abs=0.05)
        assert len(wild) / len(np.unique(wild)) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_no_random_choice_outlives_its_episode(n_envs):
    explorer, ends = NoiseLevels(MANY_CHOICES, rng(), [0, 0.5], hold=4), np.random.default_rng(1)
    starts, episode, seen = np.ones(n_envs, dtype=bool), np.zeros(n_envs, dtype=int), {}
    for _ in range(2000):
        episode += starts
        for env, action in enumerate(explorer.perturb(np.zeros(n_envs, dtype=np.int64), starts)):
            if action:
                assert seen.setdefault(action, (env, episode[env])) == (env, episode[env])
        starts = ends.random(n_envs) < 0.2
    assert len(seen) > 50


@pytest.mark.parametrize("levels", [[], [-0.1], -0.1, [np.nan], [0.1, np.inf], np.nan, "0.2", ["0.2"], [[0.1]], None])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(ValueError, match="noise_levels"):
        NoiseLevels(BOX, rng(), levels)


def test_a_number_is_a_list_of_one():
    for levels in (0.5, [0.5], np.array([0.5])):
        played = NoiseLevels(DISCRETE, rng(), levels).perturb(MANY["discrete"], START)
        np.testing.assert_array_equal(played, NoiseLevels(DISCRETE, rng(), (0.5,)).perturb(MANY["discrete"], START))


@sources_of("own play")
def test_an_agent_takes_a_number_as_noise_levels(case, source, tmp_path):
    """As ``-params noise_levels:0.2`` gives it."""
    model = case.make(noise_levels=0.2).learn(60)
    assert model.noise_levels == 0.2 and model._n_updates
    model.save(tmp_path / "agent")
    case.algorithm.load(tmp_path / "agent", env=case.env()).learn(60)


@sources_of("own play")
def test_learning_starts_with_random_play(case, source):
    """And ends it: the untrained policy's own actions differ from each other by clearly less."""

    def spread_of(learning_starts):
        env = case.env("box", "box", n_envs=4)
        model = case.make(env, learning_starts=learning_starts, train_freq=100, gradient_steps=0, learning_rate=0.0)
        model.learn(800)
        return np.stack([np.std(each.unwrapped.seen[-100:], axis=0) for each in env.envs]).mean(0)

    uniform = (BOX.high - BOX.low) / np.sqrt(12)
    np.testing.assert_allclose(spread_of(800), uniform, rtol=0.1)
    less = 0.75 if issubclass(case.algorithm, DT) else 0.5  # a fresh transformer, normalised at its end, is livelier
    assert (spread_of(0) < less * uniform).all()


@every_trajectory_case
@pytest.mark.parametrize("action", ["box", "discrete"])
@pytest.mark.parametrize("observation", ["box", "image", "goal"])
def test_what_is_stored_is_what_happened(case, observation, action):
    """Actions and observations, truncation apart from termination, and true last observations, for several envs."""
    model = case.make(case.env(observation, action, n_envs=3, max_steps=7))
    env = model.env  # which shows images channel-first
    collector = Collector(env, model.policy)
    observed = env.reset()
    collector.start(observed)
    explorer, episodes = RandomPlay(env.action_space, rng()), []
    expected = [[] for _ in range(3)]
    for _ in range(60):
        before = copy.deepcopy(collector.obs)
        step = collector.step(explorer)
        finished = iter(step.episodes)
        for i in range(3):
            expected[i].append((model.policy.roles.facts(before), step.actions[i], step.rewards[i]))
            if step.dones[i]:
                check_episode(next(finished), expected[i], i, step.infos[i], model.policy.roles)
                episodes.append(step.infos[i]["TimeLimit.truncated"])
                expected[i] = []
        assert next(finished, None) is None
    assert True in episodes and False in episodes


def check_episode(episode, steps, i, info, roles):
    """An episode against what was seen from outside."""
    assert episode.length == len(steps)
    assert episode.terminated is not info["TimeLimit.truncated"]
    np.testing.assert_array_equal(episode.actions, [action for _, action, _ in steps])
    np.testing.assert_allclose(episode.rewards, [reward for *_, reward in steps])
    last = roles.facts(info["terminal_observation"])
    for key, column in episode.observations.items():
        np.testing.assert_allclose(column[:-1], [facts[key][i] for facts, *_ in steps], rtol=1e-6)
        np.testing.assert_allclose(column[-1], last[key], rtol=1e-6)
    assert set(episode.observations) == set(roles.state_keys)


@sources_of("own play")
def test_long_episodes_are_cut_where_told(case, source):
    model = case.make(case.env(max_steps=10_000, action="discrete"), max_episode_steps=5).learn(60)
    store = model.replay_buffer
    assert store.lengths.max() == 5 and not store.terminated[store.lengths == 5].all()


@sources_of("own play")
def test_old_episodes_leave_a_full_buffer(case, source):
    model = case.make(buffer_size=40).learn(200)
    assert model.replay_buffer.n_slots <= 40 and model._episode_num > model.replay_buffer.n_episodes
