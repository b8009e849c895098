"""Checks of the arguments ``policy`` and ``policy_kwargs`` of an algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.actions import action_head_class
from gcrl_zoo.common.arguments import check_arguments
from gcrl_zoo.common.optimizers import check_optimizer
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.wording import shown

#: What SB3 gives to the constructor of a policy.
FROM_SB3 = {"observation_space", "action_space"}


class UnfitPolicy(ValueError):
    """This algorithm cannot train such a policy."""


def choose_policy(algorithm: type[BaseAlgorithm], policy: Any) -> type[BasePolicy]:
    """
    Find the policy class that a user's ``policy`` argument means.

    :param algorithm: to train the policy
    :param policy: one of the algorithm's aliases, one of its policy classes, or a subclass of one
    :return: class of the policy
    :raises UnfitPolicy: anything else, in particular a policy that was made for another algorithm
    """
    name, aliases = algorithm.__name__, algorithm.policy_aliases
    if isinstance(policy, str):
        if policy not in aliases:
            raise UnfitPolicy(
                f"policy of {name} is {shown(policy, str)}; give {', '.join(aliases)}, or a policy class."
            )
        return aliases[policy]
    own: list[type] = list(dict.fromkeys(aliases.values())) or [ConditionedPolicy]
    found = policy if isinstance(policy, type) else type(policy)
    # The closest ancestor that is some algorithm's policy: a subclass of DTPolicy may have been made for a child of DT.
    kind = next((each for each in found.__mro__ if each in own or _algorithms_of(each)), None)
    if isinstance(policy, type) and kind in own:
        return policy
    what = found.__name__ if isinstance(policy, type) else f"{shown(policy, str)}, an object of type {found.__name__}"
    whose = f" (a policy of {', '.join(_algorithms_of(kind))})" if kind and kind not in own else ""
    classes = " or ".join(each.__name__ for each in own)
    raise UnfitPolicy(
        f"policy of {name} is {what}{whose}; give {', '.join([*aliases, f'or a subclass of {classes}'])}."
    )


def _algorithms_of(policy: type) -> list[str]:
    """Names of the algorithms that define an alias for this class."""
    owners = [each for each in _subclasses(BaseAlgorithm) if policy in vars(each).get("policy_aliases", {}).values()]
    return sorted({each.__name__ for each in owners})


def _subclasses(parent: Any) -> Iterator[type[BaseAlgorithm]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def check_policy_arguments(
    policy_class: type[BasePolicy], kwargs: Mapping[str, Any], action_space: spaces.Space, device: th.device, owner: str
) -> None:
    """
    Checks ``policy_kwargs`` before any network is built.

    :param policy_class: class to construct
    :param kwargs: ``policy_kwargs``
    :param action_space: ``Discrete`` or ``Box``
    :param device: of the networks
    :param owner: name of the algorithm, for messages
    :raises ValueError: a value that is not allowed
    :raises TypeError: unknown argument, with the nearest known one
    """
    check_arguments(policy_class, kwargs, f"policy_kwargs of {owner} has no entry", "policy_kwargs: ", given=FROM_SB3)
    if not issubclass(policy_class, ConditionedPolicy):
        return
    action_head_class(action_space, kwargs.get("action_head", "auto"), kwargs.get("action_head_kwargs") or {})
    if {"optimizer_class", "optimizer_kwargs"} & kwargs.keys():
        optimizer_class = kwargs.get("optimizer_class", th.optim.AdamW)
        check_optimizer(optimizer_class, kwargs.get("optimizer_kwargs"), device)
