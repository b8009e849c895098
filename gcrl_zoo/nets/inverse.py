"""Inverse dynamics: which action led from one state to the next."""

from collections.abc import Mapping, Sequence

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.encoders import DictEncoder, VectorEncoder, scaler_of
from gcrl_zoo.nets.mlp import last_width, mlp


class Change(nn.Module):
    """
    The way from one state to another: their difference, scaled by how much one usually lies from the other. One step
    apart two states differ by little, and what an action did is in that little; a goal may be a thousand times further
    away, so large differences count by their logarithm (asinh). Vector entries only: categories and pixels have no
    difference that says more than both of them do.

    The scale is a buffer, so it travels with the weights.

    :param encoders: encoder by observation key; all but those of vectors are left out, so that nothing may remain
    """

    scale: Tensor
    #: What differs by less than this, in standard deviations of the state, does not differ: the rest is rounding.
    STILL = 1e-6

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        scalers = {key: scaler_of(each) for key, each in encoders.items()}
        self.place = DictEncoder({key: each for key, each in scalers.items() if isinstance(each, VectorEncoder)})
        self.features_dim: int = self.place.features_dim
        self.register_buffer("scale", th.ones(self.features_dim))

    @th.no_grad()
    def fit(self, states: Mapping[str, Tensor], successors: Mapping[str, Tensor]) -> None:
        """
        Learn the scale from pairs as training will draw them, once the encoders have their statistics. A dimension
        that never differs keeps the scale of the state.

        :param states: (B, ...) by key, B at least 2
        :param successors: (B, ...) by key
        """
        if self.features_dim:
            deviation = self._difference(states, successors).std(0)  # (F,)
            self.scale.copy_(th.where(deviation > self.STILL, deviation, 1.0))

    def forward(self, states: Mapping[str, Tensor], successors: Mapping[str, Tensor]) -> Tensor:
        """
        Compute the difference in which large values count by their logarithm.

        :param states: (B, ...) by key; further keys do not matter
        :param successors: (B, ...) by key
        :return: (B, F) float32, F being ``features_dim``: 0 where no entry is a vector
        """
        return self.scaled(states, successors).asinh()

    def scaled(self, states: Mapping[str, Tensor], successors: Mapping[str, Tensor]) -> Tensor:
        """As ``forward``, but large differences count in full: what a forward model has to tell."""
        return self._difference(states, successors) / self.scale

    def disturbed(self, states: Mapping[str, Tensor], size: float) -> dict[str, Tensor]:
        """
        States nearby: what is a vector is displaced at random by so many usual differences.

        :param states: (B, ...) by key
        :param size: standard deviation of the displacement
        :return: (B, ...) by key
        """
        disturbed, start = dict(states), 0
        for key, encoder in self.place.items():
            assert isinstance(encoder, VectorEncoder)
            scale = self.scale[start : start + encoder.features_dim] * encoder.std * size  # (F,)
            start += encoder.features_dim
            noise = th.randn(len(states[key]), encoder.features_dim, device=scale.device) * scale
            disturbed[key] = states[key] + noise.view_as(states[key])
        return disturbed

    def _difference(self, states: Mapping[str, Tensor], successors: Mapping[str, Tensor]) -> Tensor:
        """Return the unscaled difference, (B, F)."""
        if not self.features_dim:
            some = next(iter(states.values()))
            return some.new_zeros((len(some), 0), dtype=th.float32)
        return self.place(successors) - self.place(states)


class InverseNetwork(nn.Module):
    """
    Multi-layer perceptron over two states and the change between them, whose output an action head reads.

    :param state_dim: width O of the features of a state
    :param change_dim: width F of the way from one to the other, see :class:`Change`; may be 0
    :param net_arch: widths of the hidden layers, the last of which is the output
    :param layer_norm: normalise each hidden layer before its activation
    :param activation: after each layer
    :raises ValueError: there is no hidden layer
    """

    def __init__(
        self,
        state_dim: int,
        change_dim: int,
        net_arch: Sequence[int],
        layer_norm: bool = False,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.features_dim = last_width(net_arch)
        self.body = mlp([2 * state_dim + change_dim, *net_arch], activation, layer_norm, activate_last=True)

    def forward(self, state: Tensor, successor: Tensor, change: Tensor) -> Tensor:
        """
        Compute the representation.

        :param state: (B, O) features
        :param successor: (B, O) features of what came after it
        :param change: (B, F)
        :return: (B, D), D being ``features_dim``
        """
        return self.body(th.cat([state, successor, change], dim=1))
