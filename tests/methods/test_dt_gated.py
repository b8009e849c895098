"""Several actions and a gate: each head learns the right action, and predictions of one action are blended as told."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.data import Episode, TrajectoryStore, Windows
from gcrl_zoo.methods.dt_gated.policies import Gate
from tests.cases.dt_gated import CASE
from tests.support.envs import make_store

WIDTH = 6


def make(action="discrete", n_envs=1, **policy_kwargs):
    env = CASE.env("box", action, n_envs=n_envs)
    model = CASE.make(env, dataset=make_store("box", action), policy_kwargs=policy_kwargs).learn(2)
    model.policy.set_training_mode(False)
    return model


def batch_of(model, n=32):
    windows = model._learner.samplers["labelled"]
    return to_tensors(windows.sample(np.random.default_rng(0), n), th.device("cpu"))


def test_the_gate_lets_in_as_much_of_the_return_as_it_is_open():
    gate, outputs = Gate(WIDTH), th.randn(5, 3, 2, WIDTH)
    returns, states = outputs[..., 0, :], outputs[..., 1, :]
    with th.no_grad():
        gate.weigh.bias.fill_(-1e4)
        th.testing.assert_close(gate(outputs), states)
        gate.weigh.bias.fill_(1e4)
        th.testing.assert_close(gate(outputs), states + gate.value(returns))
        gate.weigh.bias.zero_()
        opening = gate.weigh(th.cat((states, returns), -1)[..., [*range(WIDTH, 2 * WIDTH), *range(WIDTH)]]).sigmoid()
        th.testing.assert_close(gate(outputs), states + opening * gate.value(returns))


@pytest.mark.parametrize("n_actions", [1, 3])
def test_each_head_learns_an_action_further_ahead(n_actions):
    """Against a plain loop over windows, steps and heads."""
    model = make("box", n_actions=n_actions)
    policy, batch = model.policy, batch_of(model)
    z = policy.represent_windows(batch)
    errors = [
        head.nll(head(z[window, t][None]), batch.actions[window, t + i][None]).item()
        for window in range(len(z))
        for t in range(z.shape[1])
        for i, head in enumerate(policy.heads)
        if batch.mask[window, t + i]
    ]
    assert len(policy.heads) == n_actions and not batch.mask.all()
    assert model.compute_loss({"labelled": batch})[0].item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_the_last_actions_of_an_episode_have_no_successors():
    """An episode of one step has one action to learn from, however many are predicted."""
    episode = Episode({"observation": np.zeros((2, 2))}, np.array([2]), np.array([1.0], np.float32))
    batch = Windows(TrajectoryStore.from_episodes([episode]), 3, ahead=4).sample(np.random.default_rng(0), 5)
    assert batch.mask.sum() == 5 and batch.mask.shape == (5, 6)


def test_predictions_of_an_action_are_blended():
    """Against all predictions, kept in a list."""
    weight, n_actions, n_steps = 0.5, 3, 7
    model = make("box", n_envs=2, n_actions=n_actions, ensemble=weight)
    policy, made = model.policy, []
    memory, begins = policy.initial_memory(2), {0: (0, 1), 4: (1,)}  # the second environment begins anew at step 4
    rng = np.random.default_rng(0)
    for t in range(n_steps):
        starts = np.isin([0, 1], begins.get(t, ()))
        facts = {"observation": th.as_tensor(rng.standard_normal((2, 2)), dtype=th.float32)}
        inputs = Inputs(state=facts, return_to_go=th.zeros(2, 1))
        with th.inference_mode():
            z, _ = policy.encode_step(inputs, memory, starts)
            made.append(th.stack([head(z) for head in policy.heads], dim=1))
            chosen, memory = policy.choose(inputs, memory, starts, deterministic=True)
        for env in range(2):
            begun = max(begin for begin, envs in begins.items() if env in envs and begin <= t)
            votes = [(weight**age, made[t - age][env, age]) for age in range(min(n_actions, t - begun + 1))]
            mean = sum(w * vote for w, vote in votes) / sum(w for w, _ in votes)
            th.testing.assert_close(chosen[env], policy.head.act(mean[None], deterministic=True)[0])


def test_without_a_gate_the_return_is_read_by_nobody_else():
    assert make(gate=False).policy.gate is None
    assert "train/gate_opening" not in make(gate=False).train_metrics({})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_actions": 0}, "n_actions is 0"),
        ({"ensemble": 0.0}, "ensemble is 0"),
        ({"ensemble": 1.5}, "ensemble is 1.5"),
    ],
)
def test_nonsense_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        make(**settings)
