"""The order of the tokens in a window of video or of own play."""

from __future__ import annotations

import torch as th
from torch import Tensor, nn


class TokenLayout(nn.Module):
    """
    Orders the tokens of a window. R is the return, s a state, a an action, P a representation token:

    =========================  ====================  ============================
    windows                    without P             with P
    =========================  ====================  ============================
    video                      R s_0 R s_1 ...       R s_0 P_0 s_1 P_1 ...
    own play                   R s_0 a_0 R s_1 ...   R s_0 a_0 P_0 s_1 a_1 P_1 ...
    own play, no action token  as video              as video
    =========================  ====================  ============================

    :param width: D of a token
    :param action_tokens: whether windows of own play contain actions
    :param modality_token: whether a learned vector, one for video and one for own play, is added to each token
    :param representation_tokens: whether to insert tokens P, which are new draws of U(-1, 1) each time
    """

    #: Place of the first state; the return is before it.
    FIRST = 1

    def __init__(self, width: int, action_tokens: bool, modality_token: bool, representation_tokens: bool) -> None:
        super().__init__()
        self.action_tokens, self.representation_tokens = action_tokens, representation_tokens
        self.modality = nn.Parameter(0.02 * th.randn(2, width)) if modality_token else None

    def per_step(self, played: bool) -> int:
        """Return how many tokens a step has."""
        return 3 if played and self.action_tokens else 2

    def forward(self, embedded: Tensor, played: bool) -> Tensor:
        """
        Arrange embeddings.

        :param embedded: (B, L, 3, D) of the action before each step, the return and the state, see
            :class:`~gcrl_zoo.methods.dt.tokens.StepTokens`
        :param played: whether this is own play
        :return: (B, T, D)
        """
        if self.modality is not None:
            embedded = embedded + self.modality[int(played)]
        before, returns, states = embedded.unbind(2)  # (B, L, D)
        earlier = [before] if played and self.action_tokens else []  # tokens of the step before
        if not self.representation_tokens:
            return th.stack([*earlier, returns, states], 2).flatten(1, 2)[:, len(earlier) :]
        earlier.append(2 * th.rand_like(states) - 1)
        tokens = th.stack([*earlier, states], 2).flatten(1, 2)[:, len(earlier) :]
        return th.cat((returns[:, :1], tokens), 1)

    def states(self, played: bool) -> slice:
        """Return the places of the states."""
        return slice(self.FIRST, None, self.per_step(played))

    def representations(self, played: bool) -> slice:
        """Return the places of the representation tokens."""
        return slice(self.per_step(played), None, self.per_step(played))

    def missing(self, steps: Tensor, n_tokens: int, played: bool) -> Tensor:
        """
        Return which tokens of a window are not there, because the episode is shorter than the window.

        :param steps: (E,) number of missing steps at the beginning of the window
        :param n_tokens: T
        :param played: whether this is own play
        :return: (E, T) bool
        """
        places, absent = th.arange(n_tokens, device=steps.device), steps[:, None] * self.per_step(played)
        if self.representation_tokens:  # the return in front belongs to no step
            return (places > 0) & (places <= absent)
        return places < absent
