"""The policy of the Decision Transformer: returns-to-go, states and actions in, a representation of each state out."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch as th
from annotated_types import Ge, Le, Unit
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.common.arguments import Width
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.window_policy import WindowPolicy
from gcrl_zoo.methods.dt.attention import Ring, RingAttention, WindowAttention
from gcrl_zoo.methods.dt.tokens import TOKENS, StepTokens
from gcrl_zoo.nets.fast.transformer import FastTransformer


class DTMemory(NamedTuple):
    """
    What the policy keeps of E episodes between two steps.

    :param past: (E, T, D) tokens of the last steps, the newest last; or the ring of banded attention
    :param steps: (E,) since the start of the episode; a tensor when exported
    :param actions: (E, A) or (E,) the last ones
    :param predictions: (E, ...) of earlier steps, which a subclass keeps; None for none
    """

    past: Tensor | Ring
    steps: np.ndarray | Tensor
    actions: Tensor
    predictions: Tensor | None = None


class DTPolicy(WindowPolicy):
    """
    A causal transformer over the tokens (R_0, s_0, a_0, R_1, ...) of the last ``context_length`` steps. The action head
    reads its output at a state token.

    :param context_length: number K of steps in the context of the transformer
    :param embed_dim: width D of a token
    :param n_layers: number of layers of the transformer
    :param n_heads: number of attention heads of each layer; they share the width of a token
    :param dropout: dropout probability in the transformer
    :param max_timesteps: number of timestep embeddings; later steps of an episode share the last one
    :param attention: ``"window"``: acting recomputes the whole window at each step. ``"banded"``: each layer attends to
        fewer steps, so that all layers together cover K; acting computes only the new step and caches the rest
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    #: Whether the outputs at returns are read, beside those at states.
    reads_returns = False
    #: How many actions are predicted at each step.
    n_actions = 1

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        context_length: Annotated[int, Ge(1), Le(2048), Unit("steps")] = 20,
        embed_dim: Width = 128,
        n_layers: Annotated[int, Ge(1), Le(256)] = 3,
        n_heads: Annotated[int, Ge(1), Le(1024)] = 1,
        dropout: Annotated[float, Ge(0), Le(0.99)] = 0.1,
        max_timesteps: Annotated[int, Ge(1), Le(1_000_000), Unit("steps")] = 1000,
        attention: Literal["window", "banded"] = "window",
        **kwargs: Any,
    ) -> None:
        if embed_dim % n_heads:
            raise ValueError(f"n_heads is {n_heads}, which does not divide embed_dim ({embed_dim}); give a divisor.")
        super().__init__(observation_space, action_space, embed_dim, **kwargs)
        self.context_length = context_length
        self.band = TOKENS * math.ceil(context_length / n_layers) if attention == "banded" else None
        self.tokens = StepTokens(self.head.encoding_dim, self.encoder.features_dim, embed_dim, max_timesteps)
        self.transformer = FastTransformer(embed_dim, n_layers, n_heads, dropout, self.activation_fn)
        self.newest = slice(-1, None), slice(-2, -1) if self.reads_returns else None  # state and return
        # Nothing comes before the first return-to-go. All banded layers together may see some tokens more.
        self.n_tokens = TOKENS * context_length - 1 if self.band is None else n_layers * self.band
        self.window = WindowAttention(self.n_tokens, self.band)
        self.ring = None if self.band is None else RingAttention(self.band)

    # ----------------------------------------------------------------- training

    def represent_windows(self, batch: Any) -> Tensor:
        """
        Represent all steps of windows, for training.

        :param batch: a :class:`~gcrl_zoo.data.windows.WindowBatch` of K steps, as tensors; padding is on its right,
            where no step before it can see it
        :return: (B, K, D)
        """
        return self.represent_step(self.outputs(batch))

    def outputs(self, batch: Any) -> Tensor:
        """Return the outputs of the transformer for a batch, (B, K, D) or (B, K, 2, D)."""
        n, length = batch.timesteps.shape
        states = self.encoder({key: each.flatten(0, 1) for key, each in batch.observations.items()})
        before = self.head.encode(batch.actions[:, : length - 1].flatten(0, 1)).unflatten(0, (n, length - 1))
        to_go = batch.returns_to_go.unsqueeze(2) / self.return_scale
        tokens = self.tokens(
            F.pad(before, (0, 0, 1, 0)), to_go, states.unflatten(0, (n, length)), batch.timesteps
        ).flatten(1, 2)[:, 1:]
        size = tokens.shape[1]
        returns, states = slice(0, None, TOKENS), slice(1, None, TOKENS)
        early = returns if self.reads_returns else None
        return self.transformer(tokens, self.window.mask[:size, :size], wanted=states, early=early)

    def represent_step(self, outputs: Tensor) -> Tensor:
        """
        Turn the outputs of the transformer for a step into its representation.

        :param outputs: (..., D) at states, or (..., 2, D) at returns and states
        :return: (..., D)
        """
        return outputs

    # ------------------------------------------------------------------- acting

    def command(self, inputs: Inputs) -> Inputs:
        """Add the target to the return-to-go, which the wrapper ``ReturnToGo`` counts from 0 downwards."""
        assert inputs.return_to_go is not None
        return inputs._replace(return_to_go=self.target_return + inputs.return_to_go)

    @property
    def target_description(self) -> str:
        return f"a return of {self.target_return.item():,.6g} of the whole episode, counted down"

    def initial_memory(self, n_envs: int) -> DTMemory:
        steps, actions = np.zeros(n_envs, dtype=np.int64), self.no_actions(n_envs)
        past: Tensor | Ring = self.no_tokens(n_envs)
        if self.ring is not None:
            past = Ring(self.transformer.make_cache(self.ring.size), 0)
        return DTMemory(past, steps, actions, self.no_predictions(n_envs))

    def exportable_memory(self, n_envs: int) -> DTMemory:
        steps = th.zeros(n_envs, dtype=th.int64, device=self.device)
        return DTMemory(self.no_tokens(n_envs), steps, self.no_actions(n_envs), self.no_predictions(n_envs))

    def no_tokens(self, n_envs: int) -> Tensor:
        """Return (E, T, D), which stand for the tokens before the first step."""
        return self.target_return.new_zeros(n_envs, self.n_tokens, self.tokens.width)

    def no_predictions(self, n_envs: int) -> Tensor | None:
        """Return what :meth:`predict_actions` keeps, (E, ...), at the start of an episode; None for nothing."""
        return None

    def respond(self, inputs: Inputs, memory: DTMemory, episode_starts: np.ndarray | Tensor) -> tuple[Tensor, DTMemory]:
        z, memory = self.encode_step(inputs, memory, episode_starts)
        params, predictions = self.predict_actions(z, memory.predictions, episode_starts)
        return params, memory if predictions is None else memory._replace(predictions=predictions)

    def encode_step(
        self, inputs: Inputs, memory: DTMemory, episode_starts: np.ndarray | Tensor
    ) -> tuple[Tensor, DTMemory]:
        """Return the representation of the newest step, (E, D), and the memory with its tokens."""
        past, steps, actions, predictions = memory
        steps = steps * ~episode_starts
        tokens = self.embed(inputs, actions, to_tensors(steps, self.device))
        attention: Any = self.ring if isinstance(past, Ring) else self.window
        outputs, past = attention.attend(self.transformer, tokens, past, steps, self.newest)
        return self.represent_step(outputs.squeeze(1)), DTMemory(past, steps + 1, actions, predictions)

    def embed(self, inputs: Inputs, actions: Tensor, steps: Tensor) -> Tensor:
        """
        Embed the newest step.

        :param inputs: of E environments
        :param actions: (E, A) or (E,) of the step before
        :param steps: (E,) since the start of the episode
        :return: (E, 3, D) tokens
        """
        assert inputs.return_to_go is not None
        to_go = inputs.return_to_go / self.return_scale
        return self.tokens(self.head.encode(actions), to_go, self.encode_state(inputs), steps)

    def predict_actions(
        self, z: Tensor, predictions: Tensor | None, episode_starts: np.ndarray | Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """
        Predict the next actions.

        :param z: (E, D) representation of the newest step
        :param predictions: as returned by the last call or by :meth:`no_predictions`
        :param episode_starts: (E,) bool, where earlier predictions are ignored
        :return: (E, P) parameters for the action head, and the predictions to keep
        """
        return self.head(z), None
