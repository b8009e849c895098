"""Roles: which part of an observation is fact and which is command."""

from typing import ClassVar

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.methods.bc import BCPolicy
from tests.support.envs import PointEnv

BOX = spaces.Box(-1, 1, (2,))


def dict_of(*keys):
    return spaces.Dict({key: BOX for key in keys})


def observation(*keys):
    return {key: np.full((3, 2), i, dtype=np.float32) for i, key in enumerate(keys)}


def tensors(observation):
    return {key: th.as_tensor(value) for key, value in observation.items()}


def test_a_plain_observation_is_state_and_goal():
    roles = Roles.of(BOX)
    plain = np.ones((3, 2))
    assert roles.state_keys == roles.goal_keys == ("observation",)
    assert roles.facts(plain)["observation"] is plain
    inputs = roles.inputs(th.as_tensor(plain))
    assert list(inputs.state) == ["observation"]
    assert inputs.goal is inputs.episode_return is inputs.return_to_go is inputs.horizon is None


def test_commands_are_no_facts():
    keys = ("achieved_goal", "desired_goal", "observation", "return_to_go")
    roles = Roles.of(dict_of(*keys))
    seen = observation(*keys)
    assert set(roles.facts(seen)) == set(roles.state_keys) == {"achieved_goal", "observation"}
    inputs = roles.inputs(tensors(seen))
    assert set(inputs.state) == {"achieved_goal", "observation"}
    assert (inputs.goal["achieved_goal"] == 1).all()  # the desired goal, encoded as the achieved one is
    assert (inputs.return_to_go == 3).all()


def test_a_goal_is_what_can_be_achieved():
    assert Roles.of(dict_of("achieved_goal", "observation")).goal_keys == ("achieved_goal",)
    assert Roles.of(dict_of("a", "b")).goal_keys == ("a", "b")


def test_no_desired_goal_no_goal():
    roles = Roles.of(dict_of("achieved_goal", "observation"))
    assert roles.inputs(tensors(observation("achieved_goal", "observation"))).goal is None


def test_facts_and_inputs_leave_the_observation_alone():
    keys = ("achieved_goal", "desired_goal", "observation")
    roles, seen = Roles.of(dict_of(*keys)), observation(*keys)
    roles.facts(seen)
    roles.inputs(tensors(seen))
    assert list(seen) == list(keys)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Tuple([BOX]), "Tuple"),
        (spaces.Dict({"inner": dict_of("a")}), "'inner' is a Dict"),
        (spaces.Dict({"word": spaces.Text(3)}), "'word' is a Text"),
        (dict_of("desired_goal", "observation"), "'achieved_goal'"),
        (dict_of("actions", "observation"), "'actions'.*rename"),
        (dict_of("episode_return", "observation", "return_to_go"), "'episode_return'.*rename"),
        (dict_of("last", "observation"), "'last'.*rename"),
    ],
)
def test_what_cannot_be_stored_is_refused(space, words):
    with pytest.raises(ValueError, match=rf"^[^\n]*{words}[^\n]*\.$"):
        Roles.of(space)


def test_extra_commands_are_given_to_networks_and_not_stored():
    keys = ("observation", "speed_limit", "weather")
    roles, seen = Roles.of(dict_of(*keys), ["speed_limit"]), observation(*keys)
    assert set(roles.facts(seen)) == set(roles.state_keys) == set(roles.goal_keys) == {"observation", "weather"}
    inputs = roles.inputs(tensors(seen))
    assert set(inputs.state) == {"observation", "weather"}
    assert list(inputs.extras) == ["speed_limit"] and (inputs.extras["speed_limit"] == 1).all()
    assert Roles.of(dict_of(*keys)).inputs(tensors(seen)).extras is None


@pytest.mark.parametrize("space", [BOX, dict_of("observation")])
def test_an_extra_command_that_the_environment_does_not_give(space):
    with pytest.raises(ValueError, match=r"^[^\n]*command 'speed_limit'[^\n]*has observation;[^\n]*\.$"):
        Roles.of(space, ["speed_limit"])


class SpeedPolicy(BCPolicy):
    """Acts on a command of its environment."""

    extra_commands = ("speed_limit",)
    seen: ClassVar[list] = []

    def represent(self, inputs):
        self.seen.append(None if inputs.extras is None else list(inputs.extras))
        return super().represent(inputs)


def test_an_agent_acts_on_an_extra_command_and_does_not_store_it():
    space = spaces.Dict({"speed_limit": spaces.Box(0, 1, (1,))})

    def limited():
        env = PointEnv("goal")
        both = spaces.Dict({**env.observation_space, **space})
        return TransformObservation(env, lambda seen: {**seen, "speed_limit": np.ones(1, np.float32)}, both)

    env = DummyVecEnv([limited])
    model = BC(SpeedPolicy, env, learning_starts=0, train_freq=12, gradient_steps=2, device="cpu", seed=0).learn(48)
    assert model.replay_buffer.n_episodes and "speed_limit" not in model.replay_buffer.observation_keys
    SpeedPolicy.seen.clear()
    model.predict(env.reset())
    assert SpeedPolicy.seen == [["speed_limit"]]
