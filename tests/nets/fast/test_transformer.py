"""The faster transformer computes what the plain one computes, whatever is done to its modules."""

import copy
import pickle

import pytest
import torch as th
from torch import nn
from torch.nn.utils import parametrize, prune

from gcrl_zoo.methods.dt.tokens import StepTokens
from gcrl_zoo.nets.fast import mlp
from gcrl_zoo.nets.fast.transformer import FastTransformer
from gcrl_zoo.nets.transformer import Transformer, causal

WIDTH, LENGTH = 8, 7
WANTED, EARLY = slice(1, None, 3), slice(0, 6, 3)


def pair(n_heads=1, activation=nn.ReLU):
    plain = Transformer(WIDTH, 2, n_heads, 0.0, activation).double()
    fast = FastTransformer(WIDTH, 2, n_heads, 0.0, activation).double()
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def outputs(transformer, training):
    """With gradients of the weights in training mode, and as acting computes it otherwise."""
    x = th.linspace(-1, 1, 3 * LENGTH * WIDTH, dtype=th.float64).view(3, LENGTH, WIDTH).sin().requires_grad_(training)
    transformer.train(training)
    with th.set_grad_enabled(training):
        y = transformer(x, causal(LENGTH).double(), WANTED, EARLY)
        if not training:
            return [y]
        weights = th.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)  # no two outputs count the same
        return [y, *th.autograd.grad((y * weights).sum(), [x, *transformer.parameters()])]


def assert_same(plain, fast):
    for training in (True, False, True):
        th.testing.assert_close(outputs(fast, training), outputs(plain, training), check_dtype=True)


@pytest.mark.parametrize(("n_heads", "activation"), [(1, nn.ReLU), (2, nn.ReLU), (1, nn.GELU)])
def test_outputs_and_gradients(monkeypatch, n_heads, activation):
    monkeypatch.setattr(mlp, "PIECE", 4)
    plain, fast = pair(n_heads, activation)
    assert {key: value.shape for key, value in plain.state_dict().items()} == {
        key: value.shape for key, value in fast.state_dict().items()
    }
    assert_same(plain, fast)


@pytest.mark.parametrize("n_heads", [1, 2])
def test_cache(n_heads):
    plain, fast = (each.eval() for each in pair(n_heads))
    caches = plain.make_cache(6), fast.make_cache(6)
    for step in range(4):
        x, mask = th.randn(2, 3, WIDTH, dtype=th.float64), th.zeros(3, 6, dtype=th.float64)
        if not step:
            mask[:, 3:] = -th.inf
        if step == 3:  # in the middle of an episode
            fast.blocks[0].attention.query.register_forward_hook(lambda *_: None)
        with th.no_grad():
            y = [each(x, mask, WANTED, None, cache) for each, cache in zip((plain, fast), caches, strict=True)]
        th.testing.assert_close(y[1], y[0])


def change_in_place(fast, other):
    with th.no_grad():
        for weight, value in zip(fast.parameters(), other.parameters(), strict=True):
            weight.copy_(value)


def replace_parameters(fast, other):
    for module, source in zip(fast.modules(), other.modules(), strict=True):
        for name, weight in source.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(weight.detach().clone()))


def move(fast, other):
    fast.to("meta").to_empty(device="cpu").load_state_dict(other.state_dict())


CHANGES = {
    "load": lambda fast, other: fast.load_state_dict(other.state_dict()),
    "assign": lambda fast, other: fast.load_state_dict(copy.deepcopy(other.state_dict()), assign=True),
    "in place": change_in_place,
    "replaced": replace_parameters,
    "moved": move,
    "blocks replaced": lambda fast, other: (replace_parameters(fast, other), setattr(fast, "blocks", other.blocks)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("copied", [False, True])
def test_changed_weights(change, copied):
    plain, fast = pair()
    other, _ = pair()
    outputs(fast, training=False)  # fills caches
    original = fast
    fast = copy.deepcopy(fast) if copied else fast
    CHANGES[change](fast, copy.deepcopy(other))
    th.testing.assert_close(outputs(fast, training=False), outputs(other, training=False))
    assert_same(other, fast)
    if copied:
        assert_same(plain, original)


def test_an_optimizer_step_after_acting():
    """A fused optimizer does not increase the version of the weights."""
    _, fast = pair()
    optimizer = th.optim.AdamW(fast.parameters(), lr=0.1, fused=True)
    x, mask = th.randn(1, LENGTH, WIDTH, dtype=th.float64), causal(LENGTH).double()
    loss = fast(x, mask).square().sum()
    before = outputs(fast, training=False)
    loss.backward()
    optimizer.step()
    plain, _ = pair()
    plain.load_state_dict(fast.state_dict())
    after = outputs(fast, training=False)
    th.testing.assert_close(after, outputs(plain, training=False))
    assert not th.allclose(after[0], before[0])


def test_another_precision():
    plain, fast = pair()
    outputs(fast, training=False)
    x, mask = th.randn(1, LENGTH, WIDTH), causal(LENGTH)
    with th.no_grad():
        th.testing.assert_close(fast.float().eval()(x, mask), plain.float().eval()(x, mask))


REGISTER = {
    "forward": ("register_forward_hook", (True, False)),
    "pre-forward": ("register_forward_pre_hook", (True, False)),
    "backward": ("register_full_backward_hook", (True,)),
    "pre-backward": ("register_full_backward_pre_hook", (True,)),
}


@pytest.mark.parametrize("kind", REGISTER)
def test_hooks_of_every_module_are_called(kind):
    plain, fast = pair()
    register, modes = REGISTER[kind]
    for training in modes:
        expected = outputs(plain, training)
        for name, module in fast.named_modules():
            if isinstance(module, nn.ModuleList):
                continue
            called = []
            handle = getattr(module, register)(lambda *_, to=called: to.append(True))
            th.testing.assert_close(outputs(fast, training), expected, msg=name)
            handle.remove()
            assert called, name


def test_hooks_of_all_modules_are_called():
    _, fast = pair()
    called = set()
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: called.add(module))
    try:
        for training in (True, False):
            called.clear()
            outputs(fast, training)
            assert called == {each for each in fast.modules() if not isinstance(each, nn.ModuleList)}
    finally:
        handle.remove()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_parametrizations_and_replaced_layers_are_used():
    plain, fast = pair()
    for each in (plain, fast):
        outputs(each, training=False)
        parametrize.register_parametrization(each.blocks[0].mlp.widen, "weight", Doubled())
        parametrize.register_parametrization(each.blocks[1].attention.key_value, "weight", Doubled())
        each.blocks[1].mlp.narrow = nn.Sequential(each.blocks[1].mlp.narrow, Doubled())
        each.blocks[0].before_mlp = nn.Identity()
    for training in (False, True):
        th.testing.assert_close(outputs(fast, training), outputs(plain, training))


def test_weights_that_are_registered_again_after_the_biases():
    """As ``prune.remove`` and ``remove_parametrizations`` do."""
    plain, fast = pair()
    for layer in fast.modules():
        if isinstance(layer, (nn.Linear, nn.LayerNorm)):
            prune.identity(layer, "weight")
            prune.remove(layer, "weight")
    for training in (True, False):
        th.testing.assert_close(outputs(fast, training)[0], outputs(plain, training)[0])


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.called = inner, 0

    def forward(self, *args, **kwargs):
        self.called += 1
        return self.inner(*args, **kwargs)


def test_replaced_blocks_are_called():
    plain, fast = pair()
    fast.blocks[0], fast.blocks[1] = map(Wrapped, fast.blocks)
    for calls, training in enumerate((True, False), 1):
        th.testing.assert_close(outputs(fast, training)[0], outputs(plain, training)[0])
        assert [block.called for block in fast.blocks] == [calls, calls]


def test_a_replaced_forward_is_called():
    plain, fast = pair()
    modules = [each for each in fast.modules() if not isinstance(each, nn.ModuleList)][1:]  # all but the outermost
    for training in (True, False):
        for module in modules:
            called = []
            forward = module.forward
            module.forward = lambda *args, to=called, forward=forward, **kwargs: (
                to.append(1) or forward(*args, **kwargs)
            )
            th.testing.assert_close(outputs(fast, training), outputs(plain, training))
            del module.forward
            assert called, type(module)


def test_added_modules_do_not_matter():
    plain, fast = pair()
    for module in [*fast.modules()]:
        if not isinstance(module, nn.ModuleList):
            module.probe = nn.Identity()
    assert_same(plain, fast)


def test_copies_have_empty_caches():
    """In another process the addresses of weights mean nothing."""
    _, fast = pair()
    size = len(pickle.dumps(fast))
    outputs(fast, training=False)
    assert len(pickle.dumps(fast)) == size
    assert copy.deepcopy(fast).direct._value is None


def test_step_tokens():
    tokens = StepTokens(action_dim=2, state_dim=3, width=WIDTH, max_timesteps=4)
    inputs = th.randn(5, 2), th.randn(5, 1), th.randn(5, 3), th.arange(5)
    with th.no_grad():
        fast = tokens(*inputs)
    called = []
    prune.remove(prune.identity(tokens.state, "weight"), "weight")  # now behind the bias
    for layer in (tokens.action, tokens.return_to_go, tokens.state, tokens.time):
        with th.no_grad():
            th.testing.assert_close(tokens(*inputs), fast)
        handle = layer.register_forward_hook(lambda module, *_: called.append(module))
        th.testing.assert_close(tokens(*inputs), fast)
        handle.remove()
    assert called == [tokens.action, tokens.return_to_go, tokens.state, tokens.time]
