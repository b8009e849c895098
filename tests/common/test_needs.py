"""gcsl in an environment without goals: what the refusal advises works as it is written."""

import argparse
import re

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium import spaces
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import StoreDict

import gcrl_zoo.wrappers
from gcrl_zoo import GCSL
from tests.support.envs import PointEnv

SMALL = {"policy": "MultiInputPolicy", "n_timesteps": 60, "learning_starts": 20, "train_freq": 20, "gradient_steps": 1}


class Still(gym.Env):
    """Nothing happens; observations of any space."""

    action_space = spaces.Discrete(2)

    def __init__(self, observation_space):
        self.observation_space = observation_space
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), 0.0, self.steps == 8, False, {}


VECTOR = spaces.Box(-1, 1, (3,), np.float32)
SPACES = {
    "vector": VECTOR,
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "without zero": spaces.Box(np.float32(0.3), np.float32(0.9), (2,)),
    "integers": spaces.Box(3, 9, (4,), np.int64),
    "Discrete": spaces.Discrete(4, start=2),
    "MultiDiscrete": spaces.MultiDiscrete([3, 4]),
    "MultiBinary": spaces.MultiBinary(3),
    "Dict": spaces.Dict({"a": spaces.Discrete(3), "observation": VECTOR}),
    "Dict of other keys": spaces.Dict({"place": VECTOR, "what": spaces.Discrete(3)}),
}


def refusal(env: gym.Env) -> str:
    with pytest.raises(ValueError, match=r"^GCSL acts towards goals, but the environment has none") as caught:
        GCSL("MultiInputPolicy", env)
    return str(caught.value)


@pytest.fixture(params=SPACES)
def still(request):
    """The id of an environment."""
    gym.register("Still-v0", lambda: Still(SPACES[request.param]))
    yield "Still-v0"
    del gym.registry["Still-v0"]


def train(folder, env_id: str, **kwargs) -> GCSL:
    conf = folder / "mine.yml"
    if not conf.is_file():
        conf.write_text(yaml.dump({"default": SMALL}))
    manager = ExperimentManager(
        argparse.Namespace(), "gcsl", env_id, str(folder), eval_freq=-1, verbose=0, config=str(conf), **kwargs
    )
    model, _ = manager.setup_experiment()
    manager.learn(model)
    return model


def test_on_the_command_line(still, tmp_path):
    (word,) = re.findall(r'-params "(.+?)" on the command line', refusal(gym.make(still)))
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=StoreDict)
    assert train(tmp_path, still, hyperparams=parser.parse_args(["-params", word]).params)._n_updates > 0


def test_in_yaml(still, tmp_path):
    (line,) = re.findall(r"by (env_wrapper: .+?) in YAML", refusal(gym.make(still)))
    (tmp_path / "mine.yml").write_text(yaml.dump({"default": {**SMALL, **yaml.safe_load(line)}}))
    assert train(tmp_path, still)._n_updates > 0


def test_in_python(still):
    env = gym.make(still)
    (call,) = re.findall(r"or by (.+\)) in Python", refusal(env))
    wrapped = eval(call, {"gcrl_zoo": gcrl_zoo, "env": env})
    GCSL(**{k: v for k, v in SMALL.items() if k != "n_timesteps"}, env=wrapped).learn(60)


def test_an_image_as_a_goal_is_not_written_down():
    message = refusal(PointEnv("image"))
    assert "FixedGoal" not in message and re.search(r"gcrl_zoo.wrappers, such as (\w+)", message)[1] in dir(
        gcrl_zoo.wrappers
    )
