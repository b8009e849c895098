"""Which policy classes an algorithm takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.wording import shown


class UnfitPolicy(ValueError):
    """This algorithm cannot train such a policy."""


def choose_policy(algorithm: type[BaseAlgorithm], policy: Any) -> type[BasePolicy]:
    """
    Find the policy class that a user's ``policy`` argument means.

    :param algorithm: to train the policy
    :param policy: one of the algorithm's aliases, one of its policy classes, or a subclass of one
    :return: class of the policy
    :raises UnfitPolicy: anything else, in particular a policy that was made for another algorithm
    """
    name, aliases = algorithm.__name__, algorithm.policy_aliases
    if isinstance(policy, str):
        if policy not in aliases:
            raise UnfitPolicy(
                f"policy of {name} is {shown(policy, str)}; give {', '.join(aliases)}, or a policy class."
            )
        return aliases[policy]
    own: list[type] = list(dict.fromkeys(aliases.values())) or [ConditionedPolicy]
    found = policy if isinstance(policy, type) else type(policy)
    # The closest ancestor that is some algorithm's policy: a subclass of DTPolicy may have been made for a child of DT.
    kind = next((each for each in found.__mro__ if each in own or _algorithms_of(each)), None)
    if isinstance(policy, type) and kind in own:
        return policy
    what = found.__name__ if isinstance(policy, type) else f"{shown(policy, str)}, an object of type {found.__name__}"
    whose = f" (a policy of {', '.join(_algorithms_of(kind))})" if kind and kind not in own else ""
    classes = " or ".join(each.__name__ for each in own)
    raise UnfitPolicy(
        f"policy of {name} is {what}{whose}; give {', '.join([*aliases, f'or a subclass of {classes}'])}."
    )


def _algorithms_of(policy: type) -> list[str]:
    """Names of the algorithms that define an alias for this class."""
    owners = [each for each in _subclasses(BaseAlgorithm) if policy in vars(each).get("policy_aliases", {}).values()]
    return sorted({each.__name__ for each in owners})


def _subclasses(parent: Any) -> Iterator[type[BaseAlgorithm]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
