"""Encoders: every observation becomes a flat, well-scaled float32 vector."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from gcrl_zoo.common.encoders import make_encoder
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.nets.encoders import DictEncoder, OneHotEncoder, VectorEncoder
from gcrl_zoo.nets.image_encoders import IMAGE_ENCODERS, NatureEncoder
from gcrl_zoo.nets.mlp import mlp
from tests.support.envs import PointEnv
from tests.support.matrix import sources_of


@pytest.mark.parametrize("dtype", [th.float32, th.float64, th.int64, th.uint8, th.bool])
def test_vectors_are_flattened_to_float32(dtype):
    encoder = VectorEncoder((2, 3))
    out = encoder(th.ones(5, 2, 3, dtype=dtype))
    assert out.shape == (5, encoder.features_dim) == (5, 6) and out.dtype == th.float32


def test_vectors_are_standardised():
    data = th.as_tensor(np.random.default_rng(0).normal([3, -70], [0.5, 20], (1000, 2)))
    encoder = VectorEncoder((2,))
    encoder.fit(data.mean(0), data.std(0))
    out = encoder(data)
    th.testing.assert_close(out.mean(0), th.zeros(2), atol=1e-4, rtol=0)
    th.testing.assert_close(out.std(0), th.ones(2), atol=1e-4, rtol=0)


def test_a_constant_dimension_does_not_explode():
    encoder = VectorEncoder((1,))
    encoder.fit(th.ones(1), th.zeros(1))
    assert encoder(th.ones(1, 1)) == 0
    assert encoder(th.full((1, 1), 2.0)) == 1  # in its own units


def test_only_what_never_moved_keeps_its_units():
    """Rounding is no movement; a little movement is magnified a thousand times at most."""
    data = np.full((100_000, 4), [0.1, 12345.678, 0.0, 0.0], dtype=np.float32)
    data[:, 2:] += np.random.default_rng(0).normal(0, [1e-2, 1e-5], (len(data), 2))
    store = TrajectoryStore.from_episodes([Episode({"observation": data}, None, None)])
    encoder = VectorEncoder((4,))
    encoder.fit(*(th.as_tensor(each) for each in store.moments("observation")))
    out = encoder(th.as_tensor(data[:1]) + 1)
    np.testing.assert_allclose(out[0], [1, 1, 100, 1000], rtol=0.02)


def test_statistics_travel_with_the_weights_and_are_not_trained():
    encoder, other = VectorEncoder((2,)), VectorEncoder((2,))
    encoder.fit(th.tensor([1.0, 2]), th.tensor([3.0, 4]))
    other.load_state_dict(encoder.state_dict())
    x = th.randn(3, 2)
    th.testing.assert_close(other(x), encoder(x))
    assert not list(encoder.parameters())


def test_one_discrete_is_one_hot():
    encoder = OneHotEncoder([4], [3])
    for shape in ((3,), (3, 1)):
        out = encoder(th.tensor([3, 6, 4]).reshape(shape))
        np.testing.assert_array_equal(out, np.eye(4)[[0, 3, 1]])
        assert out.dtype == th.float32


def test_several_are_several_one_hots_side_by_side():
    encoder = OneHotEncoder([2, 3], [0, 5])
    np.testing.assert_array_equal(encoder(th.tensor([[0, 5], [1, 7]])), [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1]])


@pytest.mark.parametrize(
    ("space", "width", "kind"),
    [
        (spaces.Discrete(5, start=2), 5, OneHotEncoder),
        (spaces.MultiDiscrete([2, 3], start=[1, 4]), 5, OneHotEncoder),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), 14, OneHotEncoder),
        (spaces.MultiBinary(4), 4, VectorEncoder),
        (spaces.Box(-1, 1, (2, 3)), 6, VectorEncoder),
        (spaces.Box(0, 255, (3, 36, 40), np.uint8), 8, NatureEncoder),
        (spaces.Box(0, 200, (3, 36, 40), np.uint8), 3 * 36 * 40, VectorEncoder),  # uint8, but no image
    ],
)
def test_each_space_has_its_encoder(space, width, kind):
    encoder = make_encoder(space, image_features=8)
    assert type(encoder) is kind and encoder.features_dim == width
    space.seed(0)
    out = encoder(th.as_tensor(np.stack([space.sample() for _ in range(3)])))
    assert out.shape == (3, width) and out.dtype == th.float32 and out.isfinite().all()
    if kind is OneHotEncoder:
        assert (out.sum(1) == np.prod(space.shape)).all()


@pytest.mark.parametrize(("kind", "channels"), [("nature", 1), ("nature", 3), ("residual", 3)])
def test_a_stack_of_images_is_an_image_of_more_channels(kind, channels):
    """As FrameStackObservation makes it, in both layouts."""
    first = spaces.Box(0, 255, (4, channels, 36, 40), np.uint8)
    last = spaces.Box(0, 255, (4, 36, 40, channels), np.uint8)
    single = spaces.Box(0, 255, (4 * channels, 36, 40), np.uint8)
    encoders = [make_encoder(space, 8, kind) for space in (single, first, last)]
    for encoder in encoders:
        assert type(encoder) is IMAGE_ENCODERS[kind] and encoder.features_dim == 8
        encoder.load_state_dict(encoders[0].state_dict())
    first.seed(0)
    seen = th.as_tensor(np.stack([first.sample(), first.sample()]))
    expected = encoders[0](seen.flatten(1, 2))
    th.testing.assert_close(encoders[1](seen), expected)
    th.testing.assert_close(encoders[2](seen.movedim(2, -1)), expected)
    assert type(make_encoder(spaces.Box(0, 200, (4, 36, 40, 3), np.uint8), 8)) is VectorEncoder


@sources_of("own play", "dataset + own play")
def test_agents_see_stacks_of_images(case, source):
    env = DummyVecEnv([lambda: case.wrap(FrameStackObservation(PointEnv("image"), 3))])
    data = {}
    if "dataset" in source:
        played = case.make(env).learn(60).replay_buffer
        data = {"dataset": played.copy(), "own_play": True}
    model = case.make(env, **data).learn(60)
    assert model._n_updates and type(model.policy.encoder.encoders[0]) is NatureEncoder
    assert env.action_space.contains(model.predict(env.reset())[0][0])


@pytest.mark.parametrize("kind", IMAGE_ENCODERS.values())
def test_a_brighter_image_looks_different(kind):
    encoder = kind((1, 36, 36), 8)
    dark, bright = (th.full((1, 1, 36, 36), value, dtype=th.uint8) for value in (0, 255))
    assert not th.allclose(encoder(dark), encoder(bright))
    assert encoder(bright).abs().max() <= 1


def test_entries_of_a_dict_stand_side_by_side_in_order():
    encoder = DictEncoder({"b.c": OneHotEncoder([2], [0]), "keys": VectorEncoder((1,))})
    out = encoder({"keys": th.tensor([[7.0]]), "b.c": th.tensor([1]), "more": th.zeros(1)})
    np.testing.assert_array_equal(out, [[0, 1, 7]])
    assert encoder.features_dim == 3


def test_mlp_has_no_activation_behind_the_last_layer():
    kinds = [type(layer) for layer in mlp([2, 3, 4])]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear]
    kinds = [type(layer) for layer in mlp([2, 3, 4], nn.Tanh, layer_norm=True)]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in mlp([2, 3])] == [nn.Linear]
