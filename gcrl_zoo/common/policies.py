"""The part of a policy that all methods share: encoders, action heads, targets, and SB3's ``predict``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from gcrl_zoo.common.actions import ToActionSpace, refuse_unbounded
from gcrl_zoo.common.arguments import Activation, Extractor, Optimizer, Options, Width, check_arguments
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.encoders import fit_encoder, make_encoder, make_extractor
from gcrl_zoo.common.observations import is_batch, to_batch
from gcrl_zoo.common.optimizers import optimizer_settings
from gcrl_zoo.common.portable_policy import PortablePolicy
from gcrl_zoo.common.roles import Inputs, Observation, Roles
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.activations import activation_class
from gcrl_zoo.nets.encoders import DictEncoder
from gcrl_zoo.nets.heads import ActionHead, BinsHead, CategoricalHead, DeterministicHead, GaussianHead

#: Options of heads that the action space decides.
FROM_SPACES = {"features_dim", "low", "high", "n_actions", "start"}
HeadKind = Literal["auto", "categorical", "deterministic", "gaussian", "bins"]
#: Memory of a policy between two steps of an episode; only the policy reads it.
State = tuple[Any, ...]

NO_STARTS = np.zeros(0, dtype=bool)

BOX_HEADS: dict[str, type[ActionHead]] = {
    "deterministic": DeterministicHead,
    "gaussian": GaussianHead,
    "bins": BinsHead,
}


def action_head_class(space: spaces.Space, kind: str, kwargs: Mapping[str, Any]) -> type[ActionHead]:
    """
    :param space: ``Discrete`` or ``Box`` action space
    :param kind: see :func:`make_action_head`
    :param kwargs: options of that head
    :raises ValueError: the head does not fit the action space, or an option has a value that it does not allow
    :raises TypeError: the head has no such option
    """
    if isinstance(space, spaces.Discrete):
        if kind not in ("auto", "categorical"):
            raise ValueError(
                f"action_head: {kind} is for continuous actions, but this environment's are {space}; "
                "leave action_head out."
            )
        head: type[ActionHead] = CategoricalHead
        kind = "categorical"
    else:
        kind = "deterministic" if kind == "auto" else kind
        if kind not in BOX_HEADS:
            raise ValueError(
                f"action_head: {kind} does not fit the action space {space}; choose one of {', '.join(BOX_HEADS)}."
            )
        head = BOX_HEADS[kind]
    check_arguments(
        head, kwargs, f"action_head_kwargs of the head {kind} has no entry", "action_head_kwargs: ", given=FROM_SPACES
    )
    return head


def make_action_head(space: spaces.Space, features_dim: int, kind: HeadKind = "auto", **kwargs: Any) -> ActionHead:
    """
    :param space: ``Discrete`` or ``Box`` action space
    :param features_dim: width of the representation
    :param kind: ``"auto"`` (categorical or deterministic), ``"deterministic"``, ``"gaussian"`` or ``"bins"``
    :param kwargs: options of that head, e.g. ``n_bins``
    :raises ValueError: the head does not fit the action space, or an option has a value that it does not allow
    :raises TypeError: the head has no such option
    """
    head = action_head_class(space, kind, kwargs)
    if isinstance(space, spaces.Discrete):
        return CategoricalHead(features_dim, int(space.n), int(space.start))
    assert isinstance(space, spaces.Box)
    refuse_unbounded(space)
    # On the CPU, also while a policy is built on the meta device: heads look at the values.
    low, high = th.as_tensor(space.low, device="cpu"), th.as_tensor(space.high, device="cpu")
    return head(features_dim, low=low, high=high, **kwargs)  # type: ignore[call-arg]


class ConditionedPolicy(PortablePolicy):
    """
    A policy that acts on a state towards a goal or a return.

    All that acting needs travels in its ``state_dict``: the statistics that scale observations, ``return_scale``
    and ``target_return``. They are fitted once, before the first update, and then frozen, so that a saved agent needs
    neither its data nor a ``VecNormalize``.

    :param observation_space: of the environment
    :param action_space: ``Discrete`` or ``Box``
    :param representation_dim: width D of the representation that the action head sees
    :param action_head: distribution of actions; ``"auto"`` is ``"categorical"`` for ``Discrete`` and
        ``"deterministic"`` for ``Box`` action spaces
    :param action_head_kwargs: options of the head, which depend on its kind
    :param image_features: width of an image's encoding
    :param activation_fn: between the layers of the networks that choose actions, model the environment or embed inputs
        (also by name: ``"Tanh"``); convolutions and expanders keep ReLU
    :param features_extractor_class: network of SB3's form in the place of our encoders, made once for each entry of the
        observation; None for ours
    :param features_extractor_kwargs: its options
    :param optimizer_class: optimizer of all networks
    :param optimizer_kwargs: its options, without the learning rate; ``AdamW`` has ``weight_decay`` 1e-4 by default
    """

    #: Further keys of the observation that are commands: not stored, and given to networks as ``Inputs.extras``.
    extra_commands: ClassVar[tuple[str, ...]] = ()
    return_scale: Tensor
    target_return: Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        representation_dim: Width = 128,
        /,  # a subclass decides the width of its representation, and may make it an argument
        action_head: HeadKind = "auto",
        action_head_kwargs: Options | None = None,
        image_features: Width = 256,
        activation_fn: Activation = nn.ReLU,
        features_extractor_class: Extractor | None = None,
        features_extractor_kwargs: Options | None = None,
        optimizer_class: Optimizer = th.optim.AdamW,
        optimizer_kwargs: Options | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_settings(optimizer_class, optimizer_kwargs),
        )
        self.activation_fn = activation_class(activation_fn)
        self.roles = Roles.of(observation_space, self.extra_commands)
        entries = self.roles.facts_space.spaces
        if features_extractor_class is None and features_extractor_kwargs:
            raise ValueError(
                "features_extractor_kwargs are given without a features_extractor_class; give both, or leave both out "
                "and set the width of the image encoder by image_features."
            )
        if features_extractor_class is None:
            encoders = {key: make_encoder(space, image_features) for key, space in entries.items()}
        else:
            given = features_extractor_class, features_extractor_kwargs or {}
            encoders = {key: make_extractor(key, space, *given) for key, space in entries.items()}
        # A goal is encoded as the state that it names, with the same weights and statistics.
        self.encoder = DictEncoder(encoders)
        self.goal_encoder = DictEncoder({key: encoders[key] for key in self.roles.goal_keys})
        self.to_action_space = ToActionSpace(action_space)
        self.head = make_action_head(action_space, representation_dim, action_head, **(action_head_kwargs or {}))
        self.register_buffer("return_scale", th.ones(1))
        self.register_buffer("target_return", th.zeros(1))

    @abstractmethod
    def represent(self, inputs: Inputs) -> Tensor:
        """
        The one path from inputs to a representation, for training and for acting.

        :param inputs: see :class:`~gcrl_zoo.common.roles.Inputs`
        :return: (B, D)
        """

    # ------------------------------------------------------------------ acting

    @property
    def device(self) -> th.device:
        """SB3 looks through all parameters for it."""
        return self.target_return.device

    def obs_to_tensor(self, observation: Observation) -> tuple[PyTorchObs, bool]:
        """
        :param observation: one observation or a batch of them
        :return: (B, ...) on the device, and whether it was a batch
        :raises ValueError: the observation does not fit the space, such as where a wrapper is missing
        """
        if is_batch(observation, self.observation_space):
            return to_tensors(observation, self.device), True
        batch, several = to_batch(observation, self.observation_space)
        return to_tensors(batch, self.device), several

    def set_training_mode(self, mode: bool) -> None:
        """Do nothing if the mode stays: SB3 calls this at each step, and walking all modules takes time."""
        if mode != self.training:
            super().set_training_mode(mode)

    def command(self, inputs: Inputs) -> Inputs:
        """Add what to ask for when acting, such as the target return; by default nothing."""
        return inputs

    @property
    def asks_for(self) -> str:
        """What ``command`` asks for, in words for people; empty for nothing."""
        return ""

    def act(self, inputs: Inputs, deterministic: bool = False) -> Tensor:
        """
        :param inputs: with the commands to follow
        :param deterministic: the most likely action instead of a sample
        :return: (B, A) or (B,), environment units, inside the action space
        """
        return self.head.act(self.head(self.represent(inputs)), deterministic)

    def initial_state(self, n_envs: int) -> State | None:
        """
        :param n_envs: number E of environments
        :return: the memory at the start of an episode; None for a policy without memory
        """
        return None

    def step(
        self, inputs: Inputs, state: State | None, episode_starts: np.ndarray, deterministic: bool = False
    ) -> tuple[Tensor, State | None]:
        """
        Act and remember; what the collector calls. Policies with memory override it.

        :param inputs: of E environments
        :param state: as returned by the last call or by ``initial_state``; not changed
        :param episode_starts: (E,) where the memory must be forgotten
        :return: actions, and the new memory
        """
        return self.act(inputs, deterministic), state

    def executed(self, state: State | None, actions: np.ndarray) -> State | None:
        """
        Update a memory that holds actions, after exploration changed them.

        :param state: as returned by ``step``
        :param actions: (E, ...) as sent to the environments
        """
        return state

    def predict(
        self,
        observation: Observation,
        state: State | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State | None]:
        """
        :param observation: of one environment or of E
        :param state: as returned by the last call; None at the beginning of an episode
        :param episode_start: (E,) where an episode begins; None for nowhere (but everywhere without a ``state``)
        :param deterministic: the most likely action instead of a sample
        :return: actions, inside the action space and of its dtype, and the memory for the next call
        :raises ValueError: an argument does not fit
        """
        self.set_training_mode(False)
        tensors, vectorised = self.obs_to_tensor(observation)
        inputs = self.command(self.roles.inputs(tensors))
        try:
            memory, starts = self._memory(inputs, state, episode_start)
            with th.inference_mode():
                chosen, memory = self.step(inputs, memory, starts, deterministic)
        except (RuntimeError, IndexError, TypeError, ValueError, AttributeError):
            self._refuse_unfit(observation, inputs, state, episode_start)  # only now, since these checks take time
            raise
        actions = self.to_action_space(chosen.cpu().numpy())
        return (actions if vectorised else actions.squeeze(axis=0)), memory

    def _refuse_unfit(
        self, observation: Observation, inputs: Inputs, state: State | None, episode_start: np.ndarray | None
    ) -> None:
        """:raises ValueError: what ``predict`` got explains why it failed"""
        to_batch(observation, self.observation_space)

    def _memory(
        self, inputs: Inputs, state: State | None, episode_start: np.ndarray | None
    ) -> tuple[State | None, np.ndarray]:
        """The state and the episode starts that :meth:`step` takes; a policy without memory reads neither."""
        return state, NO_STARTS

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        """
        :param observation: (B, ...) on the device, each as an episode begins
        :param deterministic: the most likely action instead of a sample
        :return: (B, A) or (B,)
        """
        inputs = self.command(self.roles.inputs(observation))
        state, starts = self._memory(inputs, None, None)
        return self.step(inputs, state, starts, deterministic)[0]

    # -------------------------------------------------------------- statistics

    def fit_statistics(self, store: TrajectoryStore) -> None:
        """
        Scale vectors and small images by the moments of the data.

        :param store: trajectories, of which only observations are read
        """
        for key, encoder in self.encoder.items():
            fit_encoder(encoder, store, key)

    def set_return_scale(self, scale: float) -> None:
        """:param scale: returns are divided by it before a network sees them"""
        self.return_scale.fill_(scale)

    def set_target_return(self, target: float) -> None:
        """:param target: return to ask for when acting, in the environment's units"""
        self.target_return.fill_(target)
