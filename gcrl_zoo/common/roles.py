"""Splits an observation into state and commands, such as a goal or a return-to-go, by its keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from torch import Tensor

from gcrl_zoo.data.columns import RESERVED

ACHIEVED_GOAL, DESIRED_GOAL, RETURN_TO_GO = "achieved_goal", "desired_goal", "return_to_go"
#: The key of an observation space that is no Dict.
PLAIN = "observation"

Observation = np.ndarray | dict[str, np.ndarray]


class Inputs(NamedTuple):
    """
    The inputs of a network. ``None`` means missing; the policy decides how to encode a missing input.

    ``state``, ``goal`` and ``extras`` are (B, ...) tensors by key, the others (B, 1). ``episode_return`` is constant
    over an episode, ``return_to_go`` falls with each reward. ``extras`` holds further inputs of a method: in acting the
    ``extra_commands`` of its policy, in training whatever ``compute_loss`` puts there.
    """

    state: Mapping[str, Tensor] | None = None
    goal: Mapping[str, Tensor] | None = None
    episode_return: Tensor | None = None
    return_to_go: Tensor | None = None
    horizon: Tensor | None = None
    extras: Mapping[str, Tensor] | None = None

    @property
    def batch_size(self) -> int:
        """Rows of the state, or of the goal where there is no state."""
        entries = self.goal if self.state is None else self.state
        assert entries is not None
        return len(next(iter(entries.values())))


@dataclass(frozen=True)
class Roles:
    """
    The roles of the entries of an observation space. ``desired_goal``, ``return_to_go`` and the extra commands of a
    policy are commands; all other entries are facts. Facts are stored in trajectories; commands only condition actions.

    :param facts_space: the facts; a plain observation is a Dict with the single key ``"observation"``
    :param plain: whether the environment's observation is no Dict
    :param desired_goal: whether the environment asks for goals
    :param return_to_go: whether the environment asks for returns
    :param extra_commands: further keys that are commands
    """

    facts_space: spaces.Dict
    plain: bool
    desired_goal: bool
    return_to_go: bool
    extra_commands: tuple[str, ...] = ()

    @classmethod
    def of(cls, space: spaces.Space, extra_commands: Collection[str] = ()) -> Roles:
        """
        Assign roles by the names of the entries.

        :param space: a Dict of, or a single, Box, Discrete, MultiDiscrete or MultiBinary space
        :param extra_commands: further keys that are commands; each must be an entry of the space
        :raises ValueError: the space holds something else, or an entry has a name that is reserved in a store
        """
        plain = not isinstance(space, spaces.Dict)
        entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {PLAIN: space}
        known = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
        for key, entry in entries.items():
            if not isinstance(entry, known):
                # Gymnasium cannot flatten a space that contains a Graph or a Sequence to a Box of fixed size.
                advice = (
                    "flatten it with gymnasium.wrappers.FlattenObservation or another wrapper."
                    if space.is_np_flattenable
                    else "turn the observation into a Box or a Dict of Boxes of fixed size with your own wrapper, "
                    "such as a gymnasium.ObservationWrapper."
                )
                raise ValueError(
                    f"Observation '{key}' is a {type(entry).__name__} space, which cannot be stored or encoded; "
                    + advice
                )
        if DESIRED_GOAL in entries and ACHIEVED_GOAL not in entries:
            raise ValueError(
                "The observation asks for a 'desired_goal' but has no 'achieved_goal' to learn goals from; "
                "add one with a wrapper."
            )
        taken = sorted((entries.keys() & RESERVED) - {RETURN_TO_GO})
        if taken:
            raise ValueError(
                f"Observation '{taken[0]}' has a name that is reserved in stores of trajectories; "
                "rename it by a wrapper, such as gymnasium.wrappers.TransformObservation."
            )
        for key in extra_commands:
            if plain or key not in entries:
                raise ValueError(
                    f"The policy reads a command '{key}' from the observation, which has {', '.join(entries)}; "
                    "add it with a wrapper."
                )
        commands = {DESIRED_GOAL, RETURN_TO_GO, *extra_commands}
        facts = {key: entry for key, entry in entries.items() if key not in commands}
        extras = tuple(extra_commands)
        if not facts:
            raise ValueError(
                f"The observation {space} shows nothing of the environment; add an entry that does, with a wrapper."
            )
        return cls(spaces.Dict(facts), plain, DESIRED_GOAL in entries, RETURN_TO_GO in entries, extras)

    @property
    def state_keys(self) -> tuple[str, ...]:
        """Keys that describe where the agent is: all facts."""
        return tuple(self.facts_space.spaces)

    @property
    def goal_keys(self) -> tuple[str, ...]:
        """Keys that describe a goal: ``achieved_goal`` where the environment has one, else the full state."""
        return (ACHIEVED_GOAL,) if ACHIEVED_GOAL in self.facts_space.spaces else self.state_keys

    def facts(self, observation: Observation) -> dict[str, np.ndarray]:
        """
        Select the entries that trajectories store.

        :param observation: of a vectorised environment, (E, ...)
        :return: (E, ...) by key
        """
        if not isinstance(observation, dict):
            return {PLAIN: observation}
        return {key: observation[key] for key in self.state_keys}

    def inputs(self, observation: Tensor | Mapping[str, Tensor]) -> Inputs:
        """
        Make the inputs of a policy that acts.

        :param observation: (B, ...) tensor, or tensors by key
        :return: state, and goal, return-to-go and extras where the environment commands them
        """
        if isinstance(observation, Tensor):
            return Inputs(state={PLAIN: observation})
        return Inputs(
            state={key: observation[key] for key in self.state_keys},
            goal={ACHIEVED_GOAL: observation[DESIRED_GOAL]} if self.desired_goal else None,
            # Commands have no encoder, which would convert them.
            return_to_go=observation[RETURN_TO_GO].float() if self.return_to_go else None,
            extras={key: observation[key] for key in self.extra_commands} if self.extra_commands else None,
        )
