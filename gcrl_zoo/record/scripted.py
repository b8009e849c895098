"""Load policies that are not agents, such as scripted ones: any object with SB3's ``predict``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.wording import suggestion


def load_policy(name: str, env: VecEnv, kwargs: Mapping[str, Any] | None = None) -> PolicyPredictor:
    """
    Call the factory of a policy.

    :param name: ``MODULE:FACTORY``; the module is installed or in the current folder
    :param env: environments in which the policy acts, the first argument of the factory
    :param kwargs: its keyword arguments
    :return: the policy; its actions are checked
    :raises ValueError: there is no such factory, it does not take the arguments, or it returns no policy
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"The policy is {name!r}; give MODULE:FACTORY, such as my_policies:make_driver.")
    module = _import(name, module_name)
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        advice = suggestion(attribute, known) if known else "it defines no function."
        raise ValueError(f"The module {module_name} has no {attribute!r} (policy {name}); {advice}")
    factory = getattr(module, attribute)
    if not callable(factory):
        raise ValueError(
            f"The policy {name} is {factory!r:.80}; name a function that takes the environments and returns a policy."
        )
    try:
        inspect.signature(factory).bind(env, **(kwargs or {}))
    except TypeError as error:
        raise ValueError(
            f"The policy {name} cannot be called as {attribute}(env, **{dict(kwargs or {})}): {error}; change the "
            f"function, or the arguments (--policy-kwargs)."
        ) from None
    policy = factory(env, **(kwargs or {}))
    if not callable(getattr(policy, "predict", None)):
        raise ValueError(
            f"The policy {name} returned {policy!r:.80}, which has no method `predict`; return an object with "
            f"`predict(observation, state, episode_start, deterministic)` as in Stable-Baselines3."
        )
    return CheckedPolicy(policy, name, env)


def _import(name: str, module: str) -> ModuleType:
    """Import a module, also from the current folder."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but another import fails
        raise ValueError(
            f"There is no module {error.name!r} (policy {name}); give one that is installed or in the current folder."
        ) from None


class CheckedPolicy:
    """
    Checks each action of a policy. All other attributes are those of the policy.

    :param policy: to check
    :param name: of the policy, for messages
    :param env: environments in which it acts
    """

    def __init__(self, policy: PolicyPredictor, name: str, env: VecEnv) -> None:
        self._policy, self._name = policy, name
        self._space, self._shape = env.action_space, (env.num_envs, *(env.action_space.shape or ()))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # as while an instance is unpickled
            raise AttributeError(name)
        return getattr(self._policy, name)

    def predict(self, *args: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """
        Choose actions, as ``predict`` of Stable-Baselines3.

        :raises ValueError: they are not actions of the environment
        """
        found = self._policy.predict(*args, **kwargs)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise ValueError(
                f"The policy {self._name} returned {found!r:.80} from `predict`; return a tuple of the actions and the "
                f"state, such as (actions, None)."
            )
        actions, state = np.asarray(found[0]), found[1]
        if actions.shape != self._shape or not np.can_cast(actions.dtype, self._dtype, "same_kind"):
            raise ValueError(
                f"The policy {self._name} returned actions of shape {actions.shape} and dtype {actions.dtype}, but the "
                f"environment has {self._space}; return {self._dtype} of shape {self._shape}, one row per environment."
            )
        actions = actions.astype(self._dtype)
        for action in actions:
            if action not in self._space:
                raise ValueError(
                    f"The policy {self._name} returned the action {action}, which is not in {self._space}; return "
                    f"actions inside it, for example by clipping them."
                )
        return actions, state

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self._space.dtype)
