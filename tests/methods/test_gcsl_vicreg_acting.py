"""gcsl_vicreg: what it acts for, what stands for what is missing, and its presets."""

import numpy as np
import pytest
import torch as th
import yaml
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.methods.gcsl_vicreg.network import InputSlot
from gcrl_zoo.registry import discover
from gcrl_zoo.wrappers.return_to_go import ReturnToGo
from gcrl_zoo.zoo.hyperparams import base_blocks, compose
from tests.cases.gcsl_vicreg import CASE
from tests.support.envs import PointEnv, make_env, make_store


def params_of(model, observation):
    """What the head is told, for the commands that acting would give."""
    observation = {key: th.as_tensor(value) for key, value in observation.items()}
    with th.no_grad():
        return model.policy.head(model.policy.represent(model.policy.command(model.policy.roles.inputs(observation))))


@pytest.mark.parametrize("goal_with_return", [False, True])
def test_with_a_goal_it_acts_towards_the_goal(goal_with_return):
    env = make_env("goal", n_envs=4)
    model = CASE.make(env, policy_kwargs={"goal_with_return": goal_with_return}).learn(60)
    observation = env.reset()
    plain = params_of(model, observation)
    moved = params_of(model, {**observation, "desired_goal": -observation["desired_goal"]})
    assert not th.allclose(plain, moved)
    model.policy.set_target_return(50.0)
    assert th.allclose(plain, params_of(model, observation)) is not goal_with_return


def test_without_a_goal_it_acts_for_the_target_return():
    env = make_env(n_envs=4)
    model = CASE.make(env).learn(60)
    observation = {"observation": env.reset()}
    plain = params_of(model, {"observation": observation["observation"]})
    model.policy.set_target_return(50.0)
    assert not th.allclose(plain, params_of(model, observation))


@pytest.mark.parametrize("return_token", ["return_to_go", "episode_return"])
def test_the_wrapper_counts_down_where_return_to_go_is_the_token(return_token):
    env = ReturnToGo(PointEnv(), target=0.0)
    model = CASE.make(env, policy_kwargs={"return_token": return_token}).learn(60)
    model.policy.set_target_return(5.0)
    seen = []
    model.policy.network.slots["returns"].embed.register_forward_pre_hook(lambda _, args: seen.append(args[0].item()))
    observation, _ = env.reset(seed=0)
    model.predict(observation)
    observation, reward, *_ = env.step(2)
    model.predict(observation)
    scale = model.policy.return_scale.item()
    received = reward if return_token == "return_to_go" else 0.0
    np.testing.assert_allclose(np.array(seen) * scale, [5, 5 - received], rtol=1e-5)


def test_beside_a_goal_the_wrappers_return_is_not_heard():
    env = ReturnToGo(PointEnv("goal"))
    model = CASE.make(env).learn(60)
    observation = {key: value[None] for key, value in env.reset(seed=0)[0].items()}
    poorer = {**observation, "return_to_go": observation["return_to_go"] - 30}
    assert th.equal(params_of(model, observation), params_of(model, poorer))


def test_what_is_asked_for_at_every_step_lay_ahead_of_many_steps():
    store = make_store()
    model = CASE.make(dataset=store).learn(1)
    ahead = np.cumsum(max(store.episodes(), key=lambda each: each.episode_return).rewards[::-1])
    assert model.policy.target_return.item() == pytest.approx(np.quantile(ahead, 0.9), rel=1e-5)


@pytest.mark.parametrize("counted", [False, True], ids=["episode_return", "counted down by a wrapper"])
def test_the_target_is_the_best_return_watched_unless_told(counted):
    store = make_store()
    env = DummyVecEnv([lambda: ReturnToGo(PointEnv())]) if counted else make_env()
    token = {} if counted else {"policy_kwargs": {"return_token": "episode_return"}}
    assert CASE.make(env, dataset=store, **token).learn(1).policy.target_return == pytest.approx(store.returns.max())
    assert CASE.make(dataset=store, target_return=7.0).learn(1).policy.target_return == 7


def test_statistics_are_fitted_once():
    model = CASE.make(dataset=make_store()).learn(1)
    (encoder,) = model.policy.encoder.encoders
    mean, std = make_store().moments("observation")
    np.testing.assert_allclose(encoder.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(encoder.std, std, rtol=1e-5)
    scale = float(np.abs(make_store().returns).max())
    assert model.policy.return_scale == pytest.approx(scale)
    own = CASE.make().learn(60)
    before = own.policy.encoder.encoders[0].mean.clone()
    own.learn(60, reset_num_timesteps=False)
    assert th.equal(before, own.policy.encoder.encoders[0].mean)


# ------------------------------------------------------------------ what is missing


def test_null_is_learned_and_noise_is_fresh():
    like = th.zeros(5, 2)
    null, noise = InputSlot(3, 4, "null"), InputSlot(3, 4, "noise")
    th.nn.init.constant_(null.null, 0.5)
    assert (null(None, like) == 0.5).all() and null.null.requires_grad
    assert noise.null is None
    assert not th.equal(noise(None, like), noise(None, like))
    raw = InputSlot(3, None, "noise")
    drawn = raw(None, th.zeros(20_000, 1))
    assert raw.width == 3 and drawn.shape == (20_000, 3)
    assert drawn.mean().abs() < 0.02 and (drawn.std() - 1).abs() < 0.02
    given = th.randn(5, 3)
    assert th.equal(raw(given, given), given)


# ------------------------------------------------------------------ presets


def presets():
    method = discover()["gcsl_vicreg"]
    for env_id in base_blocks(method.yaml):
        yield pytest.param(method, None, env_id, "discrete", id=env_id)
    for name, path in method.presets.items():
        for env_id in ("default", "Hopper-v5"):
            for action in ("box",) if name.endswith(("gaussian", "bins")) else ("box", "discrete"):
                yield pytest.param(method, path, env_id, action, id=f"{name}-{env_id}-{action}")


@pytest.mark.parametrize(("method", "preset", "env_id", "action"), list(presets()))
def test_each_preset_learns(method, preset, env_id, action):
    """Its method settings, on the small environment with small numbers."""
    _, block = compose(method, preset, env_id)
    kept = {"terms", "vicreg", "max_horizon", "top_fraction", "noise_levels", "return_scale", "target_return"}
    settings = {key: value for key, value in block.items() if key in kept}
    policy_kwargs = dict(block.get("policy_kwargs", {}))
    if action == "discrete":
        policy_kwargs.pop("action_head_kwargs", None)  # those of Hopper are for its continuous actions
    model = CASE.make(make_env(action=action), policy_kwargs=policy_kwargs, **settings).learn(36)
    assert model._n_updates > 0


def test_every_adjustment_is_there_for_exp6_and_for_the_default():
    """S7a to S7i of the notes, by the names of the study."""
    presets = discover()["gcsl_vicreg"].presets
    components = {"concat", "no_return_online", "predictor", "gaussian", "bins", "tokens", "goal_only", "bottleneck"}
    combined = {f"exp6_{name}" for name in components | {"bc", "gcsl_only"}}
    assert presets.keys() == {"exp6", "consistency"} | components | combined
    for name in components:
        assert yaml.safe_load(presets[f"exp6_{name}"].read_text()) == {"extends": ["exp6", name]}


def test_exp6_is_the_faithful_one():
    method = discover()["gcsl_vicreg"]
    _, block = compose(method, method.presets["exp6"], "Hopper-v5")
    assert {name for name, weight in block["terms"].items() if weight} == {"vicreg", "inverse"}, (
        "the notes do not align"
    )
    policy = {"missing": "noise", "goal_with_return": True, "return_token": "episode_return"}
    assert policy.items() <= block["policy_kwargs"].items()
    assert block["max_horizon"] is None
