"""The inverse dynamics model without a policy or an algorithm: spaces and transitions are enough."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.common.encoders import make_encoders
from gcrl_zoo.common.inverse_dynamics import InverseDynamics
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.transitions import Transitions
from tests.support.envs import PointEnv, make_store


def as_tensors(observations):
    return {key: th.as_tensor(each) for key, each in observations.items()}


@pytest.mark.parametrize(("observation", "action"), [("box", "box"), ("dict", "discrete")])
def test_it_learns_actions_from_transitions(observation, action):
    env, store = PointEnv(observation, action), make_store(observation, action, n_episodes=60, length=8)
    th.manual_seed(0)
    encoders = make_encoders(Roles.of(env.observation_space).facts_space, 16, "nature", None, None)
    model = InverseDynamics.from_encoders(encoders, env.action_space, net_arch=[32])
    model.fit(store)
    assert (model.change.scale != 1).any()
    optimizer, rng = th.optim.Adam(model.parameters(), lr=1e-2), np.random.default_rng(0)
    losses = []
    for _ in range(60):
        batch = Transitions(store).sample(rng, 64)
        states, goals = as_tensors(batch.observations), as_tensors(batch.next_observations)
        loss = model.loss(states, goals, th.as_tensor(batch.actions))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    params = model(states, goals)
    assert params.shape[0] == 64 and model.head.act(params).shape == batch.actions.shape
    th.testing.assert_close(
        model.head.nll(params, th.as_tensor(batch.actions)).mean(),
        model.loss(states, goals, th.as_tensor(batch.actions)),
    )
