"""The bottleneck of a few tokens."""

import pytest
import torch as th

from gcrl_zoo.nets.tokens import TokenBottleneck, token_perplexity


def test_what_leaves_is_a_mixture_of_the_tokens():
    bottleneck, z = TokenBottleneck(6, n_tokens=3, temperature=0.5), th.randn(20, 6)
    energies = (z @ bottleneck.tokens.T / 0.5 / 6**0.5).detach()
    weights = energies.exp() / energies.exp().sum(1, keepdim=True)
    assert th.allclose(bottleneck.logits(z), energies, atol=1e-6)
    assert th.allclose(bottleneck(z), weights @ bottleneck.tokens, atol=1e-6)
    # Three tokens span three dimensions of the six: nothing else gets through.
    assert th.linalg.matrix_rank(bottleneck(z).detach(), atol=1e-5) <= 3


def test_a_low_temperature_lets_one_token_through():
    bottleneck, z = TokenBottleneck(6, n_tokens=3, temperature=1e-4), th.randn(20, 6)
    distances = th.cdist(bottleneck(z), bottleneck.tokens).min(1).values
    assert distances.max() < 1e-3


@pytest.mark.parametrize(
    ("logits", "perplexity"), [([[9.0, -9], [9, -9]], 1), ([[9.0, -9], [-9, 9]], 2), ([[0.0, 0]], 2)]
)
def test_perplexity_counts_the_tokens_in_use(logits, perplexity):
    assert token_perplexity(th.tensor(logits)).item() == pytest.approx(perplexity, abs=1e-3)
