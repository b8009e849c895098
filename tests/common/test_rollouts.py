"""Rounds of own play are SB3's rollouts: their events, their variables, and how long they last."""

import json
import math
import re
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, CheckpointCallback, EveryNTimesteps
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.common.arguments import as_timesteps, as_train_freq
from gcrl_zoo.zoo.trust import check_agent
from tests.support.case import data_of
from tests.support.envs import PointEnv
from tests.support.matrix import every_trajectory_case, sources_of

ROUND = 12  # `train_freq` of all cases


class Events(BaseCallback):
    """Notes what it hears, and when."""

    def __init__(self, stop=None):
        super().__init__()
        self.heard, self.stop = [], stop

    def _on_training_start(self):
        self.heard.append(("training starts", self.num_timesteps))

    def _on_rollout_start(self):
        self.heard.append(("rollout starts", self.model.num_timesteps))

    def _on_step(self):
        self.heard.append(("step", self.num_timesteps))
        return self.num_timesteps != self.stop

    def _on_rollout_end(self):
        self.heard.append(("rollout ends", self.model.num_timesteps))

    def _on_training_end(self):
        self.heard.append(("training ends", self.num_timesteps))

    def of(self, *names):
        return [(name, at) for name, at in self.heard if name in names]


@sources_of("own play", "dataset + own play")
def test_each_round_of_own_play_is_a_rollout(case, source):
    events = Events()
    case.make(case.env(n_envs=2), gradient_steps=1, **data_of(source)).learn(60, CallbackList([events]))
    assert events.of("rollout starts") == [("rollout starts", at) for at in (0, 24, 48)]
    assert events.of("rollout ends") == [("rollout ends", at) for at in (24, 48, 60)]
    kinds = [name for name, _ in events.heard]
    rollout = ["rollout starts", *["step"] * ROUND, "rollout ends"]
    last = ["rollout starts", *["step"] * 6, "rollout ends"]
    assert kinds == ["training starts", *rollout, *rollout, *last, "training ends"]


@sources_of("own play")
def test_updates_come_after_the_rollout(case, source, monkeypatch):
    model, events = case.make(learning_starts=0), Events()
    train = model.train
    monkeypatch.setattr(
        model,
        "train",
        lambda *args, **kwargs: events.heard.append(("updates", model.num_timesteps)) or train(*args, **kwargs),
    )
    model.learn(3 * ROUND, events)
    order = events.of("rollout starts", "rollout ends", "updates")
    assert [name for name, _ in order[-3:]] == ["rollout starts", "rollout ends", "updates"]


@sources_of("own play")
def test_a_callback_that_stops_training_ends_no_rollout(case, source):
    """As in SB3."""
    events = Events(stop=7)
    case.make().learn(60, events)
    assert events.heard[-2:] == [("step", 7), ("training ends", 7)] and not events.of("rollout ends")


@sources_of("dataset")
def test_a_dataset_is_no_rollout(case, source):
    events = Events()
    case.make(**data_of(source)).learn(5, events)
    assert not events.of("rollout starts", "rollout ends")


@sources_of("own play", "dataset")
def test_any_false_stops(case, source):
    """``test_callbacks_can_cancel_runs`` of SB3."""
    model = case.make(**data_of(source))
    for no in (False, np.bool_(0), th.tensor(0, dtype=th.bool)):
        assert model.learn(10, lambda *_, no=no: no).num_timesteps == 1


@sources_of("own play")
def test_callbacks_find_the_variables_of_sb3(case, source):
    """``test_callbacks`` of SB3: the same objects for all callbacks, of the step that has just been made."""
    env, found = case.env(n_envs=2), []
    inner = CheckpointCallback(10**6, "never")

    class Look(BaseCallback):
        def _on_step(self):
            found.append((self.locals["num_collected_steps"], self.locals["num_collected_episodes"]))
            assert self.locals["self"] is self.model and self.locals["replay_buffer"] is self.model.replay_buffer
            assert self.locals["env"] is self.model.env
            assert all(len(self.locals[name]) == 2 for name in ("actions", "rewards", "dones", "infos"))
            return True

    callback = CallbackList([Look(), EveryNTimesteps(4, inner)])
    case.make(env).learn(2 * ROUND, callback)
    for each in (inner, callback.callbacks[1]):
        assert each.locals["new_obs"] is callback.locals["new_obs"]
    observation = callback.locals["new_obs"]
    first = {key: value[0] for key, value in observation.items()} if isinstance(observation, dict) else observation[0]
    assert env.observation_space.contains(first)
    assert [steps for steps, _ in found] == list(range(1, ROUND + 1))
    assert callback.locals["tb_log_name"] == case.algorithm.__name__ and callback.locals["total_timesteps"] == 24


@sources_of("own play", "dataset")
def test_a_variable_that_is_not_there_is_explained(case, source):
    model, kind = case.make(**data_of(source)), "dataset" if source == "dataset" else "own play"
    names = ["values"] if source == "own play" else ["rewards", "new_obs", "actions", "values", "replay_buffer"]
    for name in names:
        with pytest.raises(KeyError) as caught:
            model.learn(2, lambda local, _, name=name: local[name] is not None)
        words = rf"[^\n]*locals\['{name}'\][^\n]*{kind}[^\n]*dones[^\n]*locals\.get[^\n]*\."
        assert re.fullmatch(words, str(caught.value))
        assert model.learn(2, lambda local, _, name=name: local.get(name) is None).num_timesteps == 2


def rounds(model, total):
    """Timesteps at which updates were made."""
    events = Events()
    model.learn(total, events)
    return [at for _, at in events.of("rollout ends")]


@sources_of("own play")
def test_a_round_lasts_for_steps_or_episodes(case, source, tmp_path):
    """Episodes are cut after 5 steps, in both environments at once. YAML makes lists."""
    env, play = DummyVecEnv([lambda: Lasting(case.wrap(PointEnv()))] * 2), {"learning_starts": 0, "gradient_steps": 2}
    for given, steps in (((4, "step"), 8), ([1, "episode"], 10), ((3, "episode"), 20)):
        model = case.make(env, train_freq=given, max_episode_steps=5, **play)
        assert rounds(model, 2 * steps) == [steps, 2 * steps]
        assert model._n_updates == (2 if steps == 8 else 4)  # after 4 steps no episode has ended
    model.save(tmp_path / "agent")
    assert rounds(case.algorithm.load(tmp_path / "agent", env=env), 40) == [20, 40]
    model = case.make(env, train_freq=(1, "episode"), **play)
    with pytest.warns(UserWarning, match="Nothing was learned"):
        assert rounds(model, 10) == [10]  # training ends before the first episode does


class Lasting(gym.Wrapper):
    """Goes on for ever."""

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, False, False, info


STEP, EPISODE = TrainFreq(12, TrainFrequencyUnit.STEP), TrainFreq(12, TrainFrequencyUnit.EPISODE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(12, STEP), (np.int64(12), STEP), (np.uint8(12), STEP), ((12, "step"), STEP), ([12, "step"], STEP), (STEP, STEP),
     ((12, "episode"), EPISODE), ((np.int64(12), "episode"), EPISODE), (EPISODE, EPISODE)],
    ids=repr,
)  # fmt: skip
def test_all_forms_of_train_freq(given, expected):
    assert as_train_freq(given) == expected and type(as_train_freq(given).frequency) is int


@pytest.mark.parametrize(
    "value",
    [0, -1, 1.0, True, None, math.nan, "12", (), (1,), (0, "episode"), (1, "episodes"), (1.5, "step"), ("1", "step"),
     (1, 2, 3), (True, "step"), (1, None), (1, ["step"]), {"step": 1}, "(1, 'episode')"],
    ids=repr,
)  # fmt: skip
def test_a_train_freq_that_is_none(value):
    with pytest.raises(ValueError, match=r"^train_freq is [^\n]*; give [^\n]*\(1, 'episode'\)[^\n]*\.$"):
        as_train_freq(value)


@every_trajectory_case
def test_a_zip_holds_it_as_json(case, tmp_path):
    """And the check of downloaded agents takes it."""
    for given in (TrainFreq(2, TrainFrequencyUnit.EPISODE), [2, "episode"], (np.int64(2), TrainFrequencyUnit.EPISODE)):
        model = case.make(train_freq=given)
        model.save(tmp_path / "agent.zip")
        with zipfile.ZipFile(tmp_path / "agent.zip") as archive:
            assert json.loads(archive.read("data"))["train_freq"] == [2, "episode"]
        check_agent(tmp_path / "agent.zip", case.name)
        assert case.algorithm.load(tmp_path / "agent.zip").train_freq == model.train_freq == (2, "episode")


@every_trajectory_case
def test_the_constructor_refuses_it(case, tmp_path):
    with pytest.raises(ValueError, match=r"^train_freq is \(1, 'episodes'\); give "):
        case.make(train_freq=(1, "episodes"))
    case.make().save(tmp_path / "agent")
    with pytest.raises(ValueError, match=r"^train_freq is \[0, 'episode'\]; give "):
        case.algorithm.load(tmp_path / "agent", train_freq=[0, "episode"])


@sources_of("own play", "dataset")
def test_the_number_of_timesteps_may_be_any_number(case, source):
    """As in SB3, training ends with the first timestep that reaches it; also in the middle of a round."""
    model = case.make(case.env(n_envs=3), train_freq=3, **data_of(source))
    assert model.learn(1e1).num_timesteps == 12
    assert model.learn(3.5, reset_num_timesteps=False).num_timesteps == 18  # from 12 to at least 15.5
    model.learn(math.inf, lambda local, _: local["self"].num_timesteps < 9)
    assert model.num_timesteps == 9 and model._current_progress_remaining == 1
    with pytest.raises(ValueError, match=r"^total_timesteps is the text '1e4' [^\n]*; give a number of "):
        model.learn("1e4")
    assert model.num_timesteps == 9


@pytest.mark.parametrize("total", [10, 1e1, 9.5, np.int64(10), np.float32(10), np.uint8(10)], ids=repr)
def test_all_forms_of_a_number_of_timesteps(total):
    assert as_timesteps(total) == 10 and type(as_timesteps(total)) is int


@pytest.mark.parametrize(
    "total", ["1e4", "many", np.array([1, 2]), math.nan, -1, -0.5, None, True, (10,), -math.inf, 1j], ids=repr
)
def test_a_number_of_timesteps_that_is_none(total):
    with pytest.raises(ValueError, match=r"^total_timesteps is [^\n]*; give a number of timesteps from 0 on\.$"):
        as_timesteps(total)
