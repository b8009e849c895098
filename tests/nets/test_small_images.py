"""Images that are too small for the convolutions, such as MiniGrid's symbols, are encoded as vectors."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.common.encoders import make_encoder
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.nets.image_encoders import NatureEncoder, SmallImageEncoder
from tests.support.matrix import every_trajectory_case

STACKS = ((4, 7, 7, 3), (4, 3, 7, 7), (2, 1, 1, 1), (4, 200, 35, 1))
FIRST = ((3, 7, 7), (1, 1, 1), (2, 9, 4), (3, 35, 200))  # channels first
LAST = ((7, 7, 3), (35, 35, 3), (200, 10, 1))


def image(shape):
    return spaces.Box(0, 255, shape, np.uint8)


class Symbols(gym.Env):
    """Shows symbols from 0 to 10, and pays for the action that the first of them asks for."""

    action_space = spaces.Discrete(3)

    def __init__(self, space):
        self.observation_space, self.steps = space, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        self.steps += 1
        return self.observe(), float(action), False, self.steps == 5, {}

    def observe(self):
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {key: self.symbols(each.shape) for key, each in space.items()}
        return self.symbols(space.shape)

    def symbols(self, shape):
        return self.np_random.integers(0, 11, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", STACKS + FIRST + LAST)
def test_they_are_flattened(shape):
    encoder = make_encoder(image(shape), 8)
    assert type(encoder) is SmallImageEncoder and encoder.features_dim == np.prod(shape)
    assert encoder(th.zeros(2, *shape, dtype=th.uint8)).shape == (2, np.prod(shape))


@pytest.mark.parametrize("shape", [(3, 36, 36), (1, 36, 50), (4, 36, 36, 3), (4, 3, 36, 36)])
def test_images_that_are_large_enough_are_not(shape):
    assert type(make_encoder(image(shape), 8)) is NatureEncoder


@pytest.mark.parametrize("largest", [10, 255])
def test_symbols_and_grey_levels_are_scaled_alike_and_a_pixel_that_hardly_moved_is_not_magnified(largest):
    frames = np.random.default_rng(0).integers(0, largest + 1, (1000, 3, 7, 7), dtype=np.uint8)
    frames[:, 0, 0, 0] = 0
    frames[500, 0, 0, 0] = largest
    encoder = make_encoder(image((3, 7, 7)), 8)
    encoder.fit(th.as_tensor(frames))
    out = encoder(th.as_tensor(frames))
    assert abs(out.mean()) < 1e-3 > abs(out.std() - 1) and out.abs().max() < 3


@every_trajectory_case
@pytest.mark.parametrize("shapes", [FIRST + STACKS, LAST + STACKS], ids=["channels first", "channels last"])
def test_agents_learn_from_all_of_them(case, shapes):
    """Plain and stacked, side by side in a Dict, where SB3 wants all images of one layout."""
    space = spaces.Dict({f"image{i}": image(shape) for i, shape in enumerate(shapes)})
    env = DummyVecEnv([lambda: case.wrap(Symbols(space))])
    model = case.make(env, learning_starts=10, train_freq=5, gradient_steps=1).learn(20)
    encoders = dict(model.policy.encoder.items())
    assert model._n_updates and {type(encoders[key]) for key in space} == {SmallImageEncoder}
    assert all(2 < encoders[key].std < 5 for key in space)
    model.predict(env.reset())


@every_trajectory_case
@pytest.mark.parametrize("stacked", [False, True])
def test_agents_learn_from_minigrids_images_in_a_dataset(case, stacked):
    """A dataset keeps them as the environment makes them; SB3 shows plain ones with the channels first."""

    def make():
        env = Symbols(image((7, 7, 3)))
        return case.wrap(FrameStackObservation(env, 2) if stacked else env)

    env, rng = DummyVecEnv([make]), np.random.default_rng(0)
    played = case.make(env, learning_starts=10, train_freq=5, gradient_steps=1).learn(20)
    assert type(played.policy.encoder.encoders[0]) is SmallImageEncoder
    if "dataset" not in case.sources:
        return
    shape = (6, 2, 7, 7, 3) if stacked else (6, 7, 7, 3)
    frames = [rng.integers(0, 11, shape, dtype=np.uint8) for _ in range(4)]
    episodes = [Episode({"observation": each}, np.arange(5) % 3, np.ones(5)) for each in frames]
    store = TrajectoryStore.from_episodes(episodes, name="symbols")
    assert case.make(env, dataset=store).learn(4)._n_updates == 4
