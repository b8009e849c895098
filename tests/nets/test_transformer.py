"""The transformer's parts: what is computed in a faster way is what the textbook computes."""

import copy
import math

import pytest
import torch as th
from torch.nn import functional as F

from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.nets.fast import feed_forward as feed_forward_module
from gcrl_zoo.nets.fast import matmul
from gcrl_zoo.nets.fast.dropout import ByteDropout
from gcrl_zoo.nets.fast.feed_forward import feed_forward
from gcrl_zoo.nets.transformer import OneHead, Transformer, causal

WIDTH = 8


def random(*shape):
    return th.randn(*shape, dtype=th.float64, requires_grad=True)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(feed_forward_module, "PIECE", 4)


def gradients(function, *arguments):
    """Of a weighted sum, so that no two outputs are alike."""
    y = function(*arguments)
    weights = th.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    wanted = [argument for argument in arguments if isinstance(argument, th.Tensor) and argument.requires_grad]
    return y, th.autograd.grad((y * weights).sum(), wanted)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("shape", [(11, WIDTH), (2, 3, WIDTH)])
def test_gradients_by_hand_of_the_feed_forward_layer(shape):
    arguments = random(*shape), random(32, WIDTH), random(32), random(WIDTH, 32), random(WIDTH)

    def plain(x, w1, b1, w2, b2):
        return F.linear(F.linear(x, w1, b1).relu(), w2, b2)

    th.testing.assert_close(gradients(feed_forward, *arguments), gradients(plain, *arguments))
    with th.no_grad():
        th.testing.assert_close(feed_forward(*arguments), plain(*arguments))


def test_one_head_is_attention_with_keys_and_values():
    """With a bias of the values, too: the output's makes up for it."""
    head = OneHead(WIDTH, dropout=0.0)
    x, mask, bias = th.randn(2, 5, WIDTH), causal(5), th.randn(WIDTH)
    queries, keys, values = head.query(x), head.key(x), head.value(x) + bias
    weights = (queries @ keys.transpose(1, 2) / math.sqrt(WIDTH) + mask).softmax(2)
    expected = head.merge(weights @ values)
    with th.no_grad():
        head.merge.bias += head.merge.weight @ bias
    th.testing.assert_close(head(x, head.remember(x), mask), expected, atol=1e-5, rtol=1e-5)


def test_products_follow_the_weights():
    head, x, mask = OneHead(WIDTH, dropout=0.0), th.randn(1, 3, WIDTH), causal(3)
    other = OneHead(WIDTH, dropout=0.0)
    with th.inference_mode():
        before = head(x, x, mask)
        expected = other(x, x, mask)
    copied = copy.deepcopy(head)
    head.load_state_dict(other.state_dict())
    with th.inference_mode():
        assert th.equal(head(x, x, mask), expected)
        assert th.equal(copied(x, x, mask), before)
    optimizer = th.optim.AdamW(head.parameters(), lr=0.1, fused=True)
    head(x, x, mask).sum().backward()
    optimizer.step()
    with th.inference_mode():
        after = head(x, x, mask)
    th.testing.assert_close(after, head(x, x, mask))


def test_weights_at_hand_are_those_of_the_module():
    """A move may replace them, and a copy has its own."""
    transformer, x, mask = Transformer(WIDTH, 2, n_heads=1, dropout=0.0), th.randn(2, 5, WIDTH), causal(5)
    with th.no_grad():
        expected = transformer(x, mask)
        moved = copy.deepcopy(transformer).to("meta").to_empty(device="cpu")
        moved.load_state_dict(transformer.state_dict())
        th.testing.assert_close(moved(x, mask), expected)
        exact = transformer.double()(x.double(), mask.double())
    assert exact.dtype == th.float64
    th.testing.assert_close(exact.float(), expected)


@pytest.mark.parametrize("n_heads", [1, 2])
def test_only_what_is_wanted_is_computed(n_heads):
    transformer = Transformer(WIDTH, n_layers=2, n_heads=n_heads, dropout=0.0)
    x, mask = th.randn(2, 7, WIDTH), causal(7)
    wanted = slice(1, None, 3)
    th.testing.assert_close(transformer(x, mask, wanted), transformer(x, mask)[:, wanted])


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropout, x = ByteDropout(0.1), th.ones(200_000)
    y = dropout(x)
    share = 26 / 256
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.004)  # six standard deviations
    assert not th.equal(dropout(x), y)
    th.manual_seed(0)
    first = dropout(x)
    th.manual_seed(0)
    assert th.equal(dropout.add(3 * x, x), 3 * x + first)


def test_dropout_is_gone_when_acting():
    dropout, x = ByteDropout(0.5).eval(), th.randn(100)
    assert dropout(x) is x
    assert th.equal(dropout.add(x, x), 2 * x)


def test_a_faster_backend_is_taken_only_if_it_is_as_exact(monkeypatch):
    def of(stock, other):
        measured = iter((stock, other))
        monkeypatch.setattr(matmul, "_measure", lambda *_: next(measured))
        return matmul.faster_precision.__wrapped__()

    before = th.get_float32_matmul_precision()
    assert of((1e-5, 2.0), (1.1e-5, 1.0)) == "medium"
    assert of((1e-5, 1.0), (1e-5, 2.0)) is None  # slower
    assert of((1e-5, 2.0), (1e-1, 1.0)) is None  # bfloat16
    assert th.get_float32_matmul_precision() == before


@pytest.mark.parametrize("found", ["medium", None])
def test_the_backend_is_lent(monkeypatch, found):
    monkeypatch.setattr(matmul, "faster_precision", lambda: found)
    before = th.get_float32_matmul_precision()
    with pytest.raises(KeyError), matmul.fast_matmul(th.device("cpu")):
        assert th.get_float32_matmul_precision() == (found or before)
        raise KeyError
    assert th.get_float32_matmul_precision() == before


def test_the_mean_of_what_is_there():
    values, mask = th.tensor([1.0, 2.0, 6.0]), th.tensor([True, False, True])
    assert masked_mean(values, mask).item() == 3.5
