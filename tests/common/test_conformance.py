"""Every method is a genuine Stable-Baselines3 algorithm: it learns, obeys callbacks and accepts the spaces it says."""

import re

import numpy as np
import pytest
from stable_baselines3.common import callbacks as sb3
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.case import TrajectoryCase, all_cases, data_of, differing, policy_for, weights_of
from tests.support.envs import ACTION_SPACES, OBSERVATION_SPACES
from tests.support.matrix import every_case, sources_of, sources_of_all
from tests.support.throw_away import ROOT

ROWS = {"discrete": "Discrete", "box": "Box", "multi_discrete": "MultiDiscrete", "multi_binary": "MultiBinary"}
ROWS["dict"] = "Dict"
ROW = r"^\|\s*`?(\w+)`?\s*\|\s*([✔❌])\ufe0f?\s*\|\s*([✔❌])\ufe0f?\s*\|"


class Count(sb3.BaseCallback):
    """Notes the timesteps at which it was called; stops after ``stop`` calls."""

    def __init__(self, stop=None):
        super().__init__()
        self.at, self.stop = [], stop

    def _on_step(self):
        assert self.model.num_timesteps == self.num_timesteps
        assert len(self.locals["dones"]) == len(self.locals["infos"]) == self.model.n_envs
        self.at.append(self.num_timesteps)
        return len(self.at) != self.stop


@pytest.mark.parametrize("n_envs", [1, 3])
@sources_of_all()
def test_learns_twice(case, source, n_envs):
    model = case.make(case.env(n_envs=n_envs), **data_of(source))
    start = weights_of(model)
    assert model.learn(60) is model
    once = weights_of(model)
    assert differing(start, once)
    assert model.num_timesteps >= 60
    updates = model._n_updates
    model.learn(60)
    assert differing(once, weights_of(model))
    assert 60 <= model.num_timesteps < 60 + n_envs and model._n_updates > updates
    model.learn(30, reset_num_timesteps=False)
    assert model.num_timesteps >= 90


@pytest.mark.parametrize("n_envs", [1, 3])
@sources_of()
def test_a_step_is_one_timestep_of_each_env(case, source, n_envs):
    count = Count()
    case.make(case.env(n_envs=n_envs), **data_of(source)).learn(31, count)
    assert count.at == list(range(n_envs, 31 + n_envs, n_envs))


@sources_of("dataset")
def test_offline_a_timestep_is_a_gradient_step(case, source):
    assert case.make(case.env(n_envs=3), **data_of(source)).learn(30)._n_updates == 30


@sources_of("own play")
def test_own_play_takes_gradient_steps_as_told(case, source):
    plan = {"learning_starts": 48, "train_freq": 12}  # rounds of 24 steps; the first one only fills the buffer
    assert case.make(case.env(n_envs=2), **plan, gradient_steps=5).learn(96)._n_updates == 3 * 5
    assert case.make(case.env(n_envs=2), **plan, gradient_steps=-1).learn(96)._n_updates == 3 * 24
    assert case.make(case.env(n_envs=2), **plan, gradient_steps=0).learn(96)._n_updates == 0


@sources_of("own play")
def test_no_schedule_is_asked_beyond_its_end(case, source):
    """Where the last step of several environments goes beyond it."""
    progress = []
    settings = {"learning_rate": lambda left: progress.append(left) or 1e-3, "gradient_steps": -1}
    case.make(case.env(n_envs=8), **settings).learn(60)
    assert min(progress) == 0


@sources_of("own play", "dataset")
def test_the_learning_rate_warms_up_and_follows_its_schedule(case, source, monkeypatch):
    """At every update, also within a round of own play; the schedule falls with the timesteps."""
    settings = {"learning_starts": 0, "train_freq": 15, "gradient_steps": -1, "warmup_steps": 25}
    model, rates = case.make(learning_rate=lambda progress: progress, **settings, **data_of(source)), []
    compute = model.compute_loss

    def spy(batches):
        rates.append(model.policy.optimizer.param_groups[0]["lr"])
        return compute(batches)

    monkeypatch.setattr(model, "compute_loss", spy)
    model.learn(60)
    updates = np.arange(60)
    np.testing.assert_allclose(rates, (1 - updates / 60) * np.minimum(1, (updates + 1) / 25), atol=1e-12)


@sources_of_all("own play", "dataset")
def test_a_callback_that_says_no_stops(case, source):
    for callback in (Count(stop=7), lambda _locals, _globals: _locals["self"].num_timesteps < 7):
        model = case.make(**data_of(source)).learn(60, callback)
        assert model.num_timesteps == 7


@sources_of_all("own play", "dataset")
def test_every_callback(case, source, tmp_path, capsys):
    env = case.env()
    evaluate = sb3.EvalCallback(
        case.env(),
        callback_after_eval=sb3.StopTrainingOnNoModelImprovement(1000),
        callback_on_new_best=sb3.StopTrainingOnRewardThreshold(1000.0),
        eval_freq=20,
        n_eval_episodes=2,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    count = Count()
    case.make(env, **data_of(source)).learn(
        60,
        [
            evaluate,
            sb3.CheckpointCallback(30, str(tmp_path), save_replay_buffer=True),
            sb3.EveryNTimesteps(15, count),
            sb3.LogEveryNTimesteps(25),
            sb3.StopTrainingOnMaxEpisodes(1000),
        ],
        progress_bar=True,
    )
    assert "60/60" in capsys.readouterr().out.replace(" ", "")
    assert list(evaluate.evaluations_timesteps) == [20, 40, 60]
    assert count.at == [15, 30, 45, 60]
    saved = {path.name for path in tmp_path.iterdir()}
    assert {"best_model.zip", "rl_model_30_steps.zip"} <= saved
    assert "rl_model_replay_buffer_60_steps.pkl" in saved or not isinstance(case, TrajectoryCase)
    case.algorithm.load(tmp_path / "best_model.zip").predict(env.reset())


@sources_of_all("own play", "dataset")
@pytest.mark.parametrize("name", ["reward threshold", "no improvement"])
def test_evaluation_can_stop(case, source, name):
    stop = {
        "reward threshold": {"callback_on_new_best": sb3.StopTrainingOnRewardThreshold(-1000.0)},
        "no improvement": {"callback_after_eval": sb3.StopTrainingOnNoModelImprovement(0, min_evals=0)},
    }[name]
    env = case.env()
    model = case.make(env, learning_rate=0.0, **data_of(source))
    model.learn(200, sb3.EvalCallback(case.env(), eval_freq=20, n_eval_episodes=1, verbose=0, **stop))
    assert 20 <= model.num_timesteps < 200


@sources_of("own play")
def test_max_episodes_stop(case, source):
    model = case.make(case.env(n_envs=2)).learn(500, sb3.StopTrainingOnMaxEpisodes(2))
    assert model.num_timesteps < 100
    assert model.replay_buffer.n_episodes == 4


@sources_of("own play", "dataset")
def test_tensorboard_has_all_three_groups(case, source, tmp_path):
    data = data_of(source)
    case.make(tensorboard_log=str(tmp_path), **data).learn(100, log_interval=25, tb_log_name="run")
    events = EventAccumulator(str(tmp_path / "run_1")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/learning_rate", "time/fps"} <= tags
    assert ("rollout/ep_rew_mean" in tags) == (source == "own play")
    losses = events.Scalars("train/loss")
    assert len(losses) >= 3 and all(np.isfinite(each.value) for each in losses)
    assert events.Scalars("time/fps")[-1].step >= 96


@every_case
def test_weights_can_be_taken_and_given(case):
    source, target = case.make(seed=0).learn(60), case.make(seed=1)
    assert differing(source.get_parameters()["policy"], target.get_parameters()["policy"])
    target.set_parameters(source.get_parameters())
    assert not differing(source.get_parameters(), target.get_parameters())


@sources_of("own play", "dataset")
def test_trains_in_train_mode_and_acts_in_eval_mode(case, source, monkeypatch):
    model, modes = case.make(**data_of(source)), []
    compute = model.compute_loss
    monkeypatch.setattr(model, "compute_loss", lambda *args: modes.append(model.policy.training) or compute(*args))
    act, playing = model.policy.act, []
    spy = lambda *args, **kwargs: playing.append(model.policy.training) or act(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(model.policy, "act", spy)
    model.learn(60)
    assert not any(playing) and len(playing) == (60 if source == "own play" else 0)
    model.learn(60, lambda _locals, _globals: model.predict(model.env.observation_space.sample()) is not None)
    assert modes and all(modes)
    model.predict(model.observation_space.sample())
    assert not model.policy.training


def spaces_of(table):
    """(case, key, supported) for each row of a table of spaces."""
    return pytest.mark.parametrize(
        ("case", "key", "supported"),
        [
            pytest.param(case, *row, id=f"{case}-{row[0]}")
            for case in all_cases()
            for row in getattr(case, table).items()
        ],
    )


@spaces_of("action_spaces")
def test_action_spaces_are_as_the_table_says(case, key, supported):
    check_space(case, case.env("box", key, n_envs=2), supported, "action")


@spaces_of("observation_spaces")
def test_observation_spaces_are_as_the_table_says(case, key, supported):
    check_space(case, case.env(key, n_envs=2), supported, "bservation")


@every_case
@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("observation", ["image", "goal"])
def test_images_and_goals_can_be_learned_from(case, observation, action):
    check_space(case, case.env(observation, action, n_envs=2), True, "")


def check_space(case, env, supported, word):
    """The method learns and predicts in it, or refuses it."""
    if not supported:
        error, pattern = case.refusal
        with pytest.raises(error, match=pattern.format(word)):
            case.make(env)
        return
    model = case.make(env).learn(60)
    actions, _ = model.predict(env.reset(), deterministic=True)
    assert len(actions) == 2
    for action in actions:
        assert env.action_space.contains(action)
    one, _ = model.predict(env.envs[0].reset()[0])
    assert env.action_space.contains(one.item() if one.ndim == 0 else one)


@every_case
def test_can_i_use_says_the_same_as_the_tests(case):
    page = (ROOT / f"docs/methods/{case.name}.md").read_text()
    told = {}
    for name, action, observation in re.findall(ROW, page, re.MULTILINE):
        told[name] = (action == "✔", observation == "✔")
    assert told == {row: (case.action_spaces[key], case.observation_spaces[key]) for key, row in ROWS.items()}


def test_tables_cover_the_same_spaces():
    assert set(ROWS) <= set(ACTION_SPACES) and set(ROWS) <= set(OBSERVATION_SPACES)
    assert policy_for(OBSERVATION_SPACES["image"]) == "CnnPolicy"
