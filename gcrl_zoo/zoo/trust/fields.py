"""
Check the attributes of an agent, which Stable-Baselines3 saves as JSON with some of them pickled.

SB3's ``load`` sets these attributes one by one. What they may be follows from the class: the annotated arguments of its
constructor, the attributes that it annotates itself, and the state of a run, which depends on the SB3 base class.
Everything else is refused, plain values too: an ``env`` that is a string, for example, would create an environment.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

from sb3_contrib import ARS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from gcrl_zoo.common.arguments import resolved
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.zoo.trust.allowed import AGENT_NAMES, UNIT_MADE, by_bases
from gcrl_zoo.zoo.trust.pickled_arrays import NAMED, is_bit_generator_state
from gcrl_zoo.zoo.trust.pickles import Budget, check_pickle
from gcrl_zoo.zoo.trust.refusal import BROKEN, Untrusted, described, refuse, shown
from gcrl_zoo.zoo.trust.spaces import SPACE
from gcrl_zoo.zoo.trust.stand_ins import is_a, names_class
from gcrl_zoo.zoo.trust.values import (
    ARRAYS,
    INFOS,
    NONE,
    NUMBER,
    SCHEDULE,
    TEXT,
    WHOLE,
    Kind,
    choice,
    declared_kind,
    kinds_of,
    sequence,
    whole,
)

SERIALIZED = ":serialized:"
MAX_JSON = 2**26  # bytes; nearly all are bounds of spaces and the last observations
MAX_VALUES = 2**16  # in the JSON text, counted by its separators
MAX_ENVS = 4096
STREAM = re.compile(r"[A-Za-z0-9+/=]{1,20000}")  # the state of a generator of torch
COUNT = whole(0)


def _are_streams(value: Any) -> bool:
    """Whether this is the saved state of ``RandomStreams``."""
    return (
        isinstance(value, dict)
        and value.keys() == {"numpy", "torch"}
        and is_bit_generator_state(value["numpy"])
        and isinstance(value["torch"], dict)
        and value["torch"].keys() <= {"cpu", "cuda"}
        and all(isinstance(text, str) and STREAM.fullmatch(text) for text in value["torch"].values())
    )


EPISODES = NONE | Kind(
    "results of episodes",
    lambda value: is_a(value, "collections.deque") and all(map(INFOS.holds, value.values)),
)
NOISE = tuple(f"stable_baselines3.common.noise.{kind}ActionNoise" for kind in ("Normal", "OrnsteinUhlenbeck"))


def _is_noise(value: Any) -> bool:
    """Whether this is action noise: mean, standard deviation, last value and dtype."""
    state = (value.state if is_a(value, *NOISE) else None) or {}
    return bool(state) and all(
        each is None or ARRAYS.holds(each) or NUMBER.holds(each) or (names_class(each) and each.name == "numpy.float32")
        for each in state.values()
    )


EMPTY_LIST = Kind("an empty list", lambda value: value == [])
TRAIN_FREQ = Kind(
    "steps or episodes",
    lambda value: is_a(value, "stable_baselines3.common.type_aliases.TrainFreq") and is_a(value.args[1], *UNIT_MADE),
)
#: The state of a run, which no constructor describes, by the base classes of the algorithm.
STATE: dict[type, dict[str, Kind]] = {
    BaseAlgorithm: {
        "observation_space": SPACE,
        "action_space": SPACE,
        "lr_schedule": SCHEDULE,
        "n_envs": whole(1, MAX_ENVS),
        "num_timesteps": COUNT,
        "start_time": NUMBER,
        "action_noise": NONE,
        "ep_info_buffer": EPISODES,
        "ep_success_buffer": EPISODES,
        "_total_timesteps": COUNT,
        "_num_timesteps_at_start": COUNT,
        "_last_obs": NONE | ARRAYS,
        "_last_episode_starts": NONE | ARRAYS,
        "_last_original_obs": NONE | ARRAYS,
        "_episode_num": COUNT,
        "_current_progress_remaining": NUMBER,
        "_stats_window_size": whole(1, 10**7),
        "_n_updates": COUNT,
    },
    OffPolicyAlgorithm: {
        "action_noise": NONE | Kind("noise of actions", _is_noise),
        "train_freq": TRAIN_FREQ | WHOLE,
        # Of DQN and QR-DQN, then of SAC and its variants.
        **{"_n_calls": COUNT, "n_quantiles": COUNT, "exploration_rate": NUMBER, "exploration_schedule": SCHEDULE},
        **dict.fromkeys(("log_ent_coef", "ent_coef_optimizer", "ent_coef_tensor"), NONE),
        **{f"{kind}batch_norm_stats{of}": EMPTY_LIST for kind in ("", "actor_", "critic_") for of in ("", "_target")},
    },
    ARS: {
        **{"delta_std_schedule": SCHEDULE, "processes": NONE},
        **dict.fromkeys(("n_params", "old_count", "pop_size"), COUNT),
    },
    TrajectoryAlgorithm: {
        "_random_streams": Kind("states of random generators", _are_streams),
        "dataset": NONE | TEXT,
        "stream": NONE | TEXT,
        "_left_out": sequence(choice("dataset", "stream")),
    },
}


def own_state(cls: type[BaseAlgorithm]) -> dict[str, Kind]:
    """
    The kinds of the attributes that a method annotates in its class body: ``n_inverse_updates: int``.

    :param cls: an algorithm
    :return: by name, what may be saved; annotations in classes of SB3 and its contrib package are ignored
    """
    kinds: dict[str, Kind] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith(("stable_baselines3.", "sb3_contrib.")):
            names = vars(sys.modules[base.__module__])
            for name, annotation in resolved(vars(base).get("__annotations__", {}), names).items():
                if kind := declared_kind(annotation):
                    kinds[name] = kind
    return kinds


#: Arguments that the algorithm passes to each policy.
GIVEN = {"observation_space", "action_space", "lr_schedule", "features_extractor", "args", "kwargs"}


class Fields:
    """
    What the fields of an agent may hold.

    :param cls: of the agent
    """

    def __init__(self, cls: type[BaseAlgorithm]) -> None:
        policies = set(cls.policy_aliases.values())
        classes = {(each.__module__, each.__qualname__): NAMED for each in policies}
        #: What pickled fields may name.
        self.allowed = {**by_bases(AGENT_NAMES, cls), **classes}
        # Stable-Baselines3's `load` creates an agent in this way before it sets the fields.
        agent = cls(next(iter(policies)), None, device="cpu", _init_setup_model=False)  # type: ignore[call-arg]
        saved = vars(agent).keys() - set(agent._excluded_save_params())
        self.kinds = {name: kind for name, kind in {**own_state(cls), **kinds_of(cls)}.items() if name in saved}
        self.kinds |= by_bases(STATE, cls)
        names = set(map(".".join, classes))
        self.kinds["policy_class"] = Kind(
            "a policy of its algorithm", lambda value: names_class(value) and value.name in names
        )
        self.policy_kinds = {
            name: kind for policy in policies for name, kind in kinds_of(policy).items() if name not in GIVEN
        }

    def check(self, data: bytes, where: str, budget: Budget) -> dict[str, Any]:
        """
        Check all fields of an agent.

        :param data: the JSON text
        :param where: for messages: the file, and the place in it
        :param budget: of the file
        :return: the fields, with stand-ins for what is pickled
        :raises Untrusted: a field or its value is not one that agents of this algorithm save
        """
        values = {}
        fields = _parsed(data, where)
        for name in sorted(fields, key=lambda name: name != "policy_class"):  # gives the best message
            if name not in self.kinds:
                refuse(where, f"has the field {shown(name)}, which agents of this algorithm do not save")
            place = f"{where}[{name}]"
            value = values[name] = self._unpickled(name, fields[name], place, budget)
            if not self.kinds[name].holds(value):
                refuse(place, f"is {shown(value)}, but must be {self.kinds[name].words}")
        for name, value in (values.get("policy_kwargs") or {}).items():
            place = f"{where}[policy_kwargs]"
            if name not in self.policy_kinds:
                refuse(place, f"has the entry {shown(name)}, which no policy of this algorithm takes")
            if not self.policy_kinds[name].holds(value):
                words = self.policy_kinds[name].words
                refuse(place, f"has {shown(value)} for {name}, which must be {words}")
        return values

    def _unpickled(self, name: str, value: Any, place: str, budget: Budget) -> Any:
        if not (isinstance(value, dict) and SERIALIZED in value):
            return value
        try:
            pickled = base64.b64decode(value[SERIALIZED].encode())  # as Stable-Baselines3 does
        except Exception as error:
            refuse(place, f"does not hold a pickle ({described(error)})", BROKEN)
        try:
            return check_pickle(pickled, self.allowed, place, budget)
        except Untrusted as refusal:
            if name == "policy_kwargs" and " imports " in str(refusal):
                hint = "but policy_kwargs of a downloaded agent may only name classes of torch and Stable-Baselines3"
                raise Untrusted(str(refusal).replace("which is not allowed", hint)) from None
            raise


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    """Parse JSON, within limits that are checked before."""
    if len(data) > MAX_JSON:
        refuse(where, f"has {len(data)} bytes, which exceeds the limit of {MAX_JSON}")
    values = sum(map(data.count, (b",", b"[", b"{", b":")))
    if values > MAX_VALUES:
        refuse(where, f"has {values} values, which exceeds the limit of {MAX_VALUES}")
    try:
        fields = json.loads(data.decode())
    except Exception as error:
        refuse(where, f"does not hold the arguments of an agent ({described(error)})", BROKEN)
    if not isinstance(fields, dict):
        refuse(where, f"holds {shown(fields)}, but must map names to values", BROKEN)
    return fields
