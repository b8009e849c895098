"""A bottleneck of a few learned tokens."""

import math

import torch as th
from torch import Tensor, nn


class TokenBottleneck(nn.Module):
    """
    Replaces a representation by a mixture of learned tokens: ``softmax(z · Cᵀ / (temperature · √D)) · C``.

    :param features_dim: width D of a representation and of each token
    :param n_tokens: number K of tokens
    :param temperature: with small values the mixture is close to a single token
    """

    def __init__(self, features_dim: int, n_tokens: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.tokens = nn.Parameter(th.randn(n_tokens, features_dim))
        self.scale = 1 / (temperature * math.sqrt(features_dim))

    def logits(self, z: Tensor) -> Tensor:
        """
        Compare representations with the tokens.

        :param z: (B, D)
        :return: (B, K) how well each token fits, before the softmax
        """
        return z @ self.tokens.T * self.scale

    def forward(self, z: Tensor) -> Tensor:
        """
        Replace representations by mixtures of tokens.

        :param z: (B, D)
        :return: (B, D) the mixture of tokens
        """
        return self.logits(z).softmax(-1) @ self.tokens


def token_perplexity(logits: Tensor) -> Tensor:
    """
    Number of tokens in use: the exponential of the entropy of their mean weight over the batch.

    :param logits: (B, K)
    :return: scalar between 1 and K
    """
    p = logits.softmax(-1).mean(0)
    return (-(p * p.clamp(min=1e-12).log()).sum()).exp()
