"""Goal wrappers: the checks of Gymnasium and SB3, success that is never latched, one map from observations to goals."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gym_check_env
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3 import DQN, SAC, HerReplayBuffer
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.wrappers import (
    DatasetGoal,
    FixedGoal,
    GoalWrapper,
    InfoGoal,
    LandingPad,
    LiftSuccess,
    SampledGoal,
    Upright,
)


class Walk(gym.Env):
    """A place on a plane that actions move, and its distance from the origin; reset names a goal in its info."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Box(-9, 9, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = np.zeros(2)
        return self._observation(), {"goal": np.array([1, 1, 2**0.5], np.float32)}

    def step(self, action):
        self.place = np.clip(self.place + action, -6, 6)
        return self._observation(), 7.0, False, False, {"success": float(self.place[0] >= 1)}

    def _observation(self):
        return np.array([*self.place, np.linalg.norm(self.place)], np.float32)


class Endless(Walk):
    """The same without bounds."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)


class Rooms(Walk):
    """The same with a Dict observation."""

    observation_space = spaces.Dict({"place": Walk.observation_space, "room": spaces.Discrete(3)})

    def _observation(self):
        return {"place": super()._observation(), "room": int(self.place[0] > 0)}


@pytest.fixture(autouse=True)
def ids():
    gym.register("Walk-v0", entry_point=f"{__name__}:Walk", max_episode_steps=20)
    gym.register("Rooms-v0", entry_point=f"{__name__}:Rooms", max_episode_steps=20)
    yield
    gym.registry.pop("Walk-v0")
    gym.registry.pop("Rooms-v0")


def store(keys=("observation",), n=5):
    """Episode i ends at (i, i), with a return of i."""
    episodes = []
    for i in range(n):
        line = np.linspace(0, i, 11)
        observations = np.stack([line, line, line * 2**0.5], axis=1).astype(np.float32)
        episodes.append(Episode({key: observations for key in keys}, np.zeros((10, 2)), np.full(10, i / 10)))
    return TrajectoryStore.from_episodes(episodes, name="five walks")


@pytest.fixture
def walks(tmp_path):
    """A saved dataset."""
    store().save(tmp_path / "walks.npz")
    return str(tmp_path / "walks.npz")


XY = {"indices": [0, 1], "threshold": 0.1}
MAKERS = {
    "fixed": lambda walks: FixedGoal(gym.make("Walk-v0"), [1, 1], **XY),
    "whole": lambda walks: FixedGoal(gym.make("Walk-v0"), [1, 1, 1.5], threshold=[0.1, 0.1, float("inf")]),
    "dict": lambda walks: FixedGoal(gym.make("Rooms-v0"), [1, 1], key="place", goal_reward=True, **XY),
    "room": lambda walks: FixedGoal(gym.make("Rooms-v0"), 1, key="room", threshold=0),
    "arrays": lambda walks: FixedGoal(
        gym.make("Walk-v0"), np.ones(2), indices=np.arange(2), threshold=(np.float32(0.1), 0.1)
    ),
    "box": lambda walks: SampledGoal(gym.make("Walk-v0"), low=-np.ones(2), high=np.array(2), **XY),
    "sampled": lambda walks: SampledGoal(gym.make("Walk-v0"), low=-1, high=[1, 2], terminate=True, **XY),
    "dataset": lambda walks: DatasetGoal(gym.make("Walk-v0"), walks, final=True, best=0.5, **XY),
    "info": lambda walks: InfoGoal(gym.make("Walk-v0")),
    "pad": lambda walks: LandingPad(gym.make("LunarLander-v3")),
    "upright": lambda walks: Upright(gym.make("CartPole-v1")),
    "discrete": lambda walks: FixedGoal(gym.make("FrozenLake-v1"), 15, threshold=0),
}


@pytest.fixture(params=MAKERS)
def env(request, walks):
    """A goal wrapper of each kind."""
    return MAKERS[request.param](walks)


def play(env, n=60, seed=0):
    """Observations, rewards (None after a reset) and infos of random play."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    yield observation, None, info
    for _ in range(n):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        yield observation, reward, info
        if terminated or truncated:
            observation, info = env.reset()
            yield observation, None, info


def test_checks(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(different from the unwrapped version|infinity).*")
        gym_check_env(env, skip_render_check=True)
        sb3_check_env(env)


def test_the_same_seed_gives_the_same_goals(env):
    def goals():
        return [observation["desired_goal"] for observation, *_ in play(env)]

    np.testing.assert_array_equal(goals(), goals())


def test_achieved_goals_are_a_function_of_observations(env):
    observations = [observation for observation, *_ in play(env)]
    for observation in observations:
        assert observation in env.observation_space
    achieved = np.array([observation["achieved_goal"] for observation in observations])
    batch = {env.key: np.array([observation[env.key] for observation in observations])}  # as a store has it
    np.testing.assert_array_equal(env.achieved_goal_of(batch), achieved)
    np.testing.assert_array_equal(env.achieved_goal_of(batch[env.key]), achieved)
    np.testing.assert_array_equal(env.achieved_goal_of(batch[env.key][:, None])[:, 0], achieved)


def test_reward_and_success(env):
    steps = [step for step in play(env) if step[1] is not None]
    achieved, desired = (
        np.array([observation[key] for observation, *_ in steps]) for key in ("achieved_goal", "desired_goal")
    )
    rewards = env.compute_reward(achieved, desired, {})
    assert rewards.shape == (len(steps),) and rewards.dtype == np.float32 and set(rewards) <= {0, -1}
    for (observation, reward, info), expected in zip(steps, rewards, strict=True):
        assert env.compute_reward(observation["achieved_goal"], observation["desired_goal"], info) == expected
        assert type(info["is_success"]) is bool
        assert isinstance(env, InfoGoal) or info["is_success"] == (expected == 0)
        assert reward == expected or not env.goal_reward


def test_spec_round_trip(env):
    again = gym.make(env.spec)
    assert type(again) is type(env)
    assert again.observation_space == env.observation_space
    assert gym.envs.registration.EnvSpec.from_json(env.spec.to_json()) == env.spec


def walk(env, *actions):
    """Rewards and success flags on the way, and whether the episode went on."""
    env.reset(seed=0)
    steps = [env.step(np.array(action, np.float32)) for action in actions]
    return [step[1] for step in steps], [step[4]["is_success"] for step in steps], [not step[2] for step in steps]


@pytest.mark.parametrize("wrap", [lambda env: FixedGoal(env, [1, 0], **XY), lambda env: InfoGoal(env)])
def test_success_is_that_of_the_step(wrap):
    rewards, success, alive = walk(wrap(gym.make("Walk-v0")), (0.5, 0), (0.5, 0), (-0.5, 0))
    assert success == [False, True, False]
    assert rewards == [7, 7, 7] and alive == [True, True, True]


def test_reward_of_the_goal_and_the_end_of_the_episode():
    env = FixedGoal(gym.make("Walk-v0"), [1, 0], goal_reward=True, terminate=True, **XY)
    rewards, success, alive = walk(env, (0.5, 0), (0.5, 0))
    assert rewards == [-1, 0] and success == [False, True] and alive == [True, False]


def test_thresholds():
    env = FixedGoal(gym.make("Walk-v0"), [0, 0, 0], threshold=1)
    assert env.reached(np.eye(3), np.zeros(3)).all()
    assert not env.reached([0.8, 0.8, 0], np.zeros(3))  # Euclidean
    env = FixedGoal(gym.make("Walk-v0"), [0, 0, 0], threshold=[1, 0.9, float("inf")])
    assert env.reached([[0.8, 0.8, 8], [0.8, 1, 0]], np.zeros((2, 3))).tolist() == [True, False]


def test_goals_of_a_box():
    env = SampledGoal(gym.make("Walk-v0"), low=[-1, 0], high=2, **XY)
    goals = np.array([env.reset(seed=seed)[0]["desired_goal"] for seed in range(300)])
    np.testing.assert_allclose(goals.min(0), [-1, 0], atol=0.05)
    np.testing.assert_allclose(goals.max(0), [2, 2], atol=0.05)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {i * step for i in range(5) for step in range(11)}),
        ({"final": True}, {0, 10, 20, 30, 40}),
        ({"final": True, "best": 0.4}, {30, 40}),
        ({"best": 0.2}, {4 * step for step in range(11)}),
    ],
)
def test_goals_of_a_dataset(options, expected, walks):
    for dataset in (walks, store()):
        env = DatasetGoal(gym.make("Walk-v0"), dataset, **options, **XY)
        goals = np.array([env.reset(seed=seed)[0]["desired_goal"] for seed in range(600)])
        assert set(np.rint(goals[:, 0] * 10)) == expected


def test_the_goal_in_the_info():
    env = InfoGoal(gym.make("Walk-v0"), **XY)
    assert env.reset(seed=0)[0]["desired_goal"].tolist() == [1, 1]


def test_goals_of_ones_own():
    class Opposite(GoalWrapper):
        def sample_goal(self, info):
            return -self.achieved_goal_of(info["goal"])

    env = Opposite(gym.make("Walk-v0"), **XY)
    assert env.reset(seed=0)[0]["desired_goal"].tolist() == [-1, -1]


def test_a_landing_on_the_pad_is_a_success():
    from gymnasium.envs.box2d.lunar_lander import heuristic

    env = LandingPad(gym.make("LunarLander-v3"))
    landed = []
    for seed in (0, 3):  # lands on the pad; flies off to the side
        observation, _ = env.reset(seed=seed)
        done = False
        while not done:
            action = heuristic(env.unwrapped, observation["observation"]) if seed == 0 else 3
            observation, reward, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        landed.append((info["is_success"], reward))
    assert landed == [(True, 100), (False, -100)]


def test_cartpole_succeeds_while_it_stands():
    for actions, expected in ((0, 1, 0, 1, 0), (True, True)), ((0,) * 5, (True, True)), ((0,) * 12, (True, False)):
        env = Upright(gym.make("CartPole-v1", max_episode_steps=len(actions)))
        env.reset(seed=0)
        flags = []
        for action in actions:
            *_, terminated, truncated, info = env.step(action)
            flags.append(info["is_success"])
            if terminated or truncated:
                break
        assert (flags[0], flags[-1]) == expected
        assert flags[-1] != terminated


def wrappers(*entries):
    return get_wrapper_class({"env_wrapper": list(entries)})


FIXED = {"gcrl_zoo.wrappers.FixedGoal": {"goal": [0, 0], "indices": [0, 1], "threshold": 0.1}}
TIME, TO_GO = "sb3_contrib.common.wrappers.TimeFeatureWrapper", "gcrl_zoo.wrappers.ReturnToGo"


@pytest.mark.parametrize(
    "entries",
    [[FIXED], [FIXED, TIME], [TIME, FIXED], [FIXED, TO_GO], [TO_GO, FIXED], [TO_GO, FIXED, TIME], [FIXED, TIME, TO_GO]],
    ids=str,
)
def test_as_env_wrapper_of_rl_zoo_with_others(entries):
    venv = make_vec_env("Walk-v0", n_envs=2, wrapper_class=wrappers(*entries))
    sb3_check_env(venv.envs[0], warn=False)
    observation = venv.reset()
    assert observation["observation"].shape == (2, 3 + (TIME in entries))
    assert ("return_to_go" in observation) == (TO_GO in entries)
    np.testing.assert_array_equal(observation["achieved_goal"], np.zeros((2, 2)))
    assert venv.env_method("compute_reward", np.zeros((4, 2)), np.zeros((4, 2)), [{}] * 4, indices=[0])[0].shape == (4,)
    inner = np.zeros((5, 7, 3 + (entries[0] == TIME)))
    assert venv.env_method("achieved_goal_of", {"observation": inner}, indices=[0])[0].shape == (5, 7, 2)


def test_lifted_success_of_a_goal_is_the_goals():
    env = LiftSuccess(FixedGoal(gym.make("Walk-v0"), [-1, 0], **XY))
    env.reset(seed=0)
    assert env.step(np.array([1, 0]))[-1] == {"success": 1.0, "is_success": False}
    assert env.compute_reward(np.zeros(2), np.zeros(2), {}) == 0


@pytest.mark.parametrize("algorithm", [SAC, pytest.param(DQN, marks=pytest.mark.thorough)])
def test_hindsight_experience_replay(algorithm):
    if algorithm is SAC:
        env = FixedGoal(gym.make("Walk-v0"), [1, 1], goal_reward=True, **XY)
    else:
        env = FixedGoal(gym.make("FrozenLake-v1"), 15, threshold=0, goal_reward=True)
    model = algorithm(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4},
        learning_starts=100,
        batch_size=32,
        policy_kwargs={"net_arch": [16]},
        seed=0,
    )
    model.learn(200)
    rewards = model.replay_buffer.sample(256).rewards.unique().tolist()
    assert rewards == [-1, 0]  # 0 only in hindsight: the goal itself is out of reach of random play


def make(name="Walk-v0"):
    return gym.make(name)


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda: FixedGoal(make(), [1], **XY), r"goal \[1\] of shape \(1,\), but a goal has the shape \(2,\)"),
        (lambda: FixedGoal(make(), [1, 99], **XY), "which can never be observed"),
        (lambda: FixedGoal(make(), [1, float("nan")], **XY), "which can never be observed"),
        (
            lambda: FixedGoal(Endless(), [1, np.inf], **XY),
            r"the goal \[1, inf\], .*: it is not finite",
        ),
        (
            lambda: SampledGoal(Endless(), -1, np.inf, **XY),
            r"the high \[inf inf\], .*: it is not finite",
        ),
        (lambda: SampledGoal(make(), "low", 1, **XY), "the low .*; give a number, or a list of them"),
        (lambda: SampledGoal(make(), [[1], [1, 2]], 1, **XY), "the low .*; give a number, or a list of them"),
        (lambda: FixedGoal(make(), "far", **XY), "the goal 'far'; give a number, or a list of them"),
        (lambda: FixedGoal(make(), [[1], [1, 2]], **XY), r"the goal \[\[1\], \[1, 2\]\]; give a number"),
        (lambda: FixedGoal(make(), ["1", "1"], **XY), r"the goal \['1', '1'\]; give a number"),
        (lambda: FixedGoal(make(), [1, 1], indices=[0, 1], threshold="0.1"), "the threshold '0.1'; give a number"),
        (lambda: FixedGoal(make(), [1, 1], indices=[0, 1], threshold=[[1], 2]), r"threshold \[\[1\], 2\]; give a num"),
        (lambda: FixedGoal(make(), [1], indices=[[0], 1], threshold=1), r"the indices \[\[0\], 1\]; give a number"),
        (lambda: FixedGoal(make(), [1], indices=[3], threshold=1), r"indices \[3\], but .* the entries 0 to 2"),
        (lambda: FixedGoal(make(), [1], indices=[-1], threshold=1), r"indices \[-1\], but .* the entries 0 to 2"),
        (lambda: FixedGoal(make(), [], indices=[], threshold=1), r"give a list of some of these"),
        (lambda: FixedGoal(make(), [1], indices=0, threshold=1), r"indices 0, .*; give a list of some of these"),
        (lambda: FixedGoal(make(), [1, 1], indices=[0, 1], threshold=-1), "threshold -1; give one number"),
        (lambda: FixedGoal(make(), [1, 1], indices=[0, 1], threshold=[1] * 3), r"one for each entry.*shape is \(2,\)"),
        (
            lambda: FixedGoal(make(), [1, 1], key="place", **XY),
            "'place', but the observation of .* has the keys 'observation'",
        ),
        (
            lambda: FixedGoal(make("Rooms-v0"), [1, 1], **XY),
            "'observation', but .* has the keys 'place', 'room'; give one",
        ),
        (
            lambda: FixedGoal(make("Rooms-v0"), 1, threshold=0, indices=[0], key="room"),
            r"Discrete\(3\); leave them out",
        ),
        (lambda: FixedGoal(make("FrozenLake-v1"), 16, threshold=0), r"16, .* it is not in Discrete\(16\)"),
        (lambda: FixedGoal(make("FrozenLake-v1"), 1.5, threshold=0), r"1.5, .* it is not in Discrete\(16\)"),
        (lambda: FixedGoal(make("Blackjack-v1"), 1, threshold=0), "a Tuple space; flatten it"),
        (lambda: FixedGoal(FixedGoal(make(), [1, 1], **XY), [1, 1], **XY), "already has the key 'achieved_goal'"),
        (lambda: SampledGoal(make(), [2, 0], 1, **XY), r"low \[2, 0\] above high 1; exchange them"),
        (lambda: SampledGoal(make(), -99, 1, **XY), r"the low \[-99 -99\], which can never be observed"),
        (lambda: SampledGoal(make("FrozenLake-v1"), 0, 15, threshold=0), "use FixedGoal or DatasetGoal instead"),
        (lambda: DatasetGoal(make(), store(("pixels",)), **XY), "'observation', but five walks has 'pixels'"),
        (lambda: DatasetGoal(make("CartPole-v1"), store(), threshold=1), r"of shape \(4,\), but got \(1, 3\)"),
        (lambda: DatasetGoal(make(), store(), best=2, **XY), "best fraction 2 of five walks"),
        (lambda: InfoGoal(make(), goal_key="target").reset(), "found no 'target' .*, only 'goal'; give its name"),
        (lambda: Upright(make()), "Upright is for CartPoleEnv, but got .*; use FixedGoal"),
        (lambda: LandingPad(make("CartPole-v1")), "LandingPad is for LunarLander, but got .*; use FixedGoal"),
    ],
)
def test_a_mistake_is_one_sentence(wrap, message):
    with pytest.raises(ValueError, match=message) as error:
        wrap()
    assert "\n" not in str(error.value)
