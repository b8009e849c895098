"""Environments whose observations or actions no network here can read are refused in one sentence, before SB3 stops."""

from __future__ import annotations

import argparse
import functools
from typing import Any

import gymnasium as gym
import pytest
from gymnasium import spaces
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC, DT, GCSL, GCSLVICReg
from gcrl_zoo.record import record
from gcrl_zoo.record.__main__ import main as record_command
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.envs import PointEnv
from tests.support.recordings import ID

BOX, CHOICE = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
ODD: dict[str, spaces.Space] = {
    "Tuple": spaces.Tuple([BOX, CHOICE]),
    "Text": spaces.Text(5),
    "Sequence": spaces.Sequence(CHOICE),
    "Graph": spaces.Graph(BOX, None),
    "OneOf": spaces.OneOf([BOX, CHOICE]),
    "Dict in Dict": spaces.Dict(a=spaces.Dict(b=BOX), c=BOX),
    "Tuple in Dict": spaces.Dict(a=spaces.Tuple([BOX]), c=BOX),
    "Text in Dict": spaces.Dict(a=spaces.Text(5), c=BOX),
    "Graph in Dict": spaces.Dict(a=spaces.Graph(BOX, None), c=BOX),
    "Dict in Tuple": spaces.Tuple([spaces.Dict(a=BOX)]),
}
every_odd = pytest.mark.parametrize("odd", ODD)


class Odd(gym.Env):
    """It has these spaces and can do nothing: it is refused before it is asked to."""

    def __init__(self, odd: str = "Text", part: str = "observation") -> None:
        self.observation_space = ODD[odd] if part == "observation" else BOX
        self.action_space = ODD[odd] if part == "action" else CHOICE


gym.register("Odd-v0", entry_point="tests.common.test_odd_spaces:Odd")


def words(odd: str) -> tuple[str, ...]:
    """Of the sentence on an observation."""
    inner, *outer = odd.split(" in ")
    return ("Observation 'a' is", inner) if outer == ["Dict"] else ("Observation 'observation' is", *(outer or [inner]))


@every_odd
def test_observations_of_an_environment(odd: str) -> None:
    for algorithm in (BC, GCSL, GCSLVICReg):
        refusal(ValueError, lambda a=algorithm: a("MultiInputPolicy", Odd(odd), device="cpu"), *words(odd))
    refusal(ValueError, lambda: DT("MultiInputPolicy", ReturnToGo(Odd(odd)), device="cpu"), "bservation")
    agent = BC("MlpPolicy", PointEnv(), device="cpu")
    refusal(ValueError, lambda: agent.set_env(Odd(odd)), *words(odd))


def test_observations_that_show_nothing(datasets: Any) -> None:
    env = Odd()
    env.observation_space = spaces.Dict()
    refusal(ValueError, lambda: BC("MultiInputPolicy", env, device="cpu"), "Dict() shows nothing")
    refusal(ValueError, lambda: record(None, env, ID, n_episodes=1), "empty Dict")
    env.observation_space = spaces.Dict(return_to_go=spaces.Box(-9, 9, (1,)))
    refusal(ValueError, lambda: DT("MultiInputPolicy", env, device="cpu"), "shows nothing")


@every_odd
def test_observations_of_an_id(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym.spec("Odd-v0"), "kwargs", {"odd": odd})
    refusal(ValueError, lambda: BC("MlpPolicy", "Odd-v0", device="cpu"), *words(odd))


@every_odd
def test_actions(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = Odd(odd, "action")
    told = "plays Box and Discrete actions, not", "wrapper"
    refusal(ValueError, lambda: BC("MlpPolicy", env, device="cpu"), *told)
    refusal(ValueError, lambda: BC("MlpPolicy", DummyVecEnv([lambda: env]), device="cpu"), *told)
    monkeypatch.setattr(gym.spec("Odd-v0"), "kwargs", {"odd": odd, "part": "action"})
    refusal(ValueError, lambda: BC("MlpPolicy", "Odd-v0", device="cpu"), *told)


@every_odd
@pytest.mark.parametrize("part", ["observation", "action"])
def test_recording(datasets: Any, odd: str, part: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(ValueError, lambda: record(None, Odd(odd, part), ID, n_episodes=1), f"In {ID} the {part}")
    monkeypatch.setattr(gym.spec("Odd-v0"), "kwargs", {"odd": odd, "part": part})
    refusal(ValueError, lambda: record(None, "Odd-v0", ID, n_episodes=1), f"In Odd-v0 the {part}")
    with pytest.raises(SystemExit) as caught:
        record_command(["--random", "--env", "Odd-v0", "--dataset-id", ID, "--n-episodes", "1"])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and f"error: In Odd-v0 the {part}" in error
    assert not list(datasets.iterdir())


@every_odd
@pytest.mark.parametrize("algo", ["bc", "dt"])
def test_rl_zoo(odd: str, algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scripts vectorise an environment before an algorithm sees it."""
    monkeypatch.setattr(gym.spec("Odd-v0"), "kwargs", {"odd": odd})
    manager = ExperimentManager(argparse.Namespace(), algo, "Odd-v0", "logs", n_timesteps=10, device="cpu")
    refusal(ValueError, manager.setup_experiment, "bservation", *words(odd)[1:])


def test_rl_zoo_keeps_the_wrapper_of_the_settings() -> None:
    manager = ExperimentManager(argparse.Namespace(), "dt", "CartPole-v1", "logs", n_timesteps=10, device="cpu")
    model, _ = manager.setup_experiment()
    assert "return_to_go" in model.observation_space.spaces and not isinstance(manager.env_wrapper, functools.partial)
    assert manager.create_envs(2).num_envs == 2


@every_odd
def test_the_advice_to_flatten_leads_to_what_can_be_read(odd: str) -> None:
    with pytest.raises(ValueError) as caught:
        BC("MultiInputPolicy", Odd(odd), device="cpu")
    if "FlattenObservation" in str(caught.value):
        BC("MlpPolicy", gym.wrappers.FlattenObservation(Odd(odd)), device="cpu")
    else:
        assert not ODD[odd].is_np_flattenable
        assert "a Box or a Dict of Boxes" in str(caught.value)
