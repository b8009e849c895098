"""The heads for continuous actions that predict numbers: deterministic and Gaussian."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import torch as th
from annotated_types import Ge, Le, Len
from torch import Tensor, nn

from gcrl_zoo.nets.heads.base import ActionHead

#: Smallest and largest action, each a flat list of the numbers of an action, or one number for all of them.
Limits = Annotated[Sequence[float | Sequence[float]], Len(2, 2)]


class BoxHead(ActionHead):
    """
    Base of the heads for continuous actions (``Box``), which work in [-1, 1] per dimension.

    :param low: (A,) smallest action, finite; of the dtype of the action space
    :param high: (A,) largest action
    :param limits: smallest and largest action that the head learns and chooses, instead of ``low`` and ``high``.
        Actions of the data are clipped to them. Give them where actions beyond them have the same effect
    :raises ValueError: ``limits`` do not fit the action space
    """

    center: Tensor
    half_range: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, features_dim: int, params_per_dim: int, low: Tensor, high: Tensor, limits: Limits | None = None
    ) -> None:
        super().__init__(features_dim, params_per_dim * low.numel())
        self.shape = low.shape
        self.half_precision = low.dtype == th.float16
        self.limited = limits is not None
        if limits is not None:
            low, high = checked_limits(low, high, limits)
        # Most spaces are [-1, 1] and need no scaling, which saves acting two operations.
        self.in_unit = bool((low == -1).all() and (high == 1).all())
        low, high = low.flatten().double(), high.flatten().double()  # high - low may be beyond float32
        half_range = ((high - low) / 2).float()
        self.register_buffer("center", ((high + low) / 2).float())
        self.register_buffer("half_range", half_range)
        # A dimension that allows one value only has no range to divide by; there the action is that value.
        self.register_buffer("unit", th.where(half_range > 0, half_range, 1.0), persistent=False)
        self.register_buffer("low", low.float(), persistent=False)
        self.register_buffer("high", high.float(), persistent=False)

    @property
    def encoding_dim(self) -> int:
        return self.shape.numel()

    def expected(self, params: Tensor) -> Tensor:
        return params.clamp(-1, 1)

    def encode(self, actions: Tensor) -> Tensor:
        """Environment units (B, *shape) to [-1, 1] (B, A)."""
        actions = actions.flatten(1).float()
        if self.limited:
            actions = actions.clamp(self.low, self.high)
        return actions if self.in_unit else (actions - self.center) / self.unit

    def to_env(self, actions: Tensor) -> Tensor:
        """
        Convert [-1, 1] (B, A) to environment units (B, *shape), clamped before scaling and after it, since scaling
        rounds. Values are float32, rounded to the dtype of the space, so they equal what the environment gets.
        """
        actions = actions.clamp(-1, 1)
        if not self.in_unit:
            actions = (actions * self.half_range + self.center).clamp(self.low, self.high)
        if self.half_precision:
            actions = actions.half().float()
        return actions.view(-1, *self.shape)

    def distance(self, params: Tensor, other: Tensor) -> Tensor:
        apart = self.encode(self.act(params, deterministic=True)) - self.encode(self.act(other, deterministic=True))
        return apart.abs().mean(-1) / 2


class DeterministicHead(BoxHead):
    """
    One action, clamped when acting.

    :param loss: ``"l2"``, squared error, learns the mean of the actions; ``"l1"``, absolute error, learns the median
    :param squash: apply tanh to the output; its gradient vanishes near the bounds of the action space
    """

    LOSSES: ClassVar[dict[str, Callable[[Tensor], Tensor]]] = {"l2": th.square, "l1": th.abs}

    def __init__(
        self,
        features_dim: int,
        low: Tensor,
        high: Tensor,
        loss: Literal["l2", "l1"] = "l2",
        squash: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(features_dim, 1, low, high, limits)
        self.squash = squash
        if loss not in self.LOSSES:
            raise ValueError(f"loss: '{loss}' is unknown to the deterministic head; choose {' or '.join(self.LOSSES)}.")
        self.error = self.LOSSES[loss]
        self.learns_mean = loss == "l2" and not squash

    def forward(self, z: Tensor) -> Tensor:
        params = super().forward(z)
        return params.tanh() if self.squash else params

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        return self.error(params - self.encode(actions)).mean(-1)

    def imitate(self, params: Tensor, teacher: Tensor, bounded: bool = True) -> Tensor:
        teacher = teacher.detach()
        return self.error(params - (teacher.clamp(-1, 1) if bounded else teacher)).mean(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        return self.to_env(params)


class GaussianHead(BoxHead):
    """
    A diagonal Gaussian whose standard deviation does not depend on the state.

    :param log_std_init: initial logarithm of the standard deviation, where actions range from -1 to 1
    """

    LOG_STD_MIN, LOG_STD_MAX = -4.0, 1.0
    learns_mean = True

    def __init__(
        self,
        features_dim: int,
        low: Tensor,
        high: Tensor,
        log_std_init: Annotated[float, Ge(LOG_STD_MIN), Le(LOG_STD_MAX)] = -0.5,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(features_dim, 1, low, high, limits)
        self.log_std = nn.Parameter(th.full((low.numel(),), log_std_init))

    def clamped_log_std(self) -> Tensor:
        """Return the logarithm of the standard deviation, (A,), inside its limits."""
        return self.log_std.clamp(self.LOG_STD_MIN, self.LOG_STD_MAX)

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        log_std = self.clamped_log_std()
        error = (self.encode(actions) - params) * (-log_std).exp()
        return (0.5 * error.square() + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def imitate(self, params: Tensor, teacher: Tensor, bounded: bool = True) -> Tensor:
        # Both have the same standard deviation, which only `nll` learns: the divergence is between the means.
        precision, teacher = (-2 * self.clamped_log_std().detach()).exp(), teacher.detach()
        return 0.5 * ((params - (teacher.clamp(-1, 1) if bounded else teacher)).square() * precision).sum(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        if deterministic:
            return self.to_env(params)
        return self.to_env(params + self.clamped_log_std().exp() * th.randn_like(params))


def checked_limits(low: Tensor, high: Tensor, limits: Limits) -> tuple[Tensor, Tensor]:
    """
    Return the smallest and the largest action of a head.

    :param low: smallest action of the action space
    :param high: largest action, of the same shape (A)
    :param limits: see :class:`BoxHead`
    :return: both, of shape (A)
    :raises ValueError: the limits have another length, or are not in the action space
    """
    given = [th.as_tensor(each, dtype=low.dtype) for each in limits]
    if any(each.numel() not in (1, low.numel()) for each in given):
        raise ValueError(
            f"action_head_kwargs: limits is {list(limits)}, but an action has {low.numel()} numbers; give two lists of "
            "this length, the smallest and the largest action, or two numbers."
        )
    new_low, new_high = (each.expand(low.numel()).view(low.shape) for each in given)
    if not ((low <= new_low) & (new_low <= new_high) & (new_high <= high)).all():
        raise ValueError(
            f"action_head_kwargs: limits is {list(limits)}, but the first must not be above the second, and both must "
            f"be in the action space, from {low.tolist()} to {high.tolist()}."
        )
    return new_low, new_high
