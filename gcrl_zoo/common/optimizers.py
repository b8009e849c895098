"""The optimizers of a policy: SB3's ``optimizer``, and more where a method trains networks at different rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from gcrl_zoo.common.wording import cause_of, shown

MAIN = "optimizer"


def metric_of(metric: str, optimizer: str) -> str:
    """
    Return the name under which a metric of one optimizer is logged.

    :param metric: such as ``"grad_norm"``
    :param optimizer: attribute of the policy
    :return: the metric itself for SB3's ``optimizer``, else ``"grad_norm/value_optimizer"``
    """
    return metric if optimizer == MAIN else f"{metric}/{optimizer}"


class OptimizedPolicy(BasePolicy):
    """
    A policy with one optimizer or several. Each update clips the gradient of each optimizer by itself and steps all of
    them; the zip holds the state of all.
    """

    #: Attributes that hold further optimizers beside ``optimizer``: lower-case letters and underscores.
    further_optimizers: ClassVar[tuple[str, ...]] = ()

    def make_optimizers(self, lr_schedule: Schedule) -> None:
        """
        Create all optimizers of the policy; called once, by the algorithm, when all networks exist. Override it where
        the policy has several.

        :param lr_schedule: of the learning rate
        """
        self.optimizer = self.make_optimizer(lr_schedule)

    def make_optimizer(self, lr_schedule: Schedule, *modules: nn.Module) -> th.optim.Optimizer:
        """
        Create one optimizer, for :meth:`make_optimizers`.

        :param lr_schedule: of the learning rate
        :param modules: networks whose parameters it steps; default: all parameters of the policy
        """
        parameters = [p for module in modules or (self,) for p in module.parameters()]
        unique = list(dict.fromkeys(parameters))  # modules may share networks
        return self.optimizer_class(unique, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    @classmethod
    def optimizer_names(cls) -> tuple[str, ...]:
        """Attributes that hold optimizers; the class knows them, so that a zip can be checked before it is loaded."""
        return (MAIN, *cls.further_optimizers)

    @property
    def optimizers(self) -> dict[str, th.optim.Optimizer]:
        """All optimizers by the attribute that holds them, ``optimizer`` first."""
        return {name: getattr(self, name) for name in self.optimizer_names()}

    def learning_rates(self, rate: float) -> dict[str, float]:
        """
        Learning rate of each optimizer; override it to let them differ.

        :param rate: from the algorithm's schedule and warm-up
        :return: rate by the attribute that holds the optimizer
        """
        return dict.fromkeys(self.optimizer_names(), rate)

    def check_optimizers(self) -> None:
        """
        Check that each parameter belongs to one optimizer, and that each optimizer has a learning rate.

        :raises ValueError: no optimizer, or more than one, steps a parameter; an optimizer has no learning rate
        """
        name = type(self).__name__
        missing = [each for each in self.optimizer_names() if getattr(self, each, None) is None]
        if missing:
            raise ValueError(f"{name} has no `{missing[0]}`; create it in `make_optimizers`.")
        rates = self.learning_rates(1.0).keys()
        if rates != self.optimizers.keys():
            raise ValueError(
                f"learning_rates of {name} gives rates for {', '.join(rates)}, but its optimizers are "
                f"{', '.join(self.optimizers)}; give one for each."
            )
        owners: dict[nn.Parameter, list[str]] = {}
        for optimizer, each in self.optimizers.items():
            for parameter in (p for group in each.param_groups for p in group["params"]):
                owners.setdefault(parameter, []).append(optimizer)
        for parameter_name, parameter in self.named_parameters():
            found = owners.get(parameter, [])
            if parameter.requires_grad and len(found) != 1:
                steps = f"is stepped by {' and by '.join(found)}" if found else "is stepped by no optimizer"
                raise ValueError(
                    f"Parameter '{parameter_name}' of {name} {steps}; give its network to exactly one "
                    "`make_optimizer`, or freeze it with `requires_grad_(False)`."
                )


def optimizer_settings(optimizer_class: type[th.optim.Optimizer], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Add the defaults of this package to the options of an optimizer.

    :param optimizer_class: any optimizer
    :param given: its options
    :return: all options
    """
    if optimizer_class is th.optim.AdamW:  # fused keeps its step count on the device
        return {"fused": True, "weight_decay": 1e-4, **(given or {})}
    return dict(given or {})


def check_optimizer(
    optimizer_class: type[th.optim.Optimizer], given: Mapping[str, Any] | None, device: th.device
) -> None:
    """
    Try a step on a small matrix and vector. Optimizers have different requirements: LBFGS needs a closure, Muon
    matrices, SparseAdam sparse gradients.

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
