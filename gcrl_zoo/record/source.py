"""Who plays where: creates the agent and the environments that a recording needs."""

from __future__ import annotations

import importlib
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.record.player import make_env
from gcrl_zoo.record.scripted import load_policy
from gcrl_zoo.zoo import agents
from gcrl_zoo.zoo.training_environment import training_environment


@dataclass(frozen=True)
class Source:
    """
    The options of the command that select an agent and its environment.

    Without ``run``, the environment is the registered one. Without ``policy`` and ``model`` too, actions are random.

    :param env_id: id of the environment
    :param algo: name of the algorithm of ``run`` or ``model``
    :param run: of a log folder
    :param model: path of a zip
    :param policy: ``MODULE:FACTORY``
    :param policy_kwargs: of the factory
    :param wrappers: name of an algorithm, or ``ALGO/PRESET``, whose wrappers the environment gets; for a run, those of
        the run are used
    :param env_kwargs: of the environment's constructor
    :param gym_packages: to import, since they register environments
    :param seed: of the agent
    :param device: of the agent
    """

    env_id: str
    algo: str = ""
    run: agents.Run | None = None
    model: str | None = None
    policy: str | None = None
    policy_kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: str | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    gym_packages: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"

    @classmethod
    def of(cls, args: Namespace) -> Source:
        """
        Take the options from the arguments of the command.

        :param args: of the parser of :mod:`gcrl_zoo.record.options`
        """
        run = None
        if not (args.random or args.policy or args.model):
            run = agents.Run(
                args.folder or "logs", args.exp_id or 0, args.load_best, args.load_checkpoint, args.load_last_checkpoint
            )
        return cls(
            env_id=args.env,
            algo=args.algo or "",
            run=run,
            model=args.model,
            policy=args.policy,
            policy_kwargs=agents.keyword_arguments(args.policy_kwargs),
            wrappers=args.wrappers,
            env_kwargs=agents.keyword_arguments(args.env_kwargs),
            gym_packages=tuple(args.gym_packages),
            seed=args.seed,
            device=args.device,
        )

    @property
    def name(self) -> str:
        """Name of the player, for the metadata of the dataset."""
        return self.policy or self.algo or "random"

    def make(self, n_envs: int = 1) -> tuple[PolicyPredictor | None, VecEnv]:
        """
        Create the player and its environments.

        :param n_envs: number of environments
        :return: the player (None for random actions) and the environments
        :raises ValueError: there is no such agent, policy, ...
        """
        for package in self.gym_packages:
            importlib.import_module(package)
        if self.run is not None:
            return agents.load_run(self.algo, self.env_id, self.run, n_envs, self.env_kwargs, self.seed, self.device)
        wrap, kwargs = training_environment(self.wrappers, self.env_id) if self.wrappers else (None, {})
        env = make_env(self.env_id, n_envs, {**kwargs, **self.env_kwargs}, wrap)
        try:
            return self._player(env), env
        except BaseException:
            env.close()
            raise

    def _player(self, env: VecEnv) -> PolicyPredictor | None:
        if self.policy is not None:
            return load_policy(self.policy, env, self.policy_kwargs)
        if self.model is not None:
            agents.refuse_statistics(self.model, self.env_id)
            return agents.load_zip(self.algo, self.model, self.seed, self.device)
        return None
