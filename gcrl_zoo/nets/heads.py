"""
Action heads: from a representation to an action distribution, its loss and its samples.

``head(z)`` maps a representation (B, D) to the raw parameters (B, P) of a distribution; all other methods take these
parameters. Actions (B, A) or (B,) are in the environment's units everywhere outside this file.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch as th
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F


def sample_categorical(logits: Tensor) -> Tensor:
    """
    Sample by the Gumbel-max trick: unlike ``torch.distributions`` it never waits for the device.

    :param logits: (..., n)
    :return: (...) int64
    """
    return (logits + th.empty_like(logits).exponential_().log_().neg_()).argmax(-1)


class ActionHead(nn.Module, ABC):
    """
    Turns a representation into a distribution over actions.

    :param features_dim: width D of the representation
    :param params_dim: number P of distribution parameters
    """

    def __init__(self, features_dim: int, params_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features_dim, params_dim)

    def forward(self, z: Tensor) -> Tensor:
        """Compute the parameters of the distribution, (B, D) -> (B, P)."""
        return self.linear(z)

    @abstractmethod
    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        """Negative log-likelihood of actions, (B,). For the deterministic head it is the error."""

    @abstractmethod
    def imitate(self, params: Tensor, teacher: Tensor) -> Tensor:
        """
        Loss that moves a distribution towards another one, without a gradient to the teacher.

        :param params: (B, P) of the student
        :param teacher: (B, P)
        :return: (B,), zero where both are equal
        """

    @property
    @abstractmethod
    def encoding_dim(self) -> int:
        """Width E of an encoded action."""

    @abstractmethod
    def encode(self, actions: Tensor) -> Tensor:
        """Actions as inputs of another network, (B, E)."""

    @abstractmethod
    def expected(self, params: Tensor) -> Tensor:
        """Encoding of the mean action, differentiable, (B, E)."""

    @abstractmethod
    def distance(self, params: Tensor, other: Tensor) -> Tensor:
        """
        Distance between the most likely actions, as a metric for people.

        :param params: (B, P)
        :param other: (B, P)
        :return: (B,), from 0 to 1: the mean difference as a fraction of the action range, or whether they differ
        """

    @abstractmethod
    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        """
        Choose actions.

        :param params: (B, P)
        :param deterministic: the most likely action instead of a sample
        :return: (B, A) float32 or (B,) int64, inside the action space up to the rounding of float32
        """


class CategoricalHead(ActionHead):
    """
    One of n actions (``Discrete``).

    :param n_actions: number of actions
    :param start: the smallest action
    """

    def __init__(self, features_dim: int, n_actions: int, start: int = 0) -> None:
        super().__init__(features_dim, n_actions)
        self.start = start

    @property
    def encoding_dim(self) -> int:
        return self.linear.out_features

    def encode(self, actions: Tensor) -> Tensor:
        return F.one_hot(actions.long() - self.start, self.encoding_dim).float()

    def expected(self, params: Tensor) -> Tensor:
        return params.softmax(-1)

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        return F.cross_entropy(params, actions.long() - self.start, reduction="none")

    def imitate(self, params: Tensor, teacher: Tensor) -> Tensor:
        return kl_of_logits(teacher.detach(), params)

    def distance(self, params: Tensor, other: Tensor) -> Tensor:
        return (params.argmax(-1) != other.argmax(-1)).float()

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        chosen = params.argmax(-1) if deterministic else sample_categorical(params)
        return chosen + self.start


class BoxHead(ActionHead):
    """
    Base of the heads for continuous actions (``Box``), which work in [-1, 1] per dimension.

    :param low: (A,) smallest action, finite; of the dtype of the action space
    :param high: (A,) largest action
    """

    center: Tensor
    half_range: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, features_dim: int, params_per_dim: int, low: Tensor, high: Tensor) -> None:
        super().__init__(features_dim, params_per_dim * low.numel())
        self.shape = low.shape
        self.half_precision = low.dtype == th.float16
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
        self, features_dim: int, low: Tensor, high: Tensor, loss: Literal["l2", "l1"] = "l2", squash: bool = False
    ) -> None:
        super().__init__(features_dim, 1, low, high)
        self.squash = squash
        if loss not in self.LOSSES:
            raise ValueError(f"loss: '{loss}' is unknown to the deterministic head; choose {' or '.join(self.LOSSES)}.")
        self.error = self.LOSSES[loss]

    def forward(self, z: Tensor) -> Tensor:
        params = super().forward(z)
        return params.tanh() if self.squash else params

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        return self.error(params - self.encode(actions)).mean(-1)

    def imitate(self, params: Tensor, teacher: Tensor) -> Tensor:
        return self.error(params - teacher.detach().clamp(-1, 1)).mean(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        return self.to_env(params)


class GaussianHead(BoxHead):
    """
    A diagonal Gaussian whose standard deviation does not depend on the state.

    :param log_std_init: initial logarithm of the standard deviation, where actions range from -1 to 1
    """

    LOG_STD_MIN, LOG_STD_MAX = -4.0, 1.0

    def __init__(
        self,
        features_dim: int,
        low: Tensor,
        high: Tensor,
        log_std_init: Annotated[float, Ge(LOG_STD_MIN), Le(LOG_STD_MAX)] = -0.5,
    ) -> None:
        super().__init__(features_dim, 1, low, high)
        self.log_std = nn.Parameter(th.full((low.numel(),), log_std_init))

    def clamped_log_std(self) -> Tensor:
        """Return the logarithm of the standard deviation, (A,), inside its limits."""
        return self.log_std.clamp(self.LOG_STD_MIN, self.LOG_STD_MAX)

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        log_std = self.clamped_log_std()
        error = (self.encode(actions) - params) * (-log_std).exp()
        return (0.5 * error.square() + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def imitate(self, params: Tensor, teacher: Tensor) -> Tensor:
        # Both have the same standard deviation, which only `nll` learns: the divergence is between the means.
        precision = (-2 * self.clamped_log_std().detach()).exp()
        return 0.5 * ((params - teacher.detach().clamp(-1, 1)).square() * precision).sum(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        if deterministic:
            return self.to_env(params)
        return self.to_env(params + self.clamped_log_std().exp() * th.randn_like(params))


class BinsHead(BoxHead):
    """
    A categorical over equal bins for each dimension.

    :param n_bins: number of bins for each action dimension
    """

    bin_centers: Tensor

    def __init__(
        self, features_dim: int, low: Tensor, high: Tensor, n_bins: Annotated[int, Ge(2), Le(65536)] = 15
    ) -> None:
        super().__init__(features_dim, n_bins, low, high)
        self.n_bins = n_bins
        width = 2 / n_bins
        self.register_buffer("bin_centers", th.linspace(-1 + width / 2, 1 - width / 2, n_bins))

    def expected(self, params: Tensor) -> Tensor:
        return self.logits(params).softmax(-1) @ self.bin_centers

    def logits(self, params: Tensor) -> Tensor:
        """Split the parameters by dimension of the action, (B, A * n_bins) -> (B, A, n_bins)."""
        return params.unflatten(-1, (-1, self.n_bins))

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        bins = ((self.encode(actions) + 1) * (self.n_bins / 2)).long().clamp(0, self.n_bins - 1)  # (B, A)
        logits = self.logits(params)
        return F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none").view_as(bins).sum(-1)

    def imitate(self, params: Tensor, teacher: Tensor) -> Tensor:
        return kl_of_logits(self.logits(teacher.detach()), self.logits(params)).sum(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        logits = self.logits(params)
        bins = logits.argmax(-1) if deterministic else sample_categorical(logits)
        return self.to_env(self.bin_centers[bins])


def kl_of_logits(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of two categoricals, given by logits (..., n) -> (...)"""
    log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)
