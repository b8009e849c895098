"""Bad input is answered by one clear sentence before training starts; what can only be seen later, by a ValueError."""

import math
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from gymnasium import spaces
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from gcrl_zoo.common.learner import NonFiniteLoss
from gcrl_zoo.data import Episode, TrajectoryStore
from tests.support.case import data_of
from tests.support.envs import OBSERVATION_SPACES, PointEnv, make_store
from tests.support.matrix import every_trajectory_case, sources_of

SENTENCE = r"(?s)^(?!.*\n).*[.?]$"


def refusal(error, make, *words):
    """The sentence with which ``make`` is refused; it holds all these words."""
    with pytest.raises(error, match=SENTENCE) as caught:
        make()
    told = str(caught.value)
    assert all(word in told for word in words), told
    return told


def episodes_of(observations, actions):
    """Two episodes with these columns."""
    return [Episode({"observation": observations}, actions, np.ones(len(actions)))] * 2


OTHER_OBSERVATIONS = {
    "wrong shape": (np.zeros((5, 3)), "(3,)"),
    "more dimensions": (np.zeros((5, 2, 1)), "(2, 1)"),
    "discrete": (np.zeros(5, dtype=np.int64), "()"),
}
OTHER_ACTIONS = {
    "box": (np.zeros((4, 2), dtype=np.float32), "(2,)"),
    "many discrete": (np.zeros((4, 2), dtype=np.int64), "(2,)"),
    "float": (np.zeros(4, dtype=np.float32), "vectors"),
}


@sources_of("dataset", "dataset + own play", "stream + own play")
@pytest.mark.parametrize("kind", OTHER_OBSERVATIONS)
def test_data_with_other_observations(case, source, kind):
    observations, found = OTHER_OBSERVATIONS[kind]
    argument = "stream" if "stream" in source else "dataset"
    store = TrajectoryStore.from_episodes(episodes_of(observations, np.full(4, 2)), name="theirs")
    refusal(ValueError, lambda: case.make(**{argument: store}), argument, "'theirs'", "observations", found, "(2,)")


@sources_of("dataset", "stream + own play")
def test_data_with_other_observation_keys(case, source):
    argument = "stream" if "stream" in source else "dataset"
    make = lambda: case.make(case.env("goal"), **{argument: make_store()})  # noqa: E731
    refusal(ValueError, make, argument, "achieved_goal", "observation")


@sources_of("dataset")
def test_data_with_values_beyond_the_space(case, source):
    """Discrete numbers that the environment does not have would be an index error in training."""
    store = make_store("discrete")
    store = TrajectoryStore.from_episodes(
        [*store.episodes(), *episodes_of(np.full(5, 40), np.full(4, 3))], name="theirs"
    )
    refusal(ValueError, lambda: case.make(case.env("discrete"), dataset=store), "'theirs'", "observation", "40")
    store = TrajectoryStore.from_episodes(episodes_of(np.zeros((5, 2)), np.array([2, 3, 0, 4])), name="theirs")
    refusal(ValueError, lambda: case.make(dataset=store), "'theirs'", "actions", "Discrete(5, start=2)")


@sources_of("dataset", "dataset + own play", "stream + own play")
@pytest.mark.parametrize("kind", ["image", "discrete", "multi_discrete", "multi_binary"])
def test_data_between_whole_numbers(case, source, kind):
    """Pixels in [0, 1] would be black, 4.5 would be 4."""
    argument = "stream" if "stream" in source else "dataset"
    episodes = [replace(each, observations=halves(each.observations)) for each in make_store(kind).episodes()]
    store = TrajectoryStore.from_episodes(episodes, name="theirs")
    own_play = {"own_play": True} if source == "dataset + own play" else {}
    words = argument, "'theirs'", "'observation'", "float32", type(OBSERVATION_SPACES[kind]).__name__
    refusal(ValueError, lambda: case.make(case.env(kind), **{argument: store}, **own_play), *words)


def halves(observations):
    return {key: column / 2 for key, column in observations.items()}


@sources_of("dataset")
def test_choices_between_whole_numbers(case, source):
    episodes = episodes_of(np.zeros((5, 2)), np.full(4, 2.5))
    store = TrajectoryStore.from_episodes(episodes, name="theirs", action_space=case.env().action_space)
    refusal(ValueError, lambda: case.make(dataset=store), "'theirs'", "actions", "float32", "Discrete(5, start=2)")


@sources_of("dataset")
@pytest.mark.parametrize(("kind", "outside"), [("image", 256), ("image", -1), ("multi_binary", 2)])
def test_whole_numbers_beyond_their_type(case, source, kind, outside):
    episodes = [
        replace(each, observations={key: np.full(column.shape, outside) for key, column in each.observations.items()})
        for each in make_store(kind).episodes()
    ]
    store = TrajectoryStore.from_episodes(episodes, name="theirs")
    refusal(ValueError, lambda: case.make(case.env(kind), dataset=store), "'theirs'", "'observation'", str(outside))


@sources_of("dataset + own play")
@pytest.mark.parametrize("kind", ["image", "discrete", "multi_discrete", "multi_binary"])
def test_whole_numbers_of_another_type_fit(case, source, kind):
    episodes = [
        replace(each, observations={key: column.astype(int) for key, column in each.observations.items()})
        for each in make_store(kind).episodes()
    ]
    assert case.make(case.env(kind), dataset=TrajectoryStore.from_episodes(episodes), own_play=True).learn(60)


@sources_of("dataset")
@pytest.mark.parametrize("kind", OTHER_ACTIONS)
def test_data_with_other_actions(case, source, kind):
    actions, found = OTHER_ACTIONS[kind]
    store = TrajectoryStore.from_episodes(episodes_of(np.zeros((5, 2)), actions), name="theirs")
    refusal(ValueError, lambda: case.make(dataset=store), "'theirs'", "actions", found, "Discrete(5, start=2)")


@sources_of("dataset")
@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.Discrete(5), spaces.Box(-1, 1, (2,))], ids=str)
def test_data_whose_action_space_is_another(case, source, space):
    episodes = list(make_store(action="discrete" if isinstance(space, spaces.Discrete) else "box").episodes())
    store = TrajectoryStore.from_episodes(episodes, name="theirs", action_space=space)
    refusal(ValueError, lambda: case.make(dataset=store), "'theirs'", str(space), "Discrete(5, start=2)")


@sources_of("dataset")
def test_data_without_actions_is_no_dataset(case, source):
    refusal(ValueError, lambda: case.make(dataset=make_store(actions=False)), "no actions", "`stream`")


@sources_of("dataset", "dataset + stream", "dataset + own play", "stream + own play")
def test_data_without_rewards_where_returns_are_needed(case, source):
    if not case.algorithm.needs.rewards:
        pytest.skip("this method needs none")
    data = {k: make_store(rewards=False) if isinstance(v, TrajectoryStore) else v for k, v in data_of(source).items()}
    refusal(ValueError, lambda: case.make(**data), "no rewards")


@sources_of("dataset", "stream + own play")
def test_an_empty_store(case, source):
    argument = "stream" if "stream" in source else "dataset"
    refusal(ValueError, lambda: case.make(**{argument: TrajectoryStore(name="theirs")}), "theirs", "empty")


@sources_of("dataset", "stream + own play")
def test_a_dataset_that_is_nowhere(case, source):
    argument = "stream" if "stream" in source else "dataset"
    refusal(ValueError, lambda: case.make(**{argument: "no/such-v0"}), "'no/such-v0'", "minari download")
    refusal(ValueError, lambda: case.make(**{argument: "./nothing.npz"}), "nothing.npz")


@sources_of("own play")
def test_neither_data_nor_own_play(case, source):
    refusal(ValueError, lambda: case.make(own_play=False), "`dataset`", "`own_play: true`")


@every_trajectory_case
@pytest.mark.parametrize("wrapper", [VecNormalize, lambda env: VecFrameStack(env, 2)], ids=["normalize", "frame_stack"])
def test_wrappers_that_data_knows_nothing_of(case, wrapper, tmp_path):
    word = "`normalize`" if wrapper is VecNormalize else "`frame_stack`"
    refusal(ValueError, lambda: case.make(wrapper(case.env())), word)
    case.make().save(tmp_path / "agent")
    refusal(ValueError, lambda: case.make().set_env(wrapper(case.env())), word)
    if wrapper is VecNormalize:
        refusal(ValueError, lambda: case.algorithm.load(tmp_path / "agent", env=wrapper(case.env())), word)


@every_trajectory_case
def test_actions_without_bounds(case):
    env = PointEnv(action="box")
    env.action_space = spaces.Box(-np.inf, np.inf, (2,))
    refusal(ValueError, lambda: case.make(DummyVecEnv([lambda: case.wrap(env)])), "infinite", "TransformAction")


@every_trajectory_case
def test_stacked_frames_belong_inside_of_goals(case):
    refusal(ValueError, lambda: case.make(VecFrameStack(case.env(), 2)), "FrameStackObservation", "inside")


@every_trajectory_case
@pytest.mark.parametrize("space", [spaces.Box(-1, 1, ()), spaces.Box(-3, 3, (2,), np.int64)], ids=str)
def test_boxes_that_are_no_vectors_of_floats(case, space):
    env = PointEnv(action="box")
    env.action_space = space
    refusal(ValueError, lambda: case.make(DummyVecEnv([lambda: case.wrap(env)])), str(space), "wrapper")


@every_trajectory_case
@pytest.mark.parametrize(("wrong", "right"), [("bach_size", "batch_size"), ("learning_rat", "learning_rate")])
def test_an_unknown_argument(case, wrong, right, tmp_path):
    refusal(TypeError, lambda: case.make(**{wrong: 1}), f"'{wrong}'", f"'{right}'", case.algorithm.__name__)
    case.make().save(tmp_path / "agent")
    refusal(TypeError, lambda: case.algorithm.load(tmp_path / "agent", **{wrong: 1}), f"'{wrong}'", f"'{right}'")


@every_trajectory_case
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 1),
        ("train_freq", 0),
        ("gradient_steps", -7),
        ("max_episode_steps", 0),
        ("warmup_steps", "many"),
        ("max_grad_norm", 0),
        ("return_scale", 0.0),
        ("noise_levels", (-1.0,)),
        ("noise_hold", 0.5),
        ("noise_hold", None),
        ("noise_hold", "long"),
        ("noise_kind", "pink"),
        ("random_rest", 1.0),
        ("random_rest", -0.1),
        ("batch_size", 16.0),
        ("batch_size", True),
        ("batch_size", None),
        ("buffer_size", 1e6 + 0.5),
        ("buffer_size", math.inf),
        ("buffer_size", None),
        ("learning_starts", 10.5),
        ("learning_starts", math.nan),
        ("warmup_steps", 10.0),
        ("train_freq", 12.0),
        ("train_freq", math.nan),
        ("gradient_steps", 4.0),
        ("max_episode_steps", 5.5),
        ("max_grad_norm", math.nan),
        ("return_scale", math.inf),
        ("target_return", "high"),
        ("target_return", math.nan),
        ("learning_rate", math.nan),
        ("learning_rate", -1e-3),
    ],
)
def test_settings_that_cannot_be(case, name, value, tmp_path):
    refusal(ValueError, lambda: case.make(**{name: value}), name)
    case.make().save(tmp_path / "agent")
    refusal(ValueError, lambda: case.algorithm.load(tmp_path / "agent", **{name: value}), name)


@every_trajectory_case
@pytest.mark.parametrize("name", ["batch_size", "buffer_size", "learning_rate", "max_grad_norm", "target_return"])
@pytest.mark.parametrize(("text", "number"), [("1e3", "1000"), ("1e-3", "0.001")])
def test_numbers_that_yaml_reads_as_text(case, name, text, number):
    assert yaml.safe_load(f"a: {text}") == {"a": text}
    refusal(ValueError, lambda: case.make(**{name: text}), name, f"'{text}'", "text", number)


@sources_of("own play")
def test_large_numbers_as_yaml_writes_them(case, source, tmp_path):
    """`!!float 1e6` is a float; the argument stays as it was given."""
    given = {"buffer_size": 1e3, "learning_starts": 24.0, "max_episode_steps": 5.0}
    model = case.make(**given).learn(60)
    assert model._n_updates and {name: vars(model)[name] for name in given} == given
    assert model.replay_buffer.capacity == 1000 and model.replay_buffer.lengths.max() == 5
    model.save(tmp_path / "agent")
    case.algorithm.load(tmp_path / "agent", env=case.env()).learn(60)
    case.make(**given, dataset=make_store(), own_play=True).learn(60)


@sources_of("own play", "dataset + own play")
def test_a_buffer_in_which_no_episode_fits(case, source):
    data = {k: make_store(length=3, n_episodes=2) if k == "dataset" else v for k, v in data_of(source).items()}
    limited = DummyVecEnv([lambda: TimeLimit(case.wrap(PointEnv(max_steps=99)), 30)])
    words = "buffer_size", "20", "31", "max_episode_steps"
    refusal(ValueError, lambda: case.make(limited, buffer_size=20, **data), *words)
    case.make(limited, buffer_size=20, max_episode_steps=19, **data).learn(60)
    refusal(ValueError, lambda: case.make(buffer_size=20, max_episode_steps=30, **data), *words)
    if "dataset" in source:
        case.make(limited, dataset=make_store(), buffer_size=20)  # which does not play
        return
    pendulum = lambda: case.wrap(PendulumEnv())  # noqa: E731
    unlimited = DummyVecEnv([pendulum, lambda: TimeLimit(pendulum(), 10)])
    case.make(unlimited, buffer_size=20)  # nobody knows
    refusal(ValueError, lambda: case.make(case.env(max_steps=12), buffer_size=3).learn(60), "buffer_size", "3")


@every_trajectory_case
def test_an_unknown_argument_that_resembles_none(case):
    refusal(TypeError, lambda: case.make(zzz=1), "'zzz'", "batch_size", "seed")


@every_trajectory_case
def test_an_unknown_policy_argument(case):
    make = lambda: case.make(policy_kwargs={"acton_head": "bins"})  # noqa: E731
    refusal(TypeError, make, "'acton_head'", "'action_head'", "policy_kwargs")
    make = lambda: case.make(case.env(action="box"), policy_kwargs={"action_head": "bin"})  # noqa: E731
    refusal(ValueError, make, "bin", "bins")
    refusal(ValueError, lambda: case.make(policy_kwargs={"action_head": "bins"}), "bins", "Discrete")
    kwargs = {"action_head": "bins", "action_head_kwargs": {"n_bin": 3}}
    refusal(TypeError, lambda: case.make(case.env(action="box"), policy_kwargs=kwargs), "'n_bin'", "'n_bins'")


@sources_of("own play")
@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("part", ["reward", "observation"])
@pytest.mark.parametrize("broken", [5, 40])
def test_own_play_that_goes_wrong(case, source, part, action, broken):
    """A ValueError, so that a search prunes the trial; before and after learning starts."""
    env = case.env("box", action, broken=broken, broken_part=part)
    refusal(ValueError, lambda: case.make(env).learn(100), "nan", part, "step")


@sources_of("own play", "dataset")
@pytest.mark.parametrize("log_interval", [10, 1000, None])
def test_a_diverging_loss(case, source, log_interval, monkeypatch):
    model = case.make(**data_of(source))
    compute = model.compute_loss
    monkeypatch.setattr(model, "compute_loss", lambda batches: (compute(batches)[0] * th.nan, {}))
    refusal(NonFiniteLoss, lambda: model.learn(60, log_interval=log_interval), "diverged", "loss", "learning_rate")
    assert issubclass(NonFiniteLoss, ValueError)


@sources_of("dataset")
def test_learning_without_an_environment(case, source, tmp_path):
    case.make(**data_of(source)).save(tmp_path / "agent")
    refusal(ValueError, lambda: case.algorithm.load(tmp_path / "agent").learn(10), "environment", "`set_env`")


@sources_of("own play")
def test_a_buffer_of_another_environment(case, source, tmp_path):
    case.make(case.env(action="box")).learn(60).save_replay_buffer(tmp_path / "buffer.pkl")
    refusal(
        ValueError, lambda: case.make().load_replay_buffer(tmp_path / "buffer.pkl"), "actions", "Discrete(5, start=2)"
    )
    refusal(ValueError, lambda: case.make().load_replay_buffer(tmp_path / "nothing.pkl"), "nothing.pkl")


@sources_of("dataset + own play")
def test_recorded_commands_do_not_hinder_own_play(case, source):
    """Minari keeps the desired goal in the observation; a store of own play holds facts only."""
    store = make_store("goal")
    episodes = [
        Episode({**each.observations, "desired_goal": each.observations["achieved_goal"]}, each.actions, each.rewards)
        for each in store.episodes()
    ]
    model = case.make(case.env("goal"), dataset=TrajectoryStore.from_episodes(episodes), own_play=True).learn(60)
    assert model.replay_buffer.n_episodes > len(episodes)
    assert isinstance(case.env("goal").observation_space, gym.spaces.Dict)


@sources_of("dataset + own play")
def test_numbers_of_another_type_do_not_hinder_own_play(case, source):
    episodes = episodes_of(np.zeros((5, 2), dtype=np.int64), np.full(4, 2))
    model = case.make(dataset=TrajectoryStore.from_episodes(episodes), own_play=True).learn(60)
    assert model.replay_buffer.n_episodes > len(episodes)


@sources_of("own play")
def test_play_in_which_no_episode_ends_is_not_taken_for_learning(case, source):
    with pytest.warns(UserWarning, match="`max_episode_steps`"):
        case.make(DummyVecEnv([lambda: case.wrap(PendulumEnv())])).learn(60)  # without the TimeLimit of gym.make
