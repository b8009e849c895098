"""Every argument against odd values: accepted as its annotation says, or refused in one sentence."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types as at
import numpy as np
import optuna
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv

from gcrl_zoo.common.actions import BOX_HEADS
from gcrl_zoo.common.annotations import is_pair_type, is_sequence_type, is_union, unfold
from gcrl_zoo.common.arguments import (
    Argument,
    Count,
    Device,
    LargeCount,
    Widths,
    accepted_arguments,
    arguments,
    check_arguments,
)
from gcrl_zoo.common.arguments import (
    Fraction as Share,
)
from gcrl_zoo.common.policy_arguments import FROM_SB3
from gcrl_zoo.common.values import check, fits
from gcrl_zoo.common.wording import SHOWN_LENGTH, in_words, shown
from gcrl_zoo.data.checks import is_number
from gcrl_zoo.losses.vicreg import VICRegLoss
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.hyperparams import ZOO_KEYS, compose
from tests.common.test_bad_input import refusal
from tests.project.test_house import blocks, own_methods
from tests.support.case import trajectory_cases
from tests.support.envs import make_store
from tests.support.matrix import every_trajectory_case


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD: list[Any] = [
    *(None, True, False, np.True_, "", "False", "'False'", "true", "1e-3", "1e6", "nan", "auto", "tpu", b"1"),
    *(0, 1, -1, 2, 10**12, 10**400, -(10**400), 0.5, 1.5, 32.0, -0.5, 1e12, 1e300, 1e-300, math.nan, math.inf),
    *(1j, Fraction(1, 2), np.int64(3), np.float32(0.5), np.float64(math.nan), np.uint8(200), np.str_("auto")),
    *([], {}, (), set(), [0], [64.0], [-1], [True], ["64"], [math.nan], [[64]], [64] * 1000, (1, "episode")),
    *(np.array(3), np.array([3, 4]), np.zeros((2, 2)), th.tensor(3), th.tensor([1.0]), th.device("cpu"), range(3)),
    *(object(), object, int, th.optim.Optimizer, th.optim.Adam, PPO, ActorCriticPolicy, len, lambda: 1, Path("x")),
    *({"a": 1}, {"align": -1}, {"unlabelled": 0.5}, {1: 2}, {"variance": math.nan}, {"lr": 1}, {"n_bins": 1}),
    Unprintable(),
    "many\nlines",
]


#: What the package gives itself, or tests of other subjects try.
NOT_OF_USERS = {"policy", "env", "features_dim", "low", "high", *FROM_SB3}


def described() -> Iterator[Any]:
    """Each class that a user gives arguments to, and those that it takes from others."""
    for case in trajectory_cases():
        yield pytest.param(case.algorithm, {"policy", "env"}, id=str(case))
        policy = case.algorithm.policy_aliases["MlpPolicy"]
        yield pytest.param(policy, FROM_SB3, id=policy.__name__)
    for head in BOX_HEADS.values():
        yield pytest.param(head, {"features_dim", "low", "high"}, id=head.__name__)
    yield pytest.param(VICRegLoss, set(), id="VICRegLoss")


every_class = pytest.mark.parametrize(("cls", "given"), list(described()))


def told(cls: type, given: set[str]) -> dict[str, Argument]:
    """What a user may give by name."""
    return {name: each for name, each in arguments(cls).items() if name not in given and not name.startswith("_")}


@every_class
def test_every_argument_is_described_and_its_default_fits(cls, given):
    for name, argument in told(cls, given).items():
        assert argument.annotation is not inspect.Parameter.empty, name
        assert argument.default is inspect.Parameter.empty or fits(argument.default, argument.annotation), name
        words = in_words(argument.annotation)
        assert not any(jargon in words for jargon in ("typing", "collections", "~", "<", "Annotated")), words
        if unfold(argument.annotation)[0] in (int, float):
            assert fits(argument.default, argument.annotation) and not fits("many", argument.annotation)


def owners() -> list[Any]:
    """Each class whose constructor names arguments, once."""
    found = {each.owner for parameters in described() for each in told(*parameters.values).values()}
    return [pytest.param(owner, id=owner.__name__) for owner in sorted(found, key=lambda owner: owner.__name__)]


@pytest.mark.parametrize("cls", owners())
def test_odd_values_are_accepted_or_refused_in_one_sentence(cls):
    for name, argument in told(cls, NOT_OF_USERS).items():
        for value in ODD if argument.owner is cls else ():
            try:
                check_arguments(cls, {name: value}, "argument")
            except (TypeError, ValueError) as error:
                sentence = str(error)
                assert name in sentence and "\n" not in sentence and sentence.endswith((".", "?")), sentence
                assert len(sentence) < 400, sentence
            else:
                assert value is argument.default or plausible(value, argument.annotation), (name, value)


def plausible(value: Any, annotation: Any) -> bool:
    """A second opinion on the coarse type, for what the checks accept."""
    base, metadata = unfold(annotation)
    if is_union(base):
        return any(plausible(value, choice) for choice in get_args(base))
    if base in (int, float):
        limits = [each for each in metadata if isinstance(each, at.Ge | at.Gt)]
        low = [each.ge if isinstance(each, at.Ge) else each.gt for each in limits]
        return is_number(value) and abs(float(value)) < 1e39 and all(value >= each for each in low)
    if base is bool:
        return value is True or value is False or value is np.True_
    if get_origin(base) is Literal:
        return value in get_args(base)
    if is_pair_type(base):
        return len(value) == 2 and all(map(plausible, value, get_args(base)))
    if is_sequence_type(base):
        return (
            isinstance(value, Iterable)
            and not isinstance(value, str)
            and all(plausible(each, get_args(base)[0]) for each in value)
        )
    if get_origin(base) is type:
        return issubclass(value, get_args(base)[0])
    return isinstance(value, base) if isinstance(base, type) else isinstance(value, Mapping) or callable(value)


# ----------------------------------------------------------------------------------------- where they are checked


@every_trajectory_case
def test_each_argument_is_checked_by_the_constructor_and_by_load(case, tmp_path, monkeypatch):
    built = case.make()
    built.save(tmp_path / "agent")
    monkeypatch.setattr(built.policy_class, "__init__", lambda *_, **__: pytest.fail("a network was built"))
    for name in told(case.algorithm, {"policy", "env"}):
        refusal(ValueError, lambda: case.algorithm("MlpPolicy", case.env(), **{name: object}), name)  # noqa: B023
        refusal(ValueError, lambda: case.algorithm.load(tmp_path / "agent", **{name: object}), name)  # noqa: B023
    for name in told(case.algorithm.policy_aliases["MlpPolicy"], FROM_SB3):
        refusal(ValueError, lambda: case.make(policy_kwargs={name: len}), "policy_kwargs", name)  # noqa: B023


@every_trajectory_case
def test_what_stable_baselines_has_beyond_our_arguments_is_unknown(case, tmp_path):
    """It would be accepted and do nothing."""
    case.make().save(tmp_path / "agent")
    for name in ("use_sde", "sde_sample_freq", "monitor_wrapper", "support_multi_env", "supported_action_spaces"):
        assert name not in accepted_arguments(case.algorithm)
        refusal(TypeError, lambda: case.make(**{name: True}), f"'{name}'")  # noqa: B023
        refusal(TypeError, lambda: case.algorithm.load(tmp_path / "agent", **{name: True}), f"'{name}'")  # noqa: B023
    ignored = ("squash_output", "normalize_images", "features_extractor", "use_sde", "lr_schedule", "action_space")
    for name in ignored:
        refusal(TypeError, lambda: case.make(policy_kwargs={name: True}), f"'{name}'", "policy_kwargs")  # noqa: B023
    refusal(TypeError, lambda: case.algorithm.load(tmp_path / "agent", policy="MlpPolicy"), "'policy'")
    refusal(TypeError, lambda: case.make(_secret=1), "'_secret'")


@every_trajectory_case
def test_the_policy_and_the_environment(case):
    for policy in ("MlPolicy", 5, int, None, PPO):
        refusal(ValueError, lambda: case.algorithm(policy, case.env()), "policy", "MlpPolicy")  # noqa: B023
    for env in (5, object(), int, {}):
        refusal(ValueError, lambda: case.algorithm("MlpPolicy", env), "env", "an environment")  # noqa: B023


@every_trajectory_case
def test_a_width_of_the_representation_that_the_policy_chooses(case):
    """A name of the parent's that the policy fills itself."""
    policy = case.algorithm.policy_aliases["MlpPolicy"]
    if "representation_dim" not in arguments(policy):
        refusal(TypeError, lambda: case.make(policy_kwargs={"representation_dim": 8}), "'representation_dim'")


@every_trajectory_case
@pytest.mark.parametrize(
    "kwargs",
    [
        {"optimizer_class": th.optim.LBFGS},
        {"optimizer_class": th.optim.SparseAdam},
        {"optimizer_class": th.optim.Optimizer},
        {"optimizer_kwargs": {"lr": 1e-3}},
        {"optimizer_kwargs": {"momentum": 0.9}},
        {"optimizer_kwargs": {"betas": 0.9}},
        {"optimizer_kwargs": {"weight_decay": -1}},
        {"optimizer_class": th.optim.SGD, "optimizer_kwargs": {"nesterov": True}},
    ],
    ids=str,
)
def test_optimizers_that_cannot_train_a_policy(case, kwargs):
    refusal(ValueError, lambda: case.make(policy_kwargs=kwargs), "policy_kwargs", "optimizer_")


@every_trajectory_case
def test_an_optimizer_of_choice(case):
    kwargs = {"optimizer_class": th.optim.SGD, "optimizer_kwargs": {"momentum": 0.9}}
    model = case.make(dataset=make_store(), policy_kwargs=kwargs).learn(1)
    assert type(model.policy.optimizer) is th.optim.SGD


@every_trajectory_case
@pytest.mark.parametrize("name", ["stats_window_size", "verbose"])
def test_load_replaces_what_stable_baselines_keeps(case, name, tmp_path):
    case.make().save(tmp_path / "agent")
    loaded = case.algorithm.load(tmp_path / "agent", **{name: 2})
    assert vars(loaded)["_stats_window_size" if name == "stats_window_size" else name] == 2


def test_options_of_a_head_for_actions_that_have_none():
    case = next(case for case in trajectory_cases() if str(case) == "bc")
    make = lambda: case.make(policy_kwargs={"action_head_kwargs": {"squash": True}})  # noqa: E731
    refusal(TypeError, make, "'squash'", "categorical", "takes none")


# ------------------------------------------------------------------------------------------ what is accepted works


def edges(annotation: Any) -> Iterator[Any]:
    """The least of what is allowed, and numbers of NumPy."""
    base, metadata = unfold(annotation)
    if is_union(base):
        for choice in get_args(base):
            yield from edges(choice)
    elif base in (int, float):
        low = max([each.ge for each in metadata if isinstance(each, at.Ge)], default=0.01)
        yield base(low)
        yield (np.int64 if base is int else np.float32)(low)
    elif base is bool:
        yield from (True, np.False_)
    elif get_origin(base) is Literal:
        yield from get_args(base)
    elif is_sequence_type(base) and not is_pair_type(base):
        for each in edges(get_args(base)[0]):
            yield [each, each]
            yield np.array([each, each])
    elif base is type(None):
        yield None


def edge_cases() -> Iterator[Any]:
    """Arguments of each class, those that all have in common once."""
    seen = set()
    for case in trajectory_cases():
        for cls, kind in ((case.algorithm, "algorithm"), (case.algorithm.policy_aliases["MlpPolicy"], "policy")):
            for name, argument in told(cls, NOT_OF_USERS).items():
                if (argument.owner, name) not in seen:
                    seen.add((argument.owner, name))
                    yield pytest.param(case, kind, name, argument.annotation, id=f"{case}-{name}")


#: Edges that need another argument with them, or that the tests of their subject try.
ELSEWHERE = {"action_head", "embed_dim", "goal_strategy", "own_play", "policy_kwargs", "resume"}
ELSEWHERE |= {"calibrated_labels", "inverse_arch", "inverse_input", "random_rest"}


@pytest.mark.parametrize(("case", "kind", "name", "annotation"), list(edge_cases()))
def test_the_least_that_is_allowed_trains(case, kind, name, annotation):
    for value in edges(annotation) if name not in ELSEWHERE else ():
        given = {name: value} if kind == "algorithm" else {"policy_kwargs": {name: value}}
        case.make(**{"dataset": make_store(), **given}).learn(2)


@pytest.mark.parametrize("value", [0.99, np.float32(0.5)])
def test_the_most_dropout_that_is_allowed_trains(value):
    case = next(case for case in trajectory_cases() if str(case) == "dt")
    assert case.make(dataset=make_store(), policy_kwargs={"dropout": value}).learn(2)


def test_more_than_anybody_needs_is_refused_before_it_takes_the_memory():
    case = next(case for case in trajectory_cases() if str(case) == "dt")
    for name in ("n_layers", "embed_dim", "context_length", "n_heads", "max_timesteps", "image_features"):
        refusal(ValueError, lambda: case.make(policy_kwargs={name: 10**9}), name, "1000000000")  # noqa: B023
    case = next(case for case in trajectory_cases() if str(case) == "bc")
    refusal(ValueError, lambda: case.make(policy_kwargs={"net_arch": [4] * 10**5}), "net_arch", "from 1 to")
    refusal(ValueError, lambda: case.make(batch_size=10**12), "batch_size")


# ----------------------------------------------------------------------------------------------------- the YAML


@pytest.mark.parametrize(("method", "preset", "env_id"), list(blocks()))
def test_the_values_of_every_block_fit(method, preset, env_id):
    _, block = compose(method, preset, env_id)
    given = {name: value for name, value in block.items() if name not in ZOO_KEYS | {"policy"}}
    if isinstance(given.get("learning_rate"), str):  # RL Zoo makes a schedule of it
        assert given.pop("learning_rate").startswith("lin_")
    policy_kwargs = given.get("policy_kwargs") or {}
    check_arguments(method.algorithm, given, "hyperparameter")
    check_arguments(method.algorithm.policy_aliases["MlpPolicy"], policy_kwargs, "entry", given=FROM_SB3)


@pytest.mark.parametrize("method", own_methods(), ids=lambda method: method.name)
def test_what_a_search_draws_fits(method):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        drawn = method.search_space(study.ask())
        policy_kwargs = drawn.get("policy_kwargs", {})
        check_arguments(method.algorithm, drawn, "hyperparameter")
        check_arguments(method.algorithm.policy_aliases["MlpPolicy"], policy_kwargs, "entry", given=FROM_SB3)


# ------------------------------------------------------------------------------------------- classes of other people


class Theirs(PPO):
    def __init__(
        self,
        env: GymEnv | str | None,
        alpha,
        beta: Nowhere = 1,  # noqa: F821
        gamma: float = None,  # noqa: RUF013
        n_targets: Annotated[int, at.Ge(1)] = 1,
        **kwargs: Any,
    ) -> None: ...


def test_arguments_of_other_peoples_classes_are_known_and_not_refused():
    assert {"alpha", "beta", "n_steps", "device"} <= accepted_arguments(Theirs)
    message = "Theirs has no argument"
    check_arguments(Theirs, {"alpha": object(), "beta": -1, "gamma": None, "env": "CartPole-v1"}, message)
    for name, value in {"gamma": "high", "n_targets": 0, "env": 5}.items():
        refusal(ValueError, lambda: check_arguments(Theirs, {name: value}, message), name)  # noqa: B023
    with pytest.raises(TypeError, match=r"Theirs has no argument 'alpah'; did you mean 'alpha'\?"):
        check_arguments(Theirs, {"alpah": 1}, message)


# ------------------------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("value", "annotation", "sentence"),
    [
        (16.0, Count, "x is 16.0; give a whole number from 0 to 1,000,000,000,000, such as 16."),
        (1e6 + 0.5, LargeCount, "x is 1000000.5; give a whole number from 0 to 1,000,000,000,000, such as 1000000."),
        (0, Share, "x is 0; give a number in (0, 1]."),
        (2.0, Share, "x is 2.0; give a number in (0, 1]."),
        ("1", Share, "x is the text '1' (write 1 without quotes); give a number in (0, 1]."),
        (None, Share, "x is None; give a number in (0, 1], or leave it out for its default."),
        ("1e-3", float, "x is the text '1e-3' (YAML reads 1e3 and 1e-3 as text: write 0.001); give a finite number."),
        ("'False'", bool | None, "x is the text \"'False'\" (write False without quotes); give True, False or None."),
        (1, bool, "x is 1; give True or False."),
        (True, int, "x is True; give a whole number."),
        ([64.0], Widths, "x[0] is 64.0; give a whole number from 1 to 8,192, such as 64."),
        ("tpu", Device, "x is 'tpu'; give a device that this machine has, such as 'auto', 'cpu' or 'cuda'."),
        ("c", Literal["a", "b"], "x is 'c'; give 'a' or 'b'."),
        ((1, "day"), tuple[int, Literal["step", "episode"]], "x[1] is 'day'; give 'step' or 'episode'."),
        (5, Annotated[int, at.Ge(6), at.Unit("steps")], "x is 5; give a whole number of steps of at least 6."),
        ({"a": -1}, Mapping[str, Annotated[float, at.Gt(0)]] | None, "x: 'a' is -1; give a number above 0."),
        ({1: 1}, Mapping[Literal["a"], int], "A name in x is 1; give 'a'."),
    ],
)
def test_the_sentences(value, annotation, sentence):
    with pytest.raises(ValueError) as caught:
        check("x", value, annotation)
    assert str(caught.value) == sentence


def test_values_are_shown_on_one_short_line():
    for value in ODD:
        assert "\n" not in shown(value) and len(shown(value)) < 2 * SHOWN_LENGTH
    assert shown(10**5000) == "a int" or len(shown(10**5000)) <= SHOWN_LENGTH


def test_these_tests_see_what_they_should():
    assert len(list(edge_cases())) > 60 and len(ODD) > 70
    assert {"batch_size", "device", "policy_kwargs"} <= told(own_methods()[0].algorithm, {"env"}).keys()
    assert set(discover()) >= {str(case) for case in trajectory_cases()}
