"""The network of gcsl_vicreg: state, return and goal in, representation out, any of them possibly missing."""

from __future__ import annotations

from collections.abc import Sequence

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.mlp import mlp
from gcrl_zoo.nets.tokens import TokenBottleneck


class InputSlot(nn.Module):
    """
    One input of a network, which may be missing.

    :param features_dim: width F of the input
    :param embedding_dim: width to which the input is embedded; None returns the input unchanged
    :param activation: of that embedding
    :param missing: ``"null"`` replaces a missing input by a learned vector, ``"noise"`` by a draw of N(0, I)
    """

    def __init__(
        self, features_dim: int, embedding_dim: int | None, missing: str, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.features_dim = features_dim
        self.width = features_dim if embedding_dim is None else embedding_dim
        self.embed: nn.Module = nn.Identity()
        if embedding_dim is not None:
            self.embed = nn.Sequential(nn.Linear(features_dim, embedding_dim), activation())
        self.null = nn.Parameter(th.zeros(self.width)) if missing == "null" else None

    def forward(self, features: Tensor | None, like: Tensor) -> Tensor:
        """
        Embed the input, or replace it where it is missing.

        :param features: (B, F), or None
        :param like: any tensor (B, ...) on the device
        :return: (B, width); (1, width) where what is missing is the same in all rows
        """
        if features is not None:
            return self.embed(features)
        if self.null is not None:
            return self.null.unsqueeze(0)
        return self.embed(th.randn(like.shape[0], self.features_dim, device=like.device))


class ConditionedNetwork(nn.Module):
    """
    ``f(state, return, goal)``, a multi-layer perceptron whose inputs may be missing, and a bottleneck behind it.

    :param widths: of the features of each input: ``state``, ``returns``, ``goal`` and, on demand, ``change``
    :param net_arch: widths of the hidden layers
    :param representation_dim: width D of the output
    :param embedding_dim: of each input, see :class:`InputSlot`
    :param missing: see :class:`InputSlot`
    :param activation: of embeddings and hidden layers
    :param n_tokens: of the bottleneck; None for no bottleneck
    :param temperature: of the bottleneck
    """

    def __init__(
        self,
        widths: dict[str, int],
        net_arch: Sequence[int],
        representation_dim: int,
        embedding_dim: int | None,
        missing: str,
        activation: type[nn.Module],
        n_tokens: int | None,
        temperature: float,
    ) -> None:
        super().__init__()
        slots = {name: InputSlot(width, embedding_dim, missing, activation) for name, width in widths.items()}
        self.slots = nn.ModuleDict(slots)
        self.body = mlp([sum(slot.width for slot in slots.values()), *net_arch, representation_dim], activation)
        self.bottleneck: TokenBottleneck | nn.Identity = nn.Identity()
        if n_tokens is not None:
            self.bottleneck = TokenBottleneck(representation_dim, n_tokens, temperature)

    def forward(
        self, state: Tensor | None, goal: Tensor | None, change: Tensor | None, returns: Tensor | None
    ) -> Tensor:
        """Compute the representation, (B, D), for the arguments of :meth:`describe`."""
        return self.bottleneck(self.describe(state, goal, change, returns))

    def describe(
        self, state: Tensor | None, goal: Tensor | None, change: Tensor | None, returns: Tensor | None
    ) -> Tensor:
        """
        Compute the representation before its bottleneck, from a state or a goal or both.

        :param state: (B, O) features; None for a missing input, as below
        :param goal: (B, G) features
        :param change: (B, F) from the state to the goal
        :param returns: (B, 1) scaled
        :return: (B, D)
        """
        like = state if state is not None else goal
        assert like is not None, "a representation needs a state or a goal"
        features = {"state": state, "returns": returns, "goal": goal, "change": change}
        parts = [slot(features[name], like) for name, slot in self.slots.items()]
        # A linear layer on all parts side by side, but what is the same in all rows is computed once.
        first, rest = self.body[0], self.body[1:]
        assert isinstance(first, nn.Linear)
        weights = first.weight.split([part.shape[1] for part in parts], dim=1)
        products = [F.linear(part, weight) for part, weight in zip(parts, weights, strict=True)]
        return rest(sum(products, start=first.bias))
