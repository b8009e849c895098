"""What an environment gets is always in its action space, dtype included; and memories and stores keep what it got."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC
from gcrl_zoo.common.actions import BOX_HEADS, ToActionSpace, make_action_head
from gcrl_zoo.common.explorers import Explorer, NoiseLevels, RandomPlay
from tests.support.case import policy_for
from tests.support.matrix import every_trajectory_case

FLOATS, INTEGERS = ("float16", "float32", "float64"), ("int8", "uint8", "int32", "uint32", "int64")
GOES_AS_FAR = {"float16": 4, "float32": 37, "float64": 37}


def random_boxes(dtype, n=15):
    """Asymmetric bounds of all magnitudes and shapes; some entries allow one value only."""
    rng = np.random.default_rng(0)
    for number in range(n):
        shape = [(1,), (3,), (2, 3)][number % 3]
        scale = 10 ** rng.uniform(-4, GOES_AS_FAR[dtype] if number % 5 == 0 else 2)
        a, b = (rng.normal(0, scale, shape).astype(dtype) for _ in range(2))
        b = np.where(rng.random(shape) < 0.1, a, b)
        yield spaces.Box(np.minimum(a, b), np.maximum(a, b), dtype=dtype)
    yield spaces.Box(-0.1, 0.1, (2,), dtype)
    yield spaces.Box(-1, 1, (2,), dtype)


SPACES = {
    "tenth": spaces.Box(-0.1, 0.1, (2, 3), np.float64),
    "half": spaces.Box(np.float16([-0.1, 0]), np.float16([0.3, 60000]), dtype=np.float16),
    "int8": spaces.Discrete(3, start=-2, dtype=np.int8),
}
PLAYED = ("tenth", "half", "int8")


class Strict(gym.Env):
    """Asserts that each action is in its space, and remembers it."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, space):
        self.action_space, self.got, self.steps = space, [], 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action) and action.dtype == self.action_space.dtype
        self.got.append(np.array(action))
        self.steps += 1
        return self.observation_space.sample(), float(self.steps), False, self.steps == 5, {}


def strict_env(case, space, n_envs=2):
    return DummyVecEnv([lambda: case.wrap(Strict(space))] * n_envs)


def make(case, env, **kwargs):
    settings = {"learning_starts": 10, "train_freq": 5, "gradient_steps": 1, "noise_levels": (0.0, 1.0)}
    return case.make(env, **{**settings, **kwargs})


def assert_in(space, actions):
    assert actions.dtype == space.dtype
    for action in actions:
        assert space.contains(action), f"{action!r} is outside {space}"


@pytest.mark.parametrize("kind", BOX_HEADS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_no_head_leaves_a_box(kind, dtype):
    """And what it remembers having chosen, float32, is what a store would keep of what the environment got."""
    for space in random_boxes(dtype):
        head, to_action_space = make_action_head(space, 4, kind), ToActionSpace(space)
        for scale in (0.3, 1000):
            for deterministic in (True, False):
                chosen = head.act(scale * head(th.randn(20, 4)).detach(), deterministic).detach().numpy()
                sent = to_action_space(chosen)
                assert_in(space, sent)
                np.testing.assert_array_equal(to_action_space.stored(sent), chosen)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("start", [0, 3])
def test_no_head_leaves_a_discrete_space(dtype, start):
    space = spaces.Discrete(5, start=start, dtype=dtype)
    head, to_action_space = make_action_head(space, 4), ToActionSpace(space)
    chosen = head.act(head(th.randn(50, 4))).detach().numpy()
    assert_in(space, to_action_space(chosen))
    assert len(np.unique(chosen)) == 5 and chosen.min() == start


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("hold", [1, 4])
def test_no_explorer_leaves_the_space(dtype, hold):
    rng, starts = np.random.default_rng(0), np.ones(20, dtype=bool)
    some = random_boxes(dtype, 10) if dtype in FLOATS else [spaces.Discrete(5, start=2, dtype=dtype)]
    for space in some:
        to_action_space = ToActionSpace(space)
        own = to_action_space(np.stack([space.sample() for _ in starts]))
        for explorer in (RandomPlay(space, rng, hold), NoiseLevels(space, rng, [0.5, 5.0], hold)):
            for _ in range(3):
                assert_in(space, explorer.perturb(own, starts))


@every_trajectory_case
@pytest.mark.parametrize("space", [SPACES[name] for name in PLAYED], ids=PLAYED)
def test_agents_play_and_act_inside_the_space(case, space):
    """Random play, noisy play, one observation and several; an action of a float64 space is float64."""
    env = strict_env(case, space)
    model = make(case, env).learn(40)
    assert model._n_updates and len(env.envs[0].unwrapped.got) == 20
    observation = env.reset()
    for deterministic in (True, False):
        state = None
        for _ in range(2):
            actions, state = model.predict(observation, state, deterministic=deterministic)
            assert_in(space, actions)
            observation, *_ = env.step(actions)
    one, _ = model.predict(env.envs[0].reset()[0])
    assert space.contains(one) and one.dtype == space.dtype


@pytest.mark.parametrize("kind", ["gaussian", "bins"])
@every_trajectory_case
def test_other_heads_stay_inside_too(case, kind):
    env = strict_env(case, SPACES["tenth"])
    model = make(case, env, policy_kwargs={"action_head": kind}).learn(30)
    assert_in(SPACES["tenth"], model.predict(env.reset(), deterministic=False)[0])


@every_trajectory_case
@pytest.mark.parametrize("space", [SPACES[name] for name in PLAYED], ids=PLAYED)
def test_stores_and_memories_keep_what_the_environment_got(case, space):
    env = strict_env(case, space, n_envs=1)
    model = make(case, env)
    act, heard = model.policy.act, []

    def spy(observation, memory, *rest, **kwargs):
        heard.append(None if memory is None else memory.actions.numpy().copy())
        return act(observation, memory, *rest, **kwargs)

    model.policy.act = spy
    model.learn(40)
    got = np.stack(env.envs[0].unwrapped.got)
    store = model.replay_buffer
    np.testing.assert_array_equal(store.take("actions", store.steps), got.astype(store.take("actions", [0]).dtype))
    if heard[1] is not None:  # a policy with memory gets an action one step later
        np.testing.assert_array_equal(np.concatenate(heard[1:]), got[:-1].astype(heard[1].dtype))


class Wild(Explorer):
    """Somebody's own, which does not look at the bounds."""

    def perturb(self, actions, episode_starts):
        return actions + 1000.0


def test_an_explorer_of_ones_own_cannot_leave_the_space():
    env = DummyVecEnv([lambda: Strict(SPACES["tenth"])])
    model = BC("MlpPolicy", env, learning_starts=0, train_freq=5, batch_size=2, gradient_steps=1)
    model.make_explorer = lambda rng: Wild()
    model.learn(20)
    assert (np.stack(env.envs[0].got)[1:] == 0.1).all()


ENDLESS = {
    "open": spaces.Box(-np.inf, np.inf, (2,)),
    "half open": spaces.Box(np.float32([0, -1]), np.float32([np.inf, 1])),
    "beyond float32": spaces.Box(-1e300, 1e300, (2,), np.float64),
}


@every_trajectory_case
@pytest.mark.parametrize("space", ENDLESS.values(), ids=ENDLESS)
def test_actions_without_bounds_are_refused_in_one_sentence(case, space):
    env = strict_env(case, space)
    with pytest.raises(ValueError, match=r"^[^\n]*bounds[^\n]*TransformAction[^\n]*\.$"):
        make(case, env)


def test_the_advice_for_actions_without_bounds_works():
    env = Strict(ENDLESS["open"])
    with pytest.raises(ValueError) as refused:
        BC(policy_for(env.observation_space), env)
    advice = str(refused.value).split("`")[1]
    bounded = eval(advice, {"gymnasium": gym, "env": env})
    BC("MlpPolicy", bounded, learning_starts=0, batch_size=2, train_freq=5).learn(10)
    assert np.abs(env.got).max() <= 1
