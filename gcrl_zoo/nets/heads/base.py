"""The base class of action heads."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ActionHead(nn.Module, ABC):
    """
    Turns a representation into a distribution over actions.

    :param features_dim: width D of the representation
    :param params_dim: number P of distribution parameters
    """

    #: Whether the parameters are the mean of the actions.
    learns_mean = False

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
    def imitate(self, params: Tensor, teacher: Tensor, bounded: bool = True) -> Tensor:
        """
        Loss that moves a distribution towards another one, without a gradient to the teacher.

        :param params: (B, P) of the student
        :param teacher: (B, P)
        :param bounded: read means of the teacher beyond the bounds of the actions as the bounds. Noise in the means
            then has a bias: near a bound it is cut off on one side
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
