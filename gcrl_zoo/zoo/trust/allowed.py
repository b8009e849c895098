"""What the pickles of honest agents name, found by saving agents of all methods, spaces and schedules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Global = tuple[str, str]


@dataclass(frozen=True)
class Use:
    """
    What a pickle may do with something that it names.

    :param call: of the arguments, whether it may be called with them
    :param state: of a state, whether that may be given to what the call makes
    """

    call: Callable[[tuple[Any, ...]], bool] = lambda args: True
    state: Callable[[Any], bool] = lambda state: True


def never(_: Any) -> bool:
    """No arguments are right, or no state."""
    return False


# Nothing FREE looks up, imports or calls by a name that is given to it: whatever the arguments, no code of theirs runs.
FREE = Use()
NAMED = Use(call=never)  # passed on as a class, never called
# Made without arguments and filled by a state, as classes are by default. One of slots could set `__class__`.
EMPTY = Use(call=lambda args: not args, state=lambda state: type(state) is dict)

# numpy trusts what it is given: a dtype with objects or fields has it take bytes for pointers, one that is no copy is
# numpy's own and changes for all, and an array that is filled anew leaves its views behind on freed memory.
ARRAYS = {
    ("numpy", "dtype"): Use(
        call=lambda args: bool(re.fullmatch(r"[biufc]\d{1,2}", args[0])) and args[1:] == (False, True),
        state=lambda state: (
            state[0] == 3 and state[1] in ("<", ">", "|") and state[2:] == (None, None, None, -1, -1, 0)
        ),
    ),
    ("numpy", "ndarray"): NAMED,
    ("numpy._core.multiarray", "_reconstruct"): Use(
        call=lambda args: args[1:] == ((0,), b"b"),
        state=lambda state: state[0] == 1 and type(state[4]) is bytes,
    ),
    ("numpy._core.multiarray", "scalar"): Use(call=lambda args: type(args[1]) is bytes, state=never),
    ("numpy._core.numeric", "_frombuffer"): Use(call=lambda args: type(args[0]) in (bytes, bytearray), state=never),
}
# The generator that a space draws its samples from.
GENERATORS = {
    ("numpy.random._pickle", "__generator_ctor"): Use(
        call=lambda args: len(args) == 1 and not isinstance(args[0], type)  # a class, or a second one, would be called
    ),
    ("numpy.random._pickle", "__bit_generator_ctor"): Use(call=lambda args: args[0].name.endswith(".PCG64")),
    ("numpy.random._pcg64", "PCG64"): NAMED,
    ("numpy.random.bit_generator", "SeedSequence"): NAMED,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): FREE,
}
SPACES = {
    ("gymnasium.spaces.box", "Box"): EMPTY,
    ("gymnasium.spaces.dict", "Dict"): EMPTY,
    ("gymnasium.spaces.discrete", "Discrete"): EMPTY,
    ("gymnasium.spaces.multi_binary", "MultiBinary"): EMPTY,
    ("gymnasium.spaces.multi_discrete", "MultiDiscrete"): EMPTY,
    ("collections", "OrderedDict"): EMPTY,
    **ARRAYS,
    **GENERATORS,
}
# By name, as classes that RL Zoo and Stable-Baselines3 have. A schedule that is a function of its author's comes as
# code, and that is what this module is against.
SCHEDULES = {
    ("rl_zoo3.utils", "SimpleLinearSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "ConstantSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "FloatSchedule"): EMPTY,
    ("stable_baselines3.common.utils", "LinearSchedule"): EMPTY,
}
ACTIVATIONS = ("ELU", "GELU", "LeakyReLU", "Mish", "ReLU", "SiLU", "Softplus", "Tanh")
OPTIMIZERS = ("Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
# What `policy_kwargs` may name.
CLASSES = {
    **{("torch.nn.modules.activation", name): NAMED for name in ACTIVATIONS},
    **{(f"torch.optim.{name.lower()}", name): NAMED for name in OPTIMIZERS},
    ("stable_baselines3.common.sb2_compat.rmsprop_tf_like", "RMSpropTFLike"): NAMED,
}
AGENT = {**SPACES, **SCHEDULES, **CLASSES, ("collections", "deque"): FREE}
STATISTICS = {
    **SPACES,
    ("stable_baselines3.common.running_mean_std", "RunningMeanStd"): EMPTY,
    ("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"): EMPTY,
}
STORAGES = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
WEIGHTS = {
    ("collections", "OrderedDict"): EMPTY,
    # Of a storage, for which the reader gives its length: a large tensor may show the same few numbers many times.
    ("torch._utils", "_rebuild_tensor_v2"): Use(call=lambda args: math.prod(args[2]) <= args[0]),
    **{("torch", f"{name}Storage"): NAMED for name in STORAGES},
}
UNIT = "stable_baselines3.common.type_aliases", "TrainFrequencyUnit"
# What agents of Stable-Baselines3 and its contrib package need beyond ours.
STOCK = {
    # Up to Python 3.11.3 a member of an enum is pickled by its name: the one name that is looked up, in the one class.
    ("builtins", "getattr"): Use(
        call=lambda args: (
            isinstance(args[0], type)
            and getattr(args[0], "name", "") == ".".join(UNIT)
            and args[1:] in (("STEP",), ("EPISODE",))
        ),
        state=never,
    ),
    ("stable_baselines3.common.type_aliases", "TrainFreq"): Use(call=lambda args: type(args[0]) is int),
    UNIT: FREE,
    ("stable_baselines3.her.her_replay_buffer", "HerReplayBuffer"): NAMED,
    ("sb3_contrib.common.recurrent.buffers", "RecurrentRolloutBuffer"): NAMED,
    ("sb3_contrib.common.recurrent.buffers", "RecurrentDictRolloutBuffer"): NAMED,
    **{
        ("stable_baselines3.common.buffers", f"{kind}Buffer"): NAMED
        for kind in ("Replay", "DictReplay", "NStepReplay", "Rollout", "DictRollout")
    },
}
