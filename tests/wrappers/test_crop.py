"""CropObservation: the pixels that remain, the spec round trip, RL Zoo's YAML, and ranges outside of the image."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from rl_zoo3.utils import get_wrapper_class

from gcrl_zoo.wrappers import CropObservation


class Pictures(gym.Env):
    """A random image at each step."""

    action_space = spaces.Discrete(2)

    def __init__(self, shape=(6, 8, 3), dtype=np.uint8):
        low, high = (0, 255) if dtype == np.uint8 else (np.arange(np.prod(shape)).reshape(shape) - 1000, 1000)
        self.observation_space = spaces.Box(low, high, shape, dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        return self._picture(), 0.0, False, False, {}

    def _picture(self):
        space = self.observation_space
        return self.np_random.uniform(space.low, space.high).astype(space.dtype)


@pytest.fixture(autouse=True)
def registered():
    gym.register("Pictures-v0", entry_point=f"{__name__}:Pictures", max_episode_steps=20)
    yield
    gym.registry.pop("Pictures-v0")


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
@pytest.mark.parametrize(
    ("shape", "dtype", "rows", "columns", "part"),
    [
        ((6, 8, 3), np.uint8, [0, 5], None, np.s_[:5]),
        ((6, 8, 1), np.uint8, None, [7, 8], np.s_[:, 7:]),
        ((6, 8), np.float32, (1, 3), np.array([2, 8]), np.s_[1:3, 2:]),
        ((6, 8), np.uint8, None, None, np.s_[:]),
    ],
)
def test_the_range_is_kept(shape, dtype, rows, columns, part):
    env = CropObservation(gym.make("Pictures-v0", shape=shape, dtype=dtype), rows=rows, columns=columns)
    check_env(env, skip_render_check=True)
    inner = Pictures(shape, dtype)
    for outer, whole in [(env.reset(seed=1), inner.reset(seed=1)), (env.step(0), inner.step(0))]:
        assert outer[0] in env.observation_space
        np.testing.assert_array_equal(outer[0], whole[0][part])
    np.testing.assert_array_equal(env.observation_space.low, inner.observation_space.low[part])
    again = gym.make(env.spec)
    assert isinstance(again, CropObservation)
    assert again.observation_space == env.observation_space
    crop = env.spec.additional_wrappers[-1].kwargs
    assert json.loads(json.dumps(crop)) == crop


def test_yaml_of_rl_zoo():
    entry = [{"gcrl_zoo.wrappers.CropObservation": {"rows": [0, 5], "columns": [1, 8]}}]
    assert get_wrapper_class({"env_wrapper": entry})(Pictures()).observation_space.shape == (5, 7, 3)


@pytest.mark.parametrize("bounds", [[0, 7], [-1, 5], [3, 3], [4, 2], [1], [0, 2, 3], [0, 2.5], [], 3])
@pytest.mark.parametrize(("name", "size"), [("rows", 6), ("columns", 6)])
def test_a_range_outside_of_the_image_is_refused(name, size, bounds):
    with pytest.raises(ValueError) as refusal:
        CropObservation(Pictures((6, 6, 3)), **{name: bounds})
    assert str(refusal.value) == (
        f"CropObservation got the {name} {bounds}, but images of shape (6, 6, 3) have the {name} 0 to {size - 1}; "
        f"give [start, stop] with 0 <= start < stop <= {size}."
    )


@pytest.mark.parametrize("env", [gym.make("CartPole-v1"), gym.make("FrozenLake-v1")], ids=["vector", "discrete"])
def test_observations_that_are_no_images_are_refused(env):
    with pytest.raises(ValueError, match=r"crops images of shape \(H, W, C\) or \(H, W\), but the observations of"):
        CropObservation(env, rows=[0, 1])
