"""One gradient step, and the random numbers that it draws."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch as th

from gcrl_zoo.common.learner import Learner, NonFiniteLoss
from gcrl_zoo.common.run_state import RandomStreams

CPU = th.device("cpu")


def make(max_grad_norm=None):
    weight = th.nn.Parameter(th.tensor([3.0, 4.0]))
    optimizer = th.optim.SGD([weight], lr=0.1)
    policy = SimpleNamespace(optimizers={"optimizer": optimizer})
    return weight, Learner(SimpleNamespace(policy=policy, max_grad_norm=max_grad_norm), RandomStreams(0, CPU))


def test_each_step_follows_its_own_gradient_only():
    weight, learner = make()
    for factor in (1.0, 10.0):
        before = weight.detach().clone()
        learner.step((weight * factor).sum(), {})
        th.testing.assert_close(weight.detach(), before - 0.1 * factor)


def test_gradients_are_clipped_to_a_norm():
    weight, learner = make(max_grad_norm=1.0)
    learner.step((weight * th.tensor([30.0, 40.0])).sum(), {})
    th.testing.assert_close(weight.detach(), th.tensor([3.0 - 0.06, 4.0 - 0.08]))
    assert learner.flush()["grad_norm"] == pytest.approx(50)


def test_metrics_are_averaged_over_the_steps_that_had_them():
    weight, learner = make()
    learner.step(0 * weight.sum() + 2, {"a": th.tensor(1.0)})
    learner.step(0 * weight.sum() + 4, {"a": th.tensor(2.0), "b": th.tensor(7.0)})
    assert learner.flush() == pytest.approx({"loss": 3, "a": 1.5, "b": 7})
    assert learner.flush() == {}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_loss_is_enough(bad):
    weight, learner = make()
    for value in (1.0, bad, 1.0):
        learner.step(0 * weight.sum() + value, {})
    with pytest.raises(NonFiniteLoss, match="loss"):
        learner.flush()
    assert learner.flush() == {}


def drawn(streams, n=3):
    with streams.torch_stream():
        return [float(th.rand(())) for _ in range(n)]


def test_training_has_a_torch_stream_of_its_own():
    """It goes on where it stopped, whatever is drawn outside, and leaves what is outside alone."""
    th.manual_seed(5)
    outside = [float(th.rand(())) for _ in range(2)]
    th.manual_seed(5)
    streams, whole = RandomStreams(0, CPU), drawn(RandomStreams(0, CPU), 6)
    halves = drawn(streams)
    assert float(th.rand(())) == outside[0]
    halves += drawn(streams)
    assert float(th.rand(())) == outside[1]
    assert halves == whole and len(set(whole)) == 6


def test_an_error_inside_gives_the_outer_stream_back():
    th.manual_seed(5)
    state = th.get_rng_state()
    with pytest.raises(KeyError), RandomStreams(0, CPU).torch_stream():
        th.rand(3)
        raise KeyError
    assert th.equal(th.get_rng_state(), state)


def test_streams_travel_as_json():
    streams = RandomStreams(0, CPU)
    streams.numpy.random(5)
    drawn(streams)
    text = json.dumps(streams.state_dict())
    expected = (streams.numpy.random(4).tolist(), drawn(streams))
    other = RandomStreams(9, CPU)
    other.load_state_dict(json.loads(text))
    assert (other.numpy.random(4).tolist(), drawn(other)) == expected


def test_a_stream_of_a_missing_device_is_left_as_seeded():
    streams, state = RandomStreams(0, CPU), RandomStreams(1, CPU).state_dict()
    streams.load_state_dict({**state, "torch": {"cuda": state["torch"]["cpu"]}})
    assert drawn(streams) == drawn(RandomStreams(0, CPU))


def test_seeds_tell_streams_apart():
    assert drawn(RandomStreams(0, CPU)) != drawn(RandomStreams(1, CPU))
    assert drawn(RandomStreams(None, CPU)) != drawn(RandomStreams(None, CPU))
    assert not np.array_equal(RandomStreams(0, CPU).numpy.random(3), RandomStreams(1, CPU).numpy.random(3))
