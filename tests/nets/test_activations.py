"""``activation_fn`` reaches every network of every method, and travels with the agent."""

import pytest
import torch as th
from torch import nn

from gcrl_zoo import BC
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.nets.activations import NAMES, activation_class, is_activation
from gcrl_zoo.nets.image_encoders import ImageEncoder
from tests.common.test_bad_input import refusal
from tests.support.case import differing
from tests.support.envs import assert_same_actions
from tests.support.matrix import every_trajectory_case, every_variant


class Sine(nn.Module):
    """Somebody's own."""

    def forward(self, x):
        return x.sin()


@pytest.mark.parametrize("written", ["Tanh", "nn.Tanh", "torch.nn.Tanh", nn.Tanh])
def test_it_may_be_named(written):
    assert activation_class(written) is nn.Tanh
    assert type(BC("MlpPolicy", "CartPole-v1", policy_kwargs={"activation_fn": written}).policy.body[1]) is nn.Tanh


NONE = ["tanh", "os.abort", "MultiheadAttention", "GLU", "Threshold", nn.MultiheadAttention, nn.GLU, nn.Linear, int, 3]


@pytest.mark.parametrize(
    "wrong", [*NONE, None, nn.Tanh(), th.tanh], ids=lambda wrong: getattr(wrong, "__name__", str(wrong))
)
def test_what_is_none_is_refused_in_one_sentence(wrong):
    kwargs = {"activation_fn": wrong}
    refusal(ValueError, lambda: BC("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs), "activation_fn", "torch.nn.Tanh")


def test_most_of_torch_are_fit():
    assert sum(map(is_activation, NAMES)) >= 20 and is_activation(Sine)


@every_variant
def test_it_is_in_all_networks(case, variant):
    """A default written out changes nothing; another one leaves ReLU only in convolutions and expanders."""
    kwargs = {**variant, "policy_kwargs": {**variant.get("policy_kwargs", {}), "activation_fn": nn.ReLU}}
    relu, default = case.make(**kwargs), case.make(**variant)
    assert not differing(relu.policy.state_dict(), default.policy.state_dict())
    kwargs["policy_kwargs"]["activation_fn"] = Sine
    policy = case.make(**kwargs).policy
    kept = [each for part in policy.modules() if isinstance(part, (ImageEncoder, Expander)) for each in part.modules()]
    found = [each for each in policy.modules() if isinstance(each, nn.ReLU) and not any(each is one for one in kept)]
    assert not found and any(isinstance(each, Sine) for each in policy.modules())


@every_trajectory_case
def test_agents_learn_with_it_and_keep_it(case, tmp_path):
    """A class of torch and a name, in the zip and in a file of the policy."""
    env, written = case.env(), nn.GELU if case.name.startswith("dt") else "SiLU"
    model = case.make(env, policy_kwargs={"activation_fn": written}).learn(42)
    model.save(tmp_path / "agent")
    assert_same_actions(model, case.algorithm.load(tmp_path / "agent"), env, 5)
    model.policy.save(tmp_path / "policy.pt")
    loaded = type(model.policy).load(tmp_path / "policy.pt")
    assert loaded.activation_fn is activation_class(written)
    assert not differing(loaded.state_dict(), model.policy.state_dict())
    relu = case.make(env).learn(42)
    assert differing(relu.policy.state_dict(), model.policy.state_dict())
