"""A Decision Transformer's policy with an expander that only training uses."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch import nn

from gcrl_zoo.common.arguments import Width
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.methods.dt.policies import DTPolicy


class DTVICRegPolicy(DTPolicy):
    """
    A Decision Transformer with an expander, on whose output VICReg is computed.

    :param expander_dim: width of the expander; None applies VICReg to the representations directly
    :param kwargs: of :class:`~gcrl_zoo.methods.dt.policies.DTPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        expander_dim: Width | None = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, **kwargs)
        width = self.tokens.width
        self.expander: nn.Module = nn.Identity() if expander_dim is None else Expander(width, expander_dim)
