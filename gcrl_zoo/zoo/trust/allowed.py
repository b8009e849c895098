"""What pickles may name: lists found by saving agents of all methods with all spaces and schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from gcrl_zoo.nets.activations import NAMES as ACTIVATIONS
from gcrl_zoo.zoo.trust.pickled_arrays import ARRAYS, GENERATORS, NAMED, are_sizes
from gcrl_zoo.zoo.trust.stand_ins import Global, Use, is_a, names_class


def is_state_of_names(state: Any) -> bool:
    """Whether a state is a plain dict, the default of classes. A state for slots could set ``__class__``."""
    return type(state) is dict and all(type(name) is str and not name.startswith("__") for name in state)


# Created without arguments and filled by a state. The user of the object checks what the state holds.
EMPTY = Use(call=lambda args: not args, state=is_state_of_names)
ORDERED = Use(call=lambda args: not args, filled=True)

SPACES: dict[Global, Use] = {
    ("gymnasium.spaces.box", "Box"): EMPTY,
    ("gymnasium.spaces.dict", "Dict"): EMPTY,
    ("gymnasium.spaces.discrete", "Discrete"): EMPTY,
    ("gymnasium.spaces.multi_binary", "MultiBinary"): EMPTY,
    ("gymnasium.spaces.multi_discrete", "MultiDiscrete"): EMPTY,
    ("collections", "OrderedDict"): ORDERED,
    **ARRAYS,
    **GENERATORS,
}
# Classes of RL Zoo and Stable-Baselines3 only: a schedule that is a function of the author is pickled as code.
SCHEDULES: dict[Global, Use] = {
    ("rl_zoo3.utils", "SimpleLinearSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "ConstantSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "FloatSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "LinearSchedule"): EMPTY,
}
OPTIMIZERS = ("Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
EXTRACTORS = ("CombinedExtractor", "FlattenExtractor", "NatureCNN")
# What `policy_kwargs` may name.
CLASSES: dict[Global, Use] = {
    **{("torch.nn.modules.activation", name): NAMED for name in ACTIVATIONS},
    **{(f"torch.optim.{name.lower()}", name): NAMED for name in OPTIMIZERS},
    **{("stable_baselines3.common.torch_layers", name): NAMED for name in EXTRACTORS},
    ("stable_baselines3.common.sb2_compat.rmsprop_tf_like", "RMSpropTFLike"): NAMED,
}
# Statistics of the last episodes, with a maximal length.
DEQUE = Use(
    call=lambda args: len(args) == 2 and args[0] in ((), []) and (args[1] is None or type(args[1]) is int), filled=True
)
STATISTICS: dict[Global, Use] = {
    **SPACES,
    ("stable_baselines3.common.running_mean_std", "RunningMeanStd"): EMPTY,
    ("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"): EMPTY,
}
#: Storages of tensors, by the bytes of a number.
STORAGES = {"BFloat16": 2, "Bool": 1, "Byte": 1, "Char": 1, "Double": 8, "Float": 4, "Half": 2}
STORAGES |= {"Int": 4, "Long": 8, "Short": 2}


def is_tensor(args: tuple[Any, ...]) -> bool:
    """
    Whether these are the arguments of a tensor: size of its storage, offset, shape, strides, ``requires_grad``, hooks.

    All of its entries must lie in the storage, each once: strides of 0 would let a few numbers fill any shape.
    """
    if len(args) != 6:
        return False
    length, offset, shape, strides, gradient, hooks = args
    if not (type(length) is int and are_sizes((offset,)) and are_sizes(shape) and are_sizes(strides)):
        return False
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=False))
    fits = math.prod(shape) <= length and (last < length or 0 in shape)
    return len(shape) == len(strides) and fits and type(gradient) is bool and is_a(hooks, "collections.OrderedDict")


WEIGHTS: dict[Global, Use] = {
    # torch saves the versions of modules beside their weights.
    ("collections", "OrderedDict"): Use(
        call=lambda args: not args,
        state=lambda state: type(state) is dict and state.keys() == {"_metadata"},
        filled=True,
    ),
    ("torch._utils", "_rebuild_tensor_v2"): Use(call=is_tensor),
    **{("torch", f"{name}Storage"): NAMED for name in STORAGES},
}
UNIT = "stable_baselines3.common.type_aliases", "TrainFrequencyUnit"
UNIT_MADE = (".".join(UNIT), "builtins.getattr")
BUFFERS = "stable_baselines3.common.buffers"
RECURRENT_BUFFERS = "sb3_contrib.common.recurrent.buffers"

#: What the pickled fields of an agent may name, by the base classes of its algorithm.
AGENT_NAMES: dict[type, dict[Global, Use]] = {
    BaseAlgorithm: {**SPACES, **SCHEDULES, **CLASSES, ("collections", "deque"): DEQUE},
    OnPolicyAlgorithm: {
        **{(BUFFERS, name): NAMED for name in ("RolloutBuffer", "DictRolloutBuffer")},
        **{(RECURRENT_BUFFERS, name): NAMED for name in ("RecurrentRolloutBuffer", "RecurrentDictRolloutBuffer")},
    },
    OffPolicyAlgorithm: {
        **{(BUFFERS, name): NAMED for name in ("ReplayBuffer", "DictReplayBuffer", "NStepReplayBuffer")},
        ("stable_baselines3.her.her_replay_buffer", "HerReplayBuffer"): NAMED,
        # Up to Python 3.11.3 a member of an enum is pickled by its name: only this class and these two names.
        ("builtins", "getattr"): Use(
            call=lambda args: (
                len(args) == 2
                and names_class(args[0])
                and args[0].name == ".".join(UNIT)
                and args[1] in ("STEP", "EPISODE")
            )
        ),
        UNIT: Use(call=lambda args: args in (("step",), ("episode",))),
        ("stable_baselines3.common.type_aliases", "TrainFreq"): Use(
            call=lambda args: len(args) == 2 and type(args[0]) is int and is_a(args[1], *UNIT_MADE)
        ),
        ("stable_baselines3.common.noise", "NormalActionNoise"): EMPTY,
        ("stable_baselines3.common.noise", "OrnsteinUhlenbeckActionNoise"): EMPTY,
        ("numpy", "float32"): NAMED,
    },
}


def by_bases(table: Mapping[type, Mapping[Any, Any]], cls: type) -> dict[Any, Any]:
    """
    Merge the rows of a table that apply to a class.

    :param table: by base class
    :param cls: an algorithm
    :return: the entries of all its base classes; those of a subclass replace those of its parents
    """
    return {key: value for base in reversed(cls.__mro__) for key, value in table.get(base, {}).items()}
