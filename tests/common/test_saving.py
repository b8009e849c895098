"""A saved agent is whole: it acts as before, anywhere, and holds no data."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch as th

from tests.support.case import data_of, differing, weights_of
from tests.support.envs import make_store
from tests.support.matrix import every_case, every_trajectory_case, sources_of, sources_of_all


def actions_of(model, observations):
    """What a model does, the same however often it is asked."""
    th.manual_seed(7)
    return model.predict(observations, deterministic=True)[0]


@every_case
@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("observation", ["box", "image", "goal"])
def test_a_loaded_agent_acts_the_same(case, tmp_path, observation, action):
    env = case.env(observation, action, n_envs=3)
    model = case.make(env).learn(60)
    model.save(tmp_path / "agent")
    expected = actions_of(model, observations := env.reset())
    for kwargs in ({}, {"env": case.env(observation, action, n_envs=1)}, {"device": "cpu", "seed": 9}):
        loaded = case.algorithm.load(tmp_path / "agent", **kwargs)
        np.testing.assert_array_equal(actions_of(loaded, observations), expected)
        assert not differing(weights_of(model), weights_of(loaded))
        assert loaded.num_timesteps == model.num_timesteps


@sources_of_all("own play", "dataset")
def test_a_loaded_agent_learns_on(case, source, tmp_path):
    data = data_of(source)
    model = case.make(**data).learn(60)
    model.save(tmp_path / "agent")
    loaded = case.algorithm.load(tmp_path / "agent", env=case.env(n_envs=2), **data)
    assert not differing(model.policy.optimizer.state_dict(), loaded.policy.optimizer.state_dict())
    loaded.learn(60)
    assert differing(weights_of(model), weights_of(loaded))
    assert loaded._n_updates > model._n_updates


@every_trajectory_case
def test_a_target_return_given_to_load_is_asked_for(case, tmp_path):
    case.make(target_return=3.0).learn(60).save(tmp_path / "agent")
    assert case.algorithm.load(tmp_path / "agent").policy.target_return == 3
    assert case.algorithm.load(tmp_path / "agent", target_return=5.0).policy.target_return == 5


@sources_of("dataset")
def test_an_agent_loads_where_its_dataset_does_not_exist(case, source, tmp_path):
    store = make_store()
    store.save(tmp_path / "data.npz")
    model = case.make(dataset=str(tmp_path / "data.npz")).learn(20)
    model.save(tmp_path / "agent")
    (tmp_path / "data.npz").unlink()
    for kwargs in ({}, {"env": case.env()}):
        loaded = case.algorithm.load(tmp_path / "agent.zip", **kwargs)
        assert loaded.dataset == str(tmp_path / "data.npz")
        loaded.predict(case.env().reset())
    with pytest.raises(ValueError, match=r"data\.npz"):
        loaded.learn(10)
    case.algorithm.load(tmp_path / "agent.zip", env=case.env(), dataset=store).learn(10)


@sources_of()
def test_the_zip_holds_no_data(case, source, tmp_path):
    plays = "own play" in source

    def saved(n_episodes):
        data = {
            name: make_store(n_episodes=n_episodes) if name in ("dataset", "stream") else value
            for name, value in data_of(source).items()
        }
        model = case.make(learning_starts=0, train_freq=60, gradient_steps=1, **data)
        model.learn(360 if n_episodes == 150 and plays else 60)
        file = io.BytesIO()
        model.save(file)
        return model, file

    (_, small), (model, large) = saved(4), saved(150)
    assert model.replay_buffer.n_episodes > 20 or source == "dataset" or "stream" in source
    assert abs(len(large.getvalue()) - len(small.getvalue())) < 3000 + 100 * 100  # at most 100 episode infos
    with zipfile.ZipFile(large) as archive:
        assert set(archive.namelist()) == {
            "data", "policy.pth", "policy.optimizer.pth", "pytorch_variables.pth",
            "_stable_baselines3_version", "system_info.txt",
        }  # fmt: skip
        told = json.loads(archive.read("data"))
    assert all(
        told.get(name) is None for name in ("dataset", "stream", "replay_buffer", "_run", "_data", "_play", "_learner")
    )
    assert "TrajectoryStore" not in json.dumps(told)


@every_case
@pytest.mark.parametrize("give", [str, Path, "handle"], ids=str)
def test_saves_to_names_paths_and_handles(case, tmp_path, give):
    model = case.make()
    if give == "handle":
        with (tmp_path / "agent.zip").open("wb") as file:
            model.save(file)
    else:
        model.save(give(tmp_path / "new" / "folder" / "agent"))
        (tmp_path / "new" / "folder" / "agent.zip").rename(tmp_path / "agent.zip")
    assert not differing(weights_of(model), weights_of(case.algorithm.load(tmp_path / "agent.zip")))


@every_trajectory_case
def test_a_failed_save_leaves_the_old_file_whole(case, tmp_path, monkeypatch):
    model = case.make().learn(30)
    model.save(tmp_path / "agent")
    old = (tmp_path / "agent.zip").read_bytes()

    def full(*_args, **_kwargs):
        raise OSError("No space left on device")

    for target in ("torch.save", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            with pytest.raises(OSError, match="No space"):
                model.save(tmp_path / "agent")
        assert [path.name for path in tmp_path.iterdir()] == ["agent.zip"]
        assert (tmp_path / "agent.zip").read_bytes() == old


@every_case
def test_a_saved_file_is_as_readable_as_any_other(case, tmp_path):
    (tmp_path / "other").write_text("")
    case.make().save(tmp_path / "agent.zip")
    assert (tmp_path / "agent.zip").stat().st_mode == (tmp_path / "other").stat().st_mode


@sources_of("own play")
def test_a_replay_buffer_travels(case, source, tmp_path):
    model = case.make().learn(60)
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    other = case.make(seed=1)
    other.load_replay_buffer(tmp_path / "buffer.pkl", truncate_last_traj=False)  # as RL Zoo calls it
    assert other.replay_buffer.n_episodes == model.replay_buffer.n_episodes > 0
    np.testing.assert_array_equal(other.replay_buffer.returns, model.replay_buffer.returns)
    assert other.replay_buffer.capacity == other.buffer_size
    other.learn(60)
    assert other.replay_buffer.n_episodes > model.replay_buffer.n_episodes


@sources_of("own play")
def test_a_replay_buffer_travels_in_a_file_object_too(case, source, tmp_path):
    model = case.make().learn(60)
    file = io.BytesIO()
    model.save_replay_buffer(file)
    with (tmp_path / "buffer.pkl").open("wb") as opened:
        model.save_replay_buffer(opened)
    with (tmp_path / "buffer.pkl").open("rb") as opened:
        for handle in (file, opened):
            handle.seek(0)
            other = case.make()
            other.load_replay_buffer(handle)
            np.testing.assert_array_equal(other.replay_buffer.returns, model.replay_buffer.returns)
    with pytest.raises(ValueError, match=r"^The file object cannot be read \(File is not a zip file\)"):
        model.load_replay_buffer(io.BytesIO(b"something else"))


@sources_of("own play")
def test_a_loaded_replay_buffer_is_what_is_learned_from(case, source, tmp_path):
    """Also when it has as many episodes as the one before."""
    model = case.make(case.env("goal")).learn(60)
    buffer = make_store("goal", n_episodes=model.replay_buffer.n_episodes, seed=5)
    buffer.save(tmp_path / "buffer.pkl")
    model.load_replay_buffer(tmp_path / "buffer.pkl")
    model.train(1)
    known = {tuple(row) for row in buffer.take("observation", buffer.slots)}
    for batch in model._learner.last_batches.values():
        assert {tuple(row) for row in batch.observations["observation"].flatten(0, -2).numpy()} <= known


@sources_of("dataset + own play")
def test_a_loaded_replay_buffer_is_not_forgotten_for_the_dataset(case, source, tmp_path):
    """The order of RL Zoo's `-i`: load, then load_replay_buffer, then learn."""
    make_store().save(tmp_path / "data.npz")
    model = case.make(dataset=str(tmp_path / "data.npz"), own_play=True).learn(60)
    played = model.replay_buffer.n_episodes
    assert played > 8
    model.save(tmp_path / "agent")
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = case.algorithm.load(tmp_path / "agent", env=case.env())
    loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    loaded.learn(60)
    assert loaded.replay_buffer.n_episodes > played


@sources_of("dataset")
def test_an_empty_replay_buffer_travels_too(case, source, tmp_path):
    """RL Zoo's --save-replay-buffer after an offline run."""
    data = data_of(source)
    model = case.make(**data).learn(10)
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    model.load_replay_buffer(tmp_path / "buffer.pkl")
    model.learn(10)


@sources_of("dataset", "dataset + stream", "dataset + own play", "stream + own play")
def test_an_agent_of_a_store_does_not_take_to_other_data_unasked(case, source, tmp_path):
    data = data_of(source)
    stores = {name: value for name, value in data.items() if name != "own_play"}
    case.make(**data).learn(60).save(tmp_path / "agent")
    with pytest.raises(ValueError, match=r"`(dataset|stream)=None` to go on without"):
        case.algorithm.load(tmp_path / "agent", env=case.env()).learn(10)
    case.algorithm.load(tmp_path / "agent", env=case.env(), **stores).learn(10)
    without = dict.fromkeys(stores)
    asked = case.algorithm.load(tmp_path / "agent", env=case.env(), **without).learn(60)
    assert asked.replay_buffer.n_episodes


@every_trajectory_case
def test_scales_and_targets_can_be_changed_when_loading(case, tmp_path):
    case.make().learn(60).save(tmp_path / "agent")
    loaded = case.algorithm.load(tmp_path / "agent", return_scale=7.0, target_return=70.0)
    assert loaded.policy.return_scale.item() == 7.0 and loaded.policy.target_return.item() == 70.0


@every_case
def test_another_environment_is_played_in_from_then_on(case):
    model = case.make(case.env()).learn(60)
    new = case.env()
    model.set_env(new)
    model.learn(30, reset_num_timesteps=False)
    assert len(new.envs[0].unwrapped.seen) >= 30
