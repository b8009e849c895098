"""FrameSkip returns what rl_zoo3's wrapper returns, and draws fewer frames of CarRacing."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import GrayscaleObservation
from rl_zoo3.wrappers import FrameSkip as DrawsAllFrames

from gcrl_zoo.wrappers import FrameSkip


@pytest.fixture(autouse=True)
def no_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def count_drawings(env, monkeypatch):
    """Count the frames that CarRacing draws, in a list of modes."""
    drawn, inner = [], type(env.unwrapped)
    original = inner._render

    def render(self, mode):
        drawn.append(mode)
        return original(self, mode)

    monkeypatch.setattr(inner, "_render", render)
    return drawn


@pytest.mark.parametrize("limit", [None, 6])  # with 6, the time limit ends the episode between two observations
def test_same_as_drawing_all_frames(limit, monkeypatch):
    kwargs = {} if limit is None else {"max_episode_steps": limit}
    envs = [wrapper(gym.make("CarRacing-v3", **kwargs), 4) for wrapper in (DrawsAllFrames, FrameSkip)]
    first = [env.reset(seed=1)[0] for env in envs]
    np.testing.assert_array_equal(*first)
    drawn = count_drawings(envs[1], monkeypatch)
    for action in np.array([[0.3, 1, 0], [-0.5, 0.5, 0.3]], dtype=np.float32):
        (observation, *rest, _), (same, *same_rest, _) = (env.step(action) for env in envs)
        np.testing.assert_array_equal(observation, same)
        assert rest == same_rest
    assert rest[2] == (limit is not None)
    assert len(drawn) == (8 if limit is None else 6) + 2


def test_off_the_playfield(monkeypatch):
    env = FrameSkip(gym.make("CarRacing-v3"), 4)
    env.reset(seed=1)
    env.unwrapped.car.hull.position = (1e4, 0)
    observation, reward, terminated, *_ = env.step(np.zeros(3, dtype=np.float32))
    assert terminated and reward <= -100
    np.testing.assert_array_equal(observation, env.unwrapped._render("state_pixels"))


def test_videos_show_each_observation():
    env = FrameSkip(gym.make("CarRacing-v3", render_mode="rgb_array"), 2)
    env.reset(seed=1)
    before = env.render()
    env.step(np.array([0, 1, 0], dtype=np.float32))
    assert before.shape == (400, 600, 3)
    assert (before != env.render()).any()


def test_changed_frames_are_all_drawn():
    """A frame that is drawn late would not pass the wrapper inside."""
    env = FrameSkip(GrayscaleObservation(gym.make("CarRacing-v3", max_episode_steps=2), keep_dim=True), 4)
    env.reset(seed=1)
    assert env.step(np.zeros(3, dtype=np.float32))[0].shape == (96, 96, 1)


def test_other_environments_and_spec():
    env = FrameSkip(gym.make("CartPole-v1"), skip=3)
    env.reset(seed=0)
    _, reward, *_ = env.step(0)
    assert reward == 3
    again = gym.make(env.spec)
    assert isinstance(again, FrameSkip) and again.skip == 3


@pytest.mark.parametrize("skip", [0, -1, 1.5, True, "4", None])
def test_bad_skip(skip):
    with pytest.raises(ValueError, match=r"^FrameSkip: skip is .*; give a whole number of at least 1\.$"):
        FrameSkip(gym.make("CartPole-v1"), skip=skip)


def test_gymnasium_does_not_warn_of_shared_arrays(recwarn):
    env = FrameSkip(gym.make("CarRacing-v3"), 4)
    env.reset(seed=1)
    env.step(np.zeros(3, dtype=np.float32))
    assert not [str(each.message) for each in recwarn if "share an object" in str(each.message)]
