"""README's table of what is different from SB3: each row is refused by a constructor, in a sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from gcrl_zoo import BC, DT, GCSL, DTVICReg, GatedDT
from tests.support.throw_away import ROOT

README = (ROOT / "README.md").read_text()
SECTION = README.split("## What is different from SB3\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| (?!refused|---)(.+?) \| (.+?) \| (.+?) \|$", SECTION, re.MULTILINE)
PLAY = {"learning_starts": 20, "train_freq": 20, "gradient_steps": 1, "seed": 0}


class Acts(gym.Wrapper):
    """CartPole with another action space."""

    def __init__(self, space: spaces.Space) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.action_space = space


def seen(space: spaces.Space) -> gym.Env:
    """CartPole with another observation space."""
    return TransformObservation(gym.make("CartPole-v1"), lambda _: space.sample(), space)


BOX = spaces.Box(-1, 1, (2,), np.float32)
#: By the beginning of a row: constructors that are refused, and what the message says.
REFUSED: dict[str, tuple[str, list[Callable[[], object]]]] = {
    "`normalize` of observations": (
        "norm_obs=False",
        [
            lambda: BC("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1"))),
            lambda: BC("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1"), norm_reward=False)),
        ],
    ),
    "`frame_stack`": (
        "FrameStackObservation",
        [lambda: BC("MlpPolicy", VecFrameStack(make_vec_env("CartPole-v1"), 2))],
    ),
    "actions other than": (
        "change the action space by a wrapper",
        [
            lambda: BC("MlpPolicy", Acts(spaces.MultiDiscrete([2, 2]))),
            lambda: BC("MlpPolicy", Acts(spaces.MultiBinary(2))),
            lambda: BC("MlpPolicy", Acts(spaces.Box(0, 3, (2,), np.int64))),
        ],
    ),
    "`Tuple`, `Text` and nested": (
        "FlattenObservation",
        [
            lambda: BC("MlpPolicy", seen(spaces.Tuple((BOX, BOX)))),
            lambda: BC("MlpPolicy", seen(spaces.Text(4))),
            lambda: BC("MultiInputPolicy", seen(spaces.Dict({"a": spaces.Dict({"b": BOX})}))),
        ],
    ),
    "`gamma`, `use_sde`": (
        "did you mean|choose from",
        [lambda: BC("MlpPolicy", "CartPole-v1", gamma=0.9), lambda: BC("MlpPolicy", "CartPole-v1", use_sde=True)],
    ),
    "`policy_kwargs` that": (
        "choose from",
        [lambda: BC("MlpPolicy", "CartPole-v1", policy_kwargs={"ortho_init": False})],
    ),
    "`dt`, `dt_gated`, `dt_vicreg`": (
        "ReturnToGo",
        [lambda cls=cls: cls("MlpPolicy", gym.make("Acrobot-v1")) for cls in (DT, GatedDT, DTVICReg)],
    ),
    "`gcsl` without goals": ("FixedGoal", [lambda: GCSL("MlpPolicy", "CartPole-v1")]),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_is_refused_with_what_to_do_instead(row):
    (key,) = [key for key in REFUSED if row[0].startswith(key)]
    told, constructors = REFUSED[key]
    for construct in constructors:
        with pytest.raises((ValueError, TypeError), match=told):
            construct()


def test_every_refusal_has_its_row():
    assert len(ROWS) == len(REFUSED)


@pytest.mark.parametrize(
    "options",
    [
        {"policy_kwargs": {"activation_fn": th.nn.Tanh}},
        {"policy_kwargs": {"features_extractor_class": FlattenExtractor}},
        {"train_freq": (1, "episode")},
    ],
    ids=str,
)
def test_what_works_as_in_sb3(options):
    assert BC("MlpPolicy", "CartPole-v1", **{**PLAY, **options}).learn(120)._n_updates > 0


def test_rewards_may_be_normalised():
    env = VecNormalize(make_vec_env("CartPole-v1"), norm_obs=False)
    assert BC("MlpPolicy", env, **PLAY).learn(120)._n_updates > 0


def test_the_readme_keeps_to_two_commands_and_tells_how_to_install():
    commands = README.split("## Two commands\n")[1].split("\n## ")[0]
    assert re.findall(r"^make \w+", commands, re.MULTILINE) == ["make train", "make test"]
    assert re.search(r"^git clone .*\n^pip install ", README, re.MULTILINE)
