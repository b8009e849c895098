"""A features extractor of SB3's form replaces our encoders in all methods: for states and goals, saved and exported."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from torch import nn

from gcrl_zoo import GCSL
from gcrl_zoo.common.encoders import make_encoder, make_extractor
from gcrl_zoo.nets.encoders import ExtractingEncoder
from tests.common.test_bad_input import refusal
from tests.support.case import differing
from tests.support.envs import OBSERVATION_SPACES, PointEnv, assert_same_actions
from tests.support.matrix import every_trajectory_case


class Mine(BaseFeaturesExtractor):
    """Of any entry; it looks at the space, as those of SB3 do."""

    def __init__(self, observation_space, features_dim=5, gain=1.0):
        super().__init__(observation_space, features_dim)
        self.gain, self.layers = gain, nn.Sequential(nn.Flatten(), nn.LazyLinear(features_dim), nn.Tanh())
        with th.no_grad():
            self.layers(self.sample(observation_space))

    def sample(self, space):
        if isinstance(space, spaces.Discrete):
            return th.zeros(1, int(space.n))
        if isinstance(space, spaces.MultiDiscrete):
            return th.zeros(1, int(space.nvec.sum()))
        return th.zeros(1, *space.shape)

    def forward(self, observations):
        assert observations.dtype == th.float32
        return self.layers(observations) * self.gain


class Liar(FlattenExtractor):
    """Does not return what it says."""

    def forward(self, observations):
        return super().forward(observations)[:, :1]


MINE = {"features_extractor_class": Mine, "features_extractor_kwargs": {"features_dim": 4, "gain": 0.5}}


@every_trajectory_case
@pytest.mark.parametrize("observation", ["dict", "goal"])
def test_agents_learn_with_one(case, observation, tmp_path):
    """Its weights are trained and saved, its options reach it, and each entry has its own."""
    env = case.env(observation, "box", max_steps=7)
    start, model = (case.make(env, policy_kwargs=MINE) for _ in range(2))
    model.learn(42)
    encoders = [encoder for _, encoder in model.policy.encoder.items()]
    assert all(type(each) is ExtractingEncoder and each.extractor.gain == 0.5 for each in encoders)
    assert model.policy.encoder.features_dim == 4 * len(encoders)
    changed = differing(start.policy.state_dict(), model.policy.state_dict())
    assert any("extractor.layers.1.weight" in each for each in changed)
    model.save(tmp_path / "agent")
    assert_same_actions(model, case.algorithm.load(tmp_path / "agent"), env, 5)
    model.policy.save(tmp_path / "policy.pt")
    loaded = type(model.policy).load(tmp_path / "policy.pt")
    assert not differing(loaded.state_dict(), model.policy.state_dict())


def test_a_goal_is_extracted_as_the_state_that_it_names():
    policy = GCSL("MultiInputPolicy", PointEnv("goal"), policy_kwargs=MINE).policy
    encoder = dict(policy.encoder.items())["achieved_goal"]
    assert dict(policy.goal_encoder.items())["achieved_goal"] is encoder


@every_trajectory_case
def test_vectors_are_standardised_before_it_sees_them(case):
    model = case.make(policy_kwargs=MINE).learn(42)
    encoder = dict(model.policy.encoder.items())["observation"]
    default = case.make().learn(42).policy.encoder.encoders[0]
    assert not differing(encoder.scaler.state_dict(), default.state_dict()) and (encoder.scaler.std != 1).all()


def test_the_inverse_model_of_bco_shares_statistics_and_no_weights():
    from gcrl_zoo import BCO

    policy = BCO("MlpPolicy", PointEnv(), learning_starts=10, train_freq=5, batch_size=4, policy_kwargs=MINE)
    policy = policy.learn(40).policy
    own, other = policy.encoder.encoders[0], policy.inverse.encoder.encoders[0]
    assert own.scaler is other.scaler and own.extractor is not other.extractor
    assert policy.inverse.change.features_dim == 2 and policy.inverse.change.place.encoders[0] is own.scaler


ENTRIES = {key: space for key, space in OBSERVATION_SPACES.items() if not isinstance(space, spaces.Dict)}
ENTRIES["image"] = spaces.Box(0, 255, (1, 36, 36), np.uint8)
ENTRIES["small image"] = spaces.Box(0, 255, (3, 7, 7), np.uint8)
ENTRIES["stack"] = spaces.Box(0, 255, (2, 36, 36, 3), np.uint8)


@pytest.mark.parametrize("space", ENTRIES.values(), ids=ENTRIES)
def test_it_sees_what_it_would_see_in_sb3(space):
    """Flattened by SB3's own extractor, each entry is what our encoder makes of it, and pixels are in [0, 1]."""
    space.seed(0)
    seen = th.as_tensor(np.stack([space.sample(), space.sample()]))
    extracted = make_extractor("entry", space, FlattenExtractor, {})(seen)
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        th.testing.assert_close(extracted, seen.flatten(1) / 255)
    else:
        th.testing.assert_close(extracted, make_encoder(space, 8)(seen))


def test_sb3s_network_for_images_is_taken():
    space = ENTRIES["image"]
    encoder = make_extractor("image", space, NatureCNN, {"features_dim": 16})
    assert encoder(th.as_tensor(space.sample())[None]).shape == (1, 16)


@every_trajectory_case
@pytest.mark.parametrize(
    ("extractor", "kwargs"),
    [(NatureCNN, {}), (CombinedExtractor, {}), (Liar, {}), (Mine, {"gian": 1}), (Mine, {"features_dim": "many"})],
    ids=["images only", "whole Dicts", "other width", "unknown option", "wrong option"],
)
def test_one_that_does_not_fit_is_refused_in_one_sentence(case, extractor, kwargs):
    chosen = {"features_extractor_class": extractor, "features_extractor_kwargs": kwargs}
    refusal(
        ValueError, lambda: case.make(policy_kwargs=chosen), "features_extractor_class", "for observation '", "entry"
    )


@every_trajectory_case
@pytest.mark.parametrize("wrong", ["NatureCNN", nn.Flatten, 3])
def test_what_is_none_is_refused_in_one_sentence(case, wrong):
    refused = {"features_extractor_class": wrong}
    refusal(ValueError, lambda: case.make(policy_kwargs=refused), "features_extractor_class", "BaseFeaturesExtractor")
    alone = {"features_extractor_kwargs": {"features_dim": 4}}
    refusal(ValueError, lambda: case.make(policy_kwargs=alone), "without a features_extractor_class")
