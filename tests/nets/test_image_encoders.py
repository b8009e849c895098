"""The image encoder that a user chooses by name is trained, saved, exported and checked with the agent."""

from typing import get_args

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.torch_layers import NatureCNN

from gcrl_zoo import BC
from gcrl_zoo.common.encoders import ImageEncoderName
from gcrl_zoo.nets.image_encoders import IMAGE_ENCODERS, ResidualEncoder, ResidualUnit
from gcrl_zoo.zoo.trust import check_agent
from tests.common.test_bad_input import refusal
from tests.support.case import differing, trajectory_cases
from tests.support.envs import assert_same_actions, make_env

RESIDUAL = {"image_encoder": "residual", "image_features": 8}


def test_each_name_has_its_encoder():
    assert get_args(ImageEncoderName) == tuple(IMAGE_ENCODERS)


@pytest.mark.parametrize("kind", IMAGE_ENCODERS.values())
@pytest.mark.parametrize("shape", [(1, 36, 36), (4, 84, 50), (2, 37, 64, 1)])
def test_images_of_any_size(kind, shape):
    images = th.randint(0, 256, (3, *shape), dtype=th.uint8)
    encoded = kind(shape, 8)(images)
    assert encoded.shape == (3, 8) and encoded.dtype == th.float32 and encoded.isfinite().all()


def test_a_residual_unit_adds_to_its_input():
    unit, images = ResidualUnit(3), th.randn(2, 3, 5, 4)
    expected = images + unit.layers[3](unit.layers[1](images.relu()).relu())
    th.testing.assert_close(unit(images), expected)
    for parameter in unit.layers[3].parameters():
        th.nn.init.zeros_(parameter)
    assert unit(images).equal(images)


def test_the_residual_network_halves_images_four_times():
    layers = ResidualEncoder((4, 64, 64), 8).convolutions
    sizes, images = [], th.zeros(1, 4, 64, 64)
    for layer in layers[:-1]:
        images = layer(images)
        sizes.append(tuple(images.shape[1:]))
    assert list(dict.fromkeys(sizes)) == [
        *((16, 32, 32), (16, 16, 16)),
        *((32, 16, 16), (32, 8, 8)),
        (32, 4, 4),  # the third convolution changes nothing of the shape
    ]
    assert sum(isinstance(layer, ResidualUnit) for layer in layers) == 6


#: Methods with windows, with an inverse model that has a copy of the encoder, and with goals.
QUICK = "dt", "bco", "gcsl_vicreg"


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case.name in QUICK else pytest.mark.thorough) for case in trajectory_cases()],
    ids=str,
)
def test_agents_learn_with_it_and_keep_it(case, tmp_path):
    env = case.env("image", "box", max_steps=7)
    settings = {"policy_kwargs": RESIDUAL, "learning_starts": 8, "train_freq": 8, "gradient_steps": 1, "batch_size": 4}
    start, model = (case.make(env, **settings) for _ in range(2))
    model.learn(32)
    changed = differing(start.policy.state_dict(), model.policy.state_dict())
    assert type(model.policy.encoder.encoders[0]) is ResidualEncoder
    assert any("convolutions.2.layers.1.weight" in each for each in changed)
    model.save(tmp_path / "agent")
    check_agent(tmp_path / "agent.zip", case.name)
    assert_same_actions(model, case.algorithm.load(tmp_path / "agent"), env, 3)


def test_it_is_saved_and_exported_with_its_policy(tmp_path):
    policy, seen = BC("CnnPolicy", make_env("image"), policy_kwargs=RESIDUAL).policy, make_env("image").reset()
    policy.save(tmp_path / "policy.pt")
    expected, _ = policy.predict(seen, deterministic=True)
    loaded = type(policy).load(tmp_path / "policy.pt", device="cpu")
    tensors, _ = loaded.obs_to_tensor(seen)
    exported = th.export.export(loaded, (tensors,)).module()
    np.testing.assert_allclose(exported(tensors).detach(), expected, rtol=0, atol=2e-6)


def test_what_cannot_be_chosen_is_refused_in_one_sentence():
    def make(**kwargs):
        return BC("CnnPolicy", make_env("image"), policy_kwargs=kwargs)

    refusal(
        ValueError,
        lambda: make(image_encoder="resnet"),
        "image_encoder is 'resnet'",
        "'nature', 'compact' or 'residual'",
    )
    both = {"image_encoder": "residual", "features_extractor_class": NatureCNN}
    refusal(ValueError, lambda: make(**both), "image_encoder is 'residual'", "NatureCNN", "leave out one")
