"""The optimizer that ``policy_kwargs`` describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch as th
from torch import nn

from gcrl_zoo.common.wording import cause_of, shown


def optimizer_settings(optimizer_class: type[th.optim.Optimizer], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    :param optimizer_class: any optimizer
    :param given: its options
    :return: its options with our defaults
    """
    if optimizer_class is th.optim.AdamW:  # fused keeps its step count on the device
        return {"fused": True, "weight_decay": 1e-4, **(given or {})}
    return dict(given or {})


def check_optimizer(
    optimizer_class: type[th.optim.Optimizer], given: Mapping[str, Any] | None, device: th.device
) -> None:
    """
    Try a step on a small matrix and vector, since optimizers differ in what they need: LBFGS a closure, Muon matrices,
    SparseAdam sparse gradients.

    :param optimizer_class: any optimizer
    :param given: its options
    :param device: of the networks
    :raises ValueError: the optimizer cannot train a policy with these options
    """
    parameters = [nn.Parameter(th.zeros(2, 2, device=device)), nn.Parameter(th.zeros(2, device=device))]
    for each in parameters:
        each.grad = th.zeros_like(each)
    try:
        optimizer = optimizer_class(parameters, lr=1e-3, **optimizer_settings(optimizer_class, given))  # type: ignore[call-arg]
        optimizer.step()
    except Exception as error:
        raise ValueError(
            f"policy_kwargs: optimizer_class {optimizer_class.__name__} fails with optimizer_kwargs {shown(given)} "
            f"({cause_of(error)}); give options that this class has, or another class, such as torch.optim.AdamW."
        ) from error
