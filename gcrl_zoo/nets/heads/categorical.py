"""The head for one of n actions, and functions of categorical distributions."""

import torch as th
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.nets.heads.base import ActionHead


def sample_categorical(logits: Tensor) -> Tensor:
    """
    Sample by the Gumbel-max trick: unlike ``torch.distributions`` it never waits for the device.

    :param logits: (..., n)
    :return: (...) int64
    """
    return (logits + th.empty_like(logits).exponential_().log_().neg_()).argmax(-1)


def kl_of_logits(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of two categoricals, given by logits (..., n) -> (...)"""
    log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


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

    def imitate(self, params: Tensor, teacher: Tensor, bounded: bool = True) -> Tensor:
        return kl_of_logits(teacher.detach(), params)

    def distance(self, params: Tensor, other: Tensor) -> Tensor:
        return (params.argmax(-1) != other.argmax(-1)).float()

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        chosen = params.argmax(-1) if deterministic else sample_categorical(params)
        return chosen + self.start
