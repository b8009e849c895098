"""The policy of gcsl_vicreg, whose inputs may be missing, and which is an inverse model where a goal is given."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from gymnasium import spaces
from torch import Tensor

from gcrl_zoo.common.arguments import HiddenWidths, Width
from gcrl_zoo.common.inverse_dynamics import InverseDynamics
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.step_policy import StepPolicy
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.methods.gcsl_vicreg.network import ConditionedNetwork
from gcrl_zoo.nets.forward import ForwardModel
from gcrl_zoo.nets.inverse import Change
from gcrl_zoo.nets.mlp import mlp


class GCSLVICRegPolicy(StepPolicy):
    """
    ``f(state, return, goal)`` with an action head, and an expander that only training uses.

    :param net_arch: widths of the hidden layers of f
    :param representation_dim: width D of the representation
    :param embedding_dim: width of the embedding of each input; None concatenates the raw inputs
    :param missing: replacement of a missing input: ``"null"``, a learned vector, or ``"noise"`` (the notes)
    :param return_token: return that f is conditioned on: ``"return_to_go"``, which differs between the steps of an
        episode, or ``"episode_return"`` (the notes), which is the same for all of its steps
    :param goal_with_return: whether f sees the return in addition to a goal. If not, the inverse model cannot use it to
        identify the quality of its training data
    :param goal_only_with_return: whether the goal side of VICReg sees the return in addition to the goal
    :param change: whether f also sees the difference between state and goal (vector entries only). Consecutive states
        differ little, and this difference contains the effect of the action
    :param n_tokens: number of learned tokens of the bottleneck, whose attention is the representation; None for no
        bottleneck
    :param temperature: temperature of the softmax of that attention
    :param predictor_dim: width of the hidden layer of the predictor, which the term ``predict`` needs; None for none
    :param expander_dim: width of the expander
    :param forward_arch: widths of the hidden layers of the forward model, which the terms ``forward`` and
        ``consistency`` need, together with ``change``; None for none
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        net_arch: HiddenWidths = (256, 256),
        representation_dim: Width = 256,
        embedding_dim: Width | None = None,
        missing: Literal["null", "noise"] = "null",
        return_token: Literal["return_to_go", "episode_return"] = "return_to_go",
        goal_with_return: bool = False,
        goal_only_with_return: bool = True,
        change: bool = True,
        n_tokens: Width | None = None,
        temperature: Annotated[float, Ge(1e-3), Le(1e6)] = 1.0,
        expander_dim: Width = 256,
        predictor_dim: Width | None = None,
        forward_arch: HiddenWidths | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, representation_dim, **kwargs)
        self.return_token = return_token
        self.goal_with_return, self.goal_only_with_return = goal_with_return, goal_only_with_return
        difference = Change(dict(self.goal_encoder.items())) if change else None
        widths = {"state": self.encoder.features_dim, "returns": 1, "goal": self.goal_encoder.features_dim}
        if difference is not None and difference.features_dim:
            widths["change"] = difference.features_dim
        network = ConditionedNetwork(
            widths, net_arch, representation_dim, embedding_dim, missing, self.activation_fn, n_tokens, temperature
        )
        # Given a goal, f is the inverse model.
        self.inverse = InverseDynamics(self.encoder, self.goal_encoder, difference, network, self.head)
        self.expander = Expander(representation_dim, expander_dim)
        self.forward_model: ForwardModel | None = None
        if forward_arch is not None and "change" in widths:
            dims = self.encoder.features_dim, self.head.encoding_dim, widths["change"]
            self.forward_model = ForwardModel(*dims, forward_arch, self.activation_fn)
        self.predictor = None
        if predictor_dim is not None:
            self.predictor = mlp([expander_dim, predictor_dim, expander_dim], self.activation_fn)

    @property
    def change(self) -> Change | None:
        """The difference between state and goal that f sees."""
        return self.inverse.change

    @property
    def network(self) -> ConditionedNetwork:
        """f, on the features of its inputs."""
        network = self.inverse.network
        assert isinstance(network, ConditionedNetwork)
        return network

    def represent(self, inputs: Inputs) -> Tensor:
        return self.network.bottleneck(self.describe(inputs))

    def describe(self, inputs: Inputs) -> Tensor:
        """
        Compute the representation before its bottleneck.

        :param inputs: of which a state or a goal must be given
        :return: (B, D)
        """
        state = None if inputs.state is None else self.encoder(inputs.state)
        goal = None if inputs.goal is None else self.goal_encoder(inputs.goal)
        change = None
        if self.change is not None and inputs.state is not None and inputs.goal is not None:
            change = self.change(inputs.state, inputs.goal)
        return self.network.describe(state, goal, change, self.scaled_return(inputs))

    def scaled_return(self, inputs: Inputs) -> Tensor | None:
        """Return the return that f is conditioned on, (B, 1), scaled; None where it is missing."""
        returns = inputs.return_to_go if self.return_token == "return_to_go" else inputs.episode_return
        return None if returns is None else returns / self.return_scale

    def command(self, inputs: Inputs) -> Inputs:
        """
        Without a goal, ask for the target return; with one, for the goal (and the return, where f sees both). A
        ``ReturnToGo`` wrapper counts down from the target; without it the whole target is asked for at every step.
        """
        if inputs.goal is not None and not self.goal_with_return:
            return inputs._replace(return_to_go=None)
        target = self.target_return.expand(inputs.batch_size, 1)
        received = 0.0 if inputs.return_to_go is None else inputs.return_to_go
        return inputs._replace(episode_return=target, return_to_go=target + received)

    @property
    def target_description(self) -> str:
        if self.roles.desired_goal and not self.goal_with_return:
            return "the environment's goal"
        meaning = "of the whole episode" if self.return_token == "episode_return" else "from each step on"
        if self.roles.return_to_go:
            meaning = "of the whole episode, counted down"
        goal = "the environment's goal, and " if self.roles.desired_goal else ""
        return f"{goal}a return of {self.target_return.item():,.6g} {meaning}"
