"""
The arguments of algorithms and policies: which there are, and what each allows.

The signature of a constructor is the only description: ``batch_size: Annotated[int, Ge(2), Unit("rows")]``. The checks,
the messages and the tables of parameters in ``docs/methods`` come from it. Arguments without an annotation are not
checked.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Real
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Never, TypeAlias, get_type_hints

import gymnasium as gym
import torch as th
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, Unit
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from gcrl_zoo.common.annotations import Allowed, Example, Nested, WholeFloats
from gcrl_zoo.common.values import check, is_sequence
from gcrl_zoo.common.wording import shown, suggestion
from gcrl_zoo.data.checks import is_number
from gcrl_zoo.data.open import is_source
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.activations import is_activation

# ---------------------------------------------------------------------------------------- kinds of arguments
# Upper limits are far beyond realistic values: they refuse typing errors that would fill the memory or hang.

#: A number of things; 0 for none.
Count = Annotated[int, Ge(0), Le(10**12)]
PositiveInt = Annotated[int, Ge(1), Le(10**12)]
#: Also accepts 1e6 for 1000000; convert it with ``int`` before use.
LargeCount = Annotated[int, Ge(0), Le(10**12), WholeFloats()]
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
#: A part of a whole.
Fraction = Annotated[float, Gt(0), Le(1)]
#: Discount of a geometric distribution or series.
Discount = Annotated[float, Ge(0), Lt(1)]
#: Width of a layer.
Width = Annotated[int, Ge(1), Le(8192)]
#: Widths of hidden layers, of which there may be none.
HiddenWidths = Annotated[Sequence[Width], MaxLen(64), Example("[256, 256]")]
Widths = Annotated[Sequence[Width], MinLen(1), MaxLen(64), Example("[256, 256]")]

#: Arguments of another constructor, such as ``policy_kwargs``.
Options = Annotated[Mapping[str, Any], Allowed("a mapping from names to values")]
Optimizer = Annotated[type[th.optim.Optimizer], Allowed("a class of torch.optim, such as torch.optim.AdamW")]
Activation = Annotated[
    str | type[nn.Module],
    Allowed(
        "an activation of torch.nn that needs no arguments and keeps the shape, such as torch.nn.Tanh", is_activation
    ),
]
Extractor = Annotated[
    type[BaseFeaturesExtractor], Allowed("a subclass of BaseFeaturesExtractor of stable_baselines3.common.torch_layers")
]
Policy = Annotated[str | type[BasePolicy], Allowed("the name of a policy, such as 'MlpPolicy', or its class")]
Environment = Annotated[gym.Env | VecEnv | str, Allowed("an environment or its id")]
if TYPE_CHECKING:
    from minari import MinariDataset

    Dataset: TypeAlias = str | os.PathLike[str] | TrajectoryStore | MinariDataset
else:  # without Minari, which takes long to import
    _SOURCES = "the id of a Minari or OGBench dataset, a path, a TrajectoryStore or a minari.MinariDataset"
    Dataset = Annotated[object, Allowed(_SOURCES, is_source)]


def is_learning_rate(schedule: Schedule) -> bool:
    """
    Return whether a schedule gives numbers of at least 0 at the start and at the end.

    :param schedule: function of the remaining progress
    """
    try:
        rates = [float(schedule(progress)) for progress in (1.0, 0.0)]
    except Exception:  # somebody else's function
        return False
    return all(is_number(rate) and rate >= 0 for rate in rates)


LearningRate = (
    NonNegative
    | Annotated[
        Schedule, Allowed("a function from the remaining progress (1 to 0) to a number of at least 0", is_learning_rate)
    ]
)


def has_device(device: th.device | str) -> bool:
    """
    Return whether this machine has a device. SB3 uses the CPU where CUDA is missing.

    :param device: name or device of torch
    """
    if device == "auto":
        return True
    try:
        kind = th.device(device).type
        if kind == "meta":  # it has shapes but no values
            return False
        if kind != "cuda" or th.cuda.is_available():
            th.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError):
        return False
    return True


Device = Annotated[
    th.device | str, Allowed("a device that this machine has, such as 'auto', 'cpu' or 'cuda'", has_device)
]


def arguments_of(cls: type) -> Nested:
    """
    Return metadata that checks the entries of a mapping as arguments of a class.

    :param cls: class of the arguments
    """
    return Nested(lambda name, value: check_arguments(cls, value, f"{name} has no entry", f"{name}: "))


Frequency = Annotated[Literal["step", "episode"] | TrainFrequencyUnit, Allowed("'step' or 'episode'")]
#: Steps of each environment, or a pair of a number and a unit.
TrainFrequency = (
    Annotated[PositiveInt, Unit("steps")]
    | Annotated[tuple[PositiveInt, Frequency], Allowed("a number of episodes, such as (1, 'episode')")]
)


def as_timesteps(total: Any) -> int:
    """
    Convert a total number of timesteps to a whole number.

    :param total: number of timesteps as Stable-Baselines3 accepts it: 10_000, 1e4 or ``math.inf``
    :return: rounded up; infinity stays (typed as SB3 types it)
    :raises ValueError: it is negative or not a number
    """
    if isinstance(total, Real) and total == math.inf:
        return math.inf  # type: ignore[return-value]
    if not is_number(total) or total < 0:
        raise ValueError(f"total_timesteps is {shown(total)}; give a number of timesteps from 0 on.")
    return math.ceil(total)


def plain_train_freq(value: Any) -> Any:
    """
    Replace SB3's classes in ``train_freq``, which a zip would keep as pickles.

    :param value: checked before
    :return: a number, or a pair of a number and text
    """
    if not is_sequence(value):
        return value
    return tuple(each.value if isinstance(each, TrainFrequencyUnit) else each for each in value)


def as_train_freq(value: Any) -> TrainFreq:
    """
    Convert ``train_freq`` to SB3's class.

    :param value: steps of each environment, or a pair of a number and a unit, such as ``(1, "episode")``
    :raises ValueError: the value is neither
    """
    check("train_freq", value, TrainFrequency)
    number, unit = value if is_sequence(value) else (value, "step")
    return TrainFreq(int(number), TrainFrequencyUnit(unit))


# -------------------------------------------------------------------------------- arguments of a constructor


class Argument(NamedTuple):
    """
    An argument of a constructor.

    :param annotation: what is allowed; ``inspect.Parameter.empty`` where the signature does not say
    :param default: ``inspect.Parameter.empty`` where there is none
    :param owner: class whose constructor names it
    """

    annotation: Any
    default: Any
    owner: type


@cache
def arguments(cls: type) -> Mapping[str, Argument]:
    """
    Arguments that a constructor takes by keyword, when each class of the hierarchy names only its own and hands the
    rest on as ``**kwargs``. A ``**kwargs: Never`` takes no more.

    :param cls: class to construct
    :return: by name, those of the class before those of its ancestors
    """
    found: dict[str, Argument] = {}
    for ancestor, constructor in constructors(cls):
        parameters = list(inspect.signature(constructor).parameters.values())[1:]  # without self
        annotations = resolved(constructor.__annotations__, constructor.__globals__)
        for each in parameters:
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                annotation = annotations.get(each.name, each.empty)
                found.setdefault(each.name, Argument(annotation, each.default, ancestor))
        rest = [each.name for each in parameters if each.kind is each.VAR_KEYWORD]
        if not rest or annotations.get(rest[0]) is Never:
            break
    return found


def constructors(cls: type) -> Iterator[tuple[type, FunctionType]]:
    """
    Yield each class of a hierarchy that defines ``__init__``, with that function.

    :param cls: class to construct
    """
    for ancestor in cls.__mro__:
        constructor = vars(ancestor).get("__init__")
        if inspect.isfunction(constructor):
            yield ancestor, constructor


def resolved(annotations: Mapping[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """
    Evaluate annotations that are text.

    :param annotations: by the name of the argument or attribute
    :param names: of their module
    :return: those that can be evaluated; classes of others may use names that only a type checker imports
    """
    found: dict[str, Any] = {}
    for name, annotation in annotations.items():

        def alone() -> None: ...

        alone.__annotations__ = {name: annotation}
        try:  # SB3's type GymEnv refers to VecEnv by its name
            found |= get_type_hints(alone, names, {"VecEnv": VecEnv}, include_extras=True)
        except Exception:
            continue
    return found


def accepted_arguments(cls: type) -> set[str]:
    """
    Return the names of the arguments that a class takes, see :func:`arguments`.

    :param cls: class to construct
    """
    return set(arguments(cls))


def check_arguments(
    cls: type, values: Mapping[str, Any], unknown: str, prefix: str = "", given: Collection[str] = ()
) -> None:
    """
    Check names and values of arguments before the class is constructed.

    :param cls: class to construct
    :param values: arguments by name
    :param unknown: beginning of the message on an unknown name, such as "DT has no hyperparameter"
    :param prefix: put before the name in messages on values
    :param given: names that the caller passes, so that users cannot
    :raises TypeError: the class takes no such argument
    :raises ValueError: a value that its annotation does not allow
    """
    refuse_unknown(values, cls, unknown, given)
    for name, value in values.items():
        annotation, default, _ = arguments(cls)[name]
        if value is not default and annotation is not inspect.Parameter.empty:
            check(f"{prefix}{name}", value, annotation)


def refuse_unknown(names: Iterable[str], cls: type, unknown: str, given: Collection[str] = ()) -> None:
    """
    Refuse arguments that a class does not take.

    :param names: arguments given
    :param cls: class that should take them
    :param unknown: beginning of the message on an unknown name, such as "DT has no hyperparameter"
    :param given: names that the caller passes, so that users cannot
    :raises TypeError: the class takes no such argument
    """
    accepted = {name for name in arguments(cls).keys() - set(given) if not name.startswith("_")}
    for name in names:
        if name in accepted:
            continue
        hint = suggestion(name, accepted) if accepted else "it takes none."
        raise TypeError(f"{unknown} '{name}'; {hint}")
