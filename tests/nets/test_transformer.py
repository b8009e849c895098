"""The plain transformer, which is the reference for the faster one."""

import pytest
import torch as th
from torch import nn
from torch.nn import functional as F

from gcrl_zoo.nets.transformer import CausalSelfAttention, Transformer, causal

WIDTH = 8


@pytest.mark.parametrize("n_heads", [1, 2])
def test_attention_is_that_of_torch(n_heads):
    attention, x, mask = CausalSelfAttention(WIDTH, n_heads, nn.Dropout(0.0)), th.randn(2, 5, WIDTH), causal(5)
    keys, values = attention.key_value(x).chunk(2, dim=2)
    heads = [each.unflatten(2, (n_heads, -1)).transpose(1, 2) for each in (attention.query(x), keys, values)]
    expected = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    th.testing.assert_close(attention(x, attention.memory(x), mask), attention.merge(expected))


@pytest.mark.parametrize("n_heads", [1, 2])
def test_only_wanted_outputs_are_computed(n_heads):
    transformer = Transformer(WIDTH, n_layers=2, n_heads=n_heads, dropout=0.0)
    x, mask = th.randn(2, 7, WIDTH), causal(7)
    wanted, early = slice(1, None, 3), slice(0, 6, 3)
    everything = transformer(x, mask)
    th.testing.assert_close(transformer(x, mask, wanted), everything[:, wanted])
    both = transformer(x, mask, wanted, early)
    assert both.shape == (2, 2, 2, WIDTH)
    th.testing.assert_close(both[:, :, 1], everything[:, wanted])
    before_last = Transformer(WIDTH, n_layers=1, n_heads=n_heads, dropout=0.0)
    before_last.load_state_dict({key: value for key, value in transformer.state_dict().items() if ".1." not in key})
    th.testing.assert_close(both[:, :, 0], before_last(x, mask)[:, early])


@pytest.mark.parametrize("n_heads", [1, 2])
def test_a_cache_gives_the_outputs_of_the_whole_sequence(n_heads):
    transformer, x = Transformer(WIDTH, n_layers=2, n_heads=n_heads, dropout=0.0), th.randn(2, 9, WIDTH)
    expected, cache = transformer(x, causal(9, band=3)), transformer.make_cache(places=3)
    for i in range(9):
        mask = th.zeros(1, 3)
        mask[:, i + 1 :] = -th.inf  # places that were not written yet
        with th.no_grad():
            y = transformer(x[:, i : i + 1], mask, cache=cache)
        th.testing.assert_close(y, expected[:, i : i + 1])
    assert cache.written == 9


def test_faulty_sizes_are_refused():
    with pytest.raises(ValueError, match="n_layers is 0; give at least 1"):
        Transformer(WIDTH, n_layers=0, n_heads=1, dropout=0.0)
    with pytest.raises(ValueError, match="n_heads is 3, which does not divide the width 8"):
        Transformer(WIDTH, n_layers=1, n_heads=3, dropout=0.0)
