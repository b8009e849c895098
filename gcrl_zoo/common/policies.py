"""The part of a policy that all methods share: encoders, action head, statistics and SB3's ``predict``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from gcrl_zoo.common.actions import HeadKind, ToActionSpace, make_action_head
from gcrl_zoo.common.arguments import Activation, Extractor, Optimizer, Options, Width
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.encoders import ImageEncoderName, fit_encoders, make_encoders
from gcrl_zoo.common.observations import is_batch, to_batch
from gcrl_zoo.common.optimizers import optimizer_settings
from gcrl_zoo.common.portable_policy import PortablePolicy
from gcrl_zoo.common.roles import Inputs, Observation, Roles
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.activations import activation_class
from gcrl_zoo.nets.encoders import DictEncoder

#: Memory of a policy between two steps of an episode: a NamedTuple that only the policy reads.
Memory = tuple[Any, ...]
#: Changes what a policy is asked for, given inputs of E environments and (E,) where an episode starts.
Adjust = Callable[[Inputs, np.ndarray], Inputs]


class ConditionedPolicy(PortablePolicy):
    """
    Base class of all policies, which act on a state and a command, such as a goal or a return. Its two children are
    :class:`~gcrl_zoo.common.step_policy.StepPolicy`, which acts on one observation, and
    :class:`~gcrl_zoo.common.window_policy.WindowPolicy`, which has a memory.

    Its ``state_dict`` holds all that acting needs: weights, the statistics that scale observations, ``return_scale``
    and ``target_return``. Statistics are fitted once, before the first update, and then frozen. A saved agent needs
    neither its data nor a ``VecNormalize``.

    :param observation_space: of the environment
    :param action_space: ``Discrete`` or ``Box``
    :param representation_dim: width D of the representation that the action head sees
    :param action_head: distribution of actions; ``"auto"`` is ``"categorical"`` for ``Discrete`` and
        ``"deterministic"`` for ``Box`` action spaces
    :param action_head_kwargs: options of the head, which depend on its kind
    :param image_encoder: convolutions for images of at least 36 x 36 pixels: ``"nature"`` (Mnih et al. 2015),
        ``"compact"``, the same with half as many channels, or ``"residual"``, a small residual network (IMPALA,
        Espeholt et al. 2018)
    :param image_features: width of an image's encoding
    :param activation_fn: activation of policies, inverse and forward models, and embeddings of inputs (also by name:
        ``"Tanh"``); convolutions and the expanders of VICReg keep ReLU
    :param features_extractor_class: a ``BaseFeaturesExtractor`` that replaces the encoders, made once for each entry of
        the observation; None for the encoders of this package
    :param features_extractor_kwargs: keyword arguments of ``features_extractor_class``
    :param optimizer_class: optimizer of all networks
    :param optimizer_kwargs: keyword arguments of ``optimizer_class``, without the learning rate; ``AdamW`` has
        ``weight_decay`` 1e-4 by default
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
        image_encoder: ImageEncoderName = "nature",
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
        encoders = make_encoders(
            self.roles.facts_space, image_features, image_encoder, features_extractor_class, features_extractor_kwargs
        )
        # A goal is encoded like the state, with the same weights and statistics.
        self.encoder = DictEncoder(encoders)
        self.goal_encoder = DictEncoder({key: encoders[key] for key in self.roles.goal_keys})
        self.to_action_space = ToActionSpace(action_space)
        self.head = make_action_head(action_space, representation_dim, action_head, **(action_head_kwargs or {}))
        self.register_buffer("return_scale", th.ones(1))
        self.register_buffer("target_return", th.zeros(1))

    def encode_state(self, inputs: Inputs) -> Tensor:
        """
        Encode the state, which must be given.

        :param inputs: see :class:`~gcrl_zoo.common.roles.Inputs`
        :return: (B, O), O being ``encoder.features_dim``
        """
        assert inputs.state is not None
        return self.encoder(inputs.state)

    def encode_goal(self, inputs: Inputs) -> Tensor:
        """
        Encode the goal, which must be given.

        :param inputs: see :class:`~gcrl_zoo.common.roles.Inputs`
        :return: (B, G), G being ``goal_encoder.features_dim``
        """
        assert inputs.goal is not None
        return self.goal_encoder(inputs.goal)

    # ------------------------------------------------------------------ acting

    @property
    def device(self) -> th.device:
        """Device of the networks; SB3 searches all parameters for it."""
        return self.target_return.device

    def obs_to_tensor(self, observation: Observation) -> tuple[PyTorchObs, bool]:
        """
        Check observations and move them to the device.

        :param observation: one observation or a batch of them
        :return: (B, ...) on the device, and whether it was a batch
        :raises ValueError: the observation does not fit the space, such as where a wrapper is missing
        """
        if is_batch(observation, self.observation_space):
            return to_tensors(observation, self.device), True
        batch, several = to_batch(observation, self.observation_space)
        return to_tensors(batch, self.device), several

    def set_training_mode(self, mode: bool) -> None:
        """Set the mode of all modules, unless it is set already: SB3 calls this method at each step."""
        if mode != self.training:
            super().set_training_mode(mode)

    def command(self, inputs: Inputs) -> Inputs:
        """
        Add commands that acting follows, such as the target return; by default none.

        :param inputs: of an observation
        :return: the inputs of the networks
        """
        return inputs

    @property
    def target_description(self) -> str:
        """Describe in words what ``command`` asks for; empty for nothing."""
        return ""

    def act(
        self,
        observation: PyTorchObs,
        memory: Memory | None = None,
        episode_starts: np.ndarray | Tensor | None = None,
        deterministic: bool = False,
        adjust: Adjust | None = None,
    ) -> tuple[Tensor, Memory | None]:
        """
        Turn observations into actions. Everything that acts calls this method: ``predict``, the collector of own play,
        and exported policies.

        :param observation: (E, ...) on the device
        :param memory: as returned by the last call; None at the start of an episode
        :param episode_starts: (E,) bool, where an episode starts and the memory is ignored; None for nowhere
        :param deterministic: the most likely action instead of a sample
        :param adjust: changes the commands, for exploration
        :return: (E, A) float32 or (E,) int64 actions inside the action space, and the memory for the next call
        """
        inputs = self.command(self.roles.inputs(observation))
        if adjust is not None:
            assert isinstance(episode_starts, np.ndarray)
            inputs = adjust(inputs, episode_starts)
        return self.choose(inputs, memory, episode_starts, deterministic)

    @abstractmethod
    def choose(
        self,
        inputs: Inputs,
        memory: Memory | None,
        episode_starts: np.ndarray | Tensor | None,
        deterministic: bool = False,
    ) -> tuple[Tensor, Memory | None]:
        """
        Choose actions for inputs that hold their commands; the arguments and results are those of :meth:`act`.
        :class:`~gcrl_zoo.common.step_policy.StepPolicy` and :class:`~gcrl_zoo.common.window_policy.WindowPolicy`
        implement it by their method ``respond``.
        """

    def predict(
        self,
        observation: Observation,
        state: Memory | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Memory | None]:
        """
        Choose actions for the observation of one environment or of several.

        :param observation: of one environment or of E
        :param state: memory that the last call returned; None at the start of an episode
        :param episode_start: (E,) where an episode starts; None for nowhere (but everywhere without a ``state``)
        :param deterministic: the most likely action instead of a sample
        :return: actions, inside the action space and of its dtype, and the memory for the next call
        :raises ValueError: an argument does not fit
        """
        self.set_training_mode(False)
        tensors, vectorised = self.obs_to_tensor(observation)
        try:
            with th.inference_mode():
                chosen, memory = self.act(tensors, state, episode_start, deterministic)
        except (RuntimeError, IndexError, TypeError, ValueError, AttributeError):
            self._check_predict_arguments(observation, state, episode_start)  # only now, since these checks take time
            raise
        actions = self.to_action_space(chosen.cpu().numpy())
        return (actions if vectorised else actions.squeeze(axis=0)), memory

    def _check_predict_arguments(
        self, observation: Observation, state: Memory | None, episode_start: np.ndarray | None
    ) -> None:
        """
        Check the arguments of ``predict``, after it failed.

        :raises ValueError: one of them explains the failure
        """
        to_batch(observation, self.observation_space)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        """
        Choose the first actions of episodes, as SB3 requires.

        :param observation: (B, ...) on the device
        :param deterministic: the most likely action instead of a sample
        :return: (B, A) or (B,)
        """
        return self.act(observation, deterministic=deterministic)[0]

    # -------------------------------------------------------------- statistics

    def fit_statistics(self, store: TrajectoryStore) -> None:
        """
        Scale vectors and small images by the moments of the data.

        :param store: trajectories, of which only observations are read
        """
        fit_encoders(self.encoder, store)

    def set_return_scale(self, scale: float) -> None:
        """
        Set the scale of returns.

        :param scale: returns are divided by it before a network sees them
        """
        self.return_scale.fill_(scale)

    def set_target_return(self, target: float) -> None:
        """
        Set the return to ask for when acting.

        :param target: in the environment's units
        """
        self.target_return.fill_(target)
