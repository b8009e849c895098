"""
Extend RL Zoo's ExperimentManager for our algorithms: hyperparameters, environments and an estimate of the duration.

Other algorithms are unaffected.
"""

import functools
import json
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import BadZipFile, ZipFile

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo import monitor, spaces
from gcrl_zoo.zoo.environments import register_extras
from gcrl_zoo.zoo.estimate import TimeEstimate
from gcrl_zoo.zoo.hyperparams import SOURCES, Block, check_keys, compose, find_preset, own_file
from gcrl_zoo.zoo.wrapper_arguments import check_wrappers


def patch(exp_manager: ModuleType) -> None:
    """
    Wrap ``read_hyperparameters``, ``learn`` and ``create_envs``, and register the environments of installed extras.

    :param exp_manager: ``rl_zoo3.exp_manager``
    """
    register_extras()
    manager = exp_manager.ExperimentManager
    stock = manager.read_hyperparameters
    stock_folder = Path(exp_manager.__file__ or "").parent / "hyperparams"

    @functools.wraps(stock)
    def read_hyperparameters(self: Any) -> tuple[Block, OrderedDict[str, Any]]:
        method = discover().get(self.algo)
        if method is None:
            return stock(self)
        if self.trial_id == 0:
            self.trial_id = _TrialZero()
        default = Path(self.config) == stock_folder / f"{self.algo}.yml"  # its value without -conf
        preset = None if default else find_preset(method, self.config)
        if default or preset:
            given = _sources(self)
            source, block = compose(method, preset, self.env_name.gym_id, atari=self._is_atari, given=given)
            with _importable(source, {self.env_name.gym_id: block}):
                self.config = source
                hyperparams, saved = stock(self)
        else:
            self.config = str(own_file(self.config) or self.config)
            hyperparams, saved = stock(self)
        check_keys(method, hyperparams)
        check_wrappers(hyperparams.get("env_wrapper"))
        if self._eval_env_kwargs_args is None:
            # RL Zoo does not pass the env_kwargs of the YAML to the evaluation environment.
            self.eval_env_kwargs = hyperparams.get("env_kwargs", self.env_kwargs)
        return hyperparams, saved

    manager.read_hyperparameters = read_hyperparameters
    stock_learn = manager.learn

    @functools.wraps(stock_learn)
    def learn(self: Any, model: BaseAlgorithm) -> None:
        if self.algo in discover():
            self.callbacks.append(TimeEstimate(self.verbose))
        stock_learn(self, model)

    manager.learn = learn
    stock_create_envs = manager.create_envs

    @functools.wraps(stock_create_envs)
    def create_envs(self: Any, *args: Any, **kwargs: Any) -> VecEnv:
        if self.algo not in discover():
            return stock_create_envs(self, *args, **kwargs)
        wrapper = self.env_wrapper
        self.env_wrapper = functools.partial(spaces.checked, monitor.record_success(self))
        try:
            return stock_create_envs(self, *args, **kwargs)
        finally:
            self.env_wrapper = wrapper

    manager.create_envs = create_envs


def _sources(manager: Any) -> set[str]:
    """Return which of dataset and stream are given by ``-params`` or saved in the agent of ``-i``."""
    saved: dict[str, Any] = {}
    if manager.continue_training:
        # Damaged zips are reported by SB3.
        with suppress(BadZipFile, KeyError, ValueError), ZipFile(manager.trained_agent) as agent:
            saved = json.loads(agent.read("data"))
    arguments = {**saved, **(manager.custom_hyperparams or {})}
    return {source for source in SOURCES if arguments.get(source) is not None}


@contextmanager
def _importable(name: str, hyperparams: dict[str, Block]) -> Iterator[None]:
    """
    Provide hyperparameters to RL Zoo as a module, since ``config`` may name a module with a dict ``hyperparams``.

    The rest of ``read_hyperparameters`` (trials, ``-params``, ``env_kwargs``) is then RL Zoo's own code.

    :param name: name of the module, which RL Zoo prints as the source
    :param hyperparams: blocks by environment id
    """
    module = ModuleType(name)
    vars(module)["hyperparams"] = hyperparams
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


class _TrialZero(int):
    """
    The number 0 with a true truth value: RL Zoo tests ``if ... and self.trial_id``, which ignores ``--trial-id 0``.
    """

    def __bool__(self) -> bool:
        return True
