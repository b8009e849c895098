"""Describes a method to the tests. A new method adds ``tests/cases/NAME.py``, which defines ``CASE``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data import GoalPairs
from gcrl_zoo.wrappers import ReturnToGo
from tests import cases
from tests.support.envs import ForSB3, ask_for_goals, make_env, make_store


@dataclass(frozen=True)
class Contest:
    """
    A task on which a method must score better than its ablations.

    :param name: of the task
    :param env: makes its environment
    :param timesteps: to learn for
    :param settings: constructor arguments
    :param ablations: name -> changed arguments; ``algorithm`` stands for another class
    :param targets: name -> target return of the same agent, which must score worse with it
    :param score: of a learned agent
    :param margin: by which the mean score over ``seeds`` must be better than with each ablation or target
    :param seeds: of the agents
    :param quick: number of seeds that are used without ``--all``; 0 leaves the contest to ``--all``
    """

    name: str
    env: Callable[[], VecEnv]
    timesteps: int
    settings: Mapping[str, Any]
    score: Callable[[BaseAlgorithm], float]
    margin: float
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    quick: int = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    A method that is any Stable-Baselines3 algorithm.

    :param name: of the method
    :param algorithm: its class
    :param kwargs: constructor arguments that make it small and quick. The tests learn for multiples of 4 timesteps of
        each environment, so an on-policy method takes ``n_steps=4``
    :param action_spaces: key of ``tests.support.envs.ACTION_SPACES`` -> whether the method can act in it
    :param observation_spaces: key of ``tests.support.envs.OBSERVATION_SPACES`` -> whether the method can learn from it
    """

    name: str
    algorithm: type[BaseAlgorithm]
    kwargs: Mapping[str, Any]
    action_spaces: Mapping[str, bool]
    observation_spaces: Mapping[str, bool]

    #: What it learns from; see ``TrajectoryCase``.
    sources: tuple[str, ...] = ("own play",)
    #: What it raises in an environment with a space that it does not support; ``{}`` stands for the kind of space.
    refusal: ClassVar[tuple[type[Exception], str]] = (AssertionError, "{}")

    def __str__(self) -> str:
        return self.name

    def wrap(self, env: gym.Env) -> gym.Env:
        """Wrap an environment with what the method requires."""
        return ForSB3(env)

    def env(self, observation: str = "box", action: str = "discrete", n_envs: int = 1, **kwargs: Any) -> VecEnv:
        """As ``tests.support.envs.make_env``, wrapped with what the method requires."""
        return make_env(observation, action, n_envs, wrap=self.wrap, **kwargs)

    def make(self, env: VecEnv | None = None, **kwargs: Any) -> BaseAlgorithm:
        """A small agent; ``policy_kwargs`` are added to those of the case."""
        env = self.env() if env is None else env
        settings = {"device": "cpu", "seed": 0, **self.kwargs, **kwargs}
        settings["policy_kwargs"] = {**self.kwargs.get("policy_kwargs", {}), **kwargs.get("policy_kwargs", {})}
        return self.algorithm(policy_for(env.observation_space), env, **settings)


@dataclass(frozen=True, kw_only=True)
class TrajectoryCase(Case):
    """
    A method that learns from stored trajectories: a ``TrajectoryAlgorithm``.

    :param sources: what it can learn from: "own play", "dataset", "dataset + stream", "dataset + own play",
        "stream + own play"
    :param variants: further constructor arguments by name, each to go through the device and resume tests
    :param contests: tasks that it learns
    """

    sources: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    contests: tuple[Contest, ...] = ()
    #: In one sentence.
    refusal: ClassVar[tuple[type[Exception], str]] = (ValueError, r"^[^\n]*{}[^\n]*\.$")

    def wrap(self, env: gym.Env) -> gym.Env:
        """Add goals or returns if the method needs them."""
        if self.algorithm.needs.return_to_go and not Roles.of(env.observation_space).return_to_go:
            env = ReturnToGo(env)
        return ask_for_goals(env) if self.algorithm.needs.goals else env


def policy_for(space: spaces.Space) -> str:
    """The policy alias for an observation space."""
    if isinstance(space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(space) else "MlpPolicy"


def all_cases() -> list[Case]:
    """The case of each module in ``tests.cases``: a new method changes no existing file."""
    names = sorted(info.name for info in pkgutil.iter_modules(cases.__path__))
    return [importlib.import_module(f"{cases.__name__}.{name}").CASE for name in names]


def trajectory_cases() -> list[TrajectoryCase]:
    """The cases of methods that learn from stored trajectories."""
    return [case for case in all_cases() if isinstance(case, TrajectoryCase)]


class ShuffledPairs(GoalPairs):
    """Each step gets the goal of another step, so goals carry no information."""

    def draw(self, rng, n):  # type: ignore[no-untyped-def]
        index = super().draw(rng, n)
        return index._replace(goals=rng.permutation(index.goals))


def batches_of(model: BaseAlgorithm, n: int = 16) -> dict[str, Any]:
    """A batch of each sampler, the same at each call."""
    rng, samplers = np.random.default_rng(0), model._learner.samplers
    return {name: to_tensors(sampler.sample(rng, n), model.device) for name, sampler in samplers.items()}


def touched(module: th.nn.Module) -> bool:
    """Whether a gradient reached any parameter."""
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def data_of(source: str, observation: str = "box", action: str = "discrete") -> dict[str, Any]:
    """Constructor arguments for a source."""
    data: dict[str, Any] = {}
    if "dataset" in source:
        data["dataset"] = make_store(observation, action)
    if "stream" in source:
        data["stream"] = make_store(observation, action, seed=1, actions=False)
    if source == "dataset + own play":
        data["own_play"] = True
    return data


def weights_of(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """A copy of the parameters and buffers of a policy."""
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def differing(a: Any, b: Any, path: str = "") -> list[str]:
    """Paths at which two nested structures of tensors and numbers differ in any bit."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys()
        return [each for key in a for each in differing(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        return [each for i, (x, y) in enumerate(zip(a, b, strict=True)) for each in differing(x, y, f"{path}/{i}")]
    same = th.equal(a, b) if isinstance(a, th.Tensor) else a == b
    return [] if same else [path]
