"""Checks ``policy_kwargs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.arguments import check_arguments
from gcrl_zoo.common.optimizers import check_optimizer
from gcrl_zoo.common.policies import ConditionedPolicy, action_head_class

#: What SB3 gives to the constructor of a policy.
FROM_SB3 = {"observation_space", "action_space"}


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
