"""An algorithm takes its own policies only, given by name, by class, or in a zip."""

import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.sac.policies import SACPolicy

from gcrl_zoo import BC, BCO
from gcrl_zoo.methods.bc.policies import BCPolicy
from tests.support.case import policy_for, trajectory_cases
from tests.support.matrix import every_trajectory_case


def policy_of(case):
    return case.algorithm.policy_aliases["MlpPolicy"]


def refusal(call, *words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and all(word in message for word in words), message


@every_trajectory_case
def test_policies_of_others_are_refused(case):
    env, name, own = case.env(), case.algorithm.__name__, policy_of(case).__name__
    refusal(lambda: case.algorithm("FooPolicy", env), name, "'FooPolicy'", "MlpPolicy, CnnPolicy, MultiInputPolicy")
    for policy in (ActorCriticPolicy, SACPolicy, dict):
        refusal(lambda policy=policy: case.algorithm(policy, env), name, f"is {policy.__name__}", f"subclass of {own}")
    for policy in (3, None, case.make(env).policy):
        words = f"an object of type {type(policy).__name__}", f"subclass of {own}"
        refusal(lambda policy=policy: case.algorithm(policy, env), name, *words)
    for other in trajectory_cases():
        if other.name != case.name:
            words = name, own, policy_of(other).__name__, f"of {other.algorithm.__name__})"
            refusal(lambda other=other: case.algorithm(policy_of(other), env), *words)
            theirs = type("Theirs", (policy_of(other),), {})
            refusal(lambda theirs=theirs: case.algorithm(theirs, env), name, "is Theirs", other.algorithm.__name__)


@every_trajectory_case
def test_own_policies_and_their_subclasses_are_taken(case, tmp_path):
    env = case.env()
    theirs = type("Theirs", (policy_of(case),), {})
    algorithm = type("Mine", (case.algorithm,), {})
    for policy in (policy_for(env.observation_space), policy_of(case), theirs):
        for cls in (case.algorithm, algorithm):
            model = cls(policy, env, **{**case.kwargs, "device": "cpu"})
            assert isinstance(model.policy, policy_of(case))


NAMES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")


def subclass(**attributes):
    return type("Mine", (BCO,), {"__module__": __name__, **attributes})


@pytest.mark.parametrize("annotation", [BCPolicy, "BCPolicy"])
def test_the_annotation_of_a_method_names_its_policy(annotation):
    others = {"helper": "OnlyForTypeCheckers"}
    method = subclass(__annotations__={**others, "policy": annotation})
    assert method.policy_aliases == dict.fromkeys(NAMES, BCPolicy)
    assert subclass(__annotations__=others).policy_aliases is BCO.policy_aliases


def test_aliases_that_a_method_defines_take_precedence():
    aliases = {"Small": BCPolicy}
    assert subclass(policy_aliases=aliases, __annotations__={"policy": "OnlyForTypeCheckers"}).policy_aliases == aliases
    assert BC.policy_aliases != aliases


@pytest.mark.parametrize("annotation", ["OnlyForTypeCheckers", "object", "BCPolicy | None", object])
def test_an_annotation_that_names_no_policy_is_refused(annotation):
    with pytest.raises(TypeError, match=r"^The annotation `policy: .*` of Mine .*\.$"):
        subclass(__annotations__={"policy": annotation})


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    """An agent of each method, and of two algorithms of SB3."""
    folder = tmp_path_factory.mktemp("zips")
    for case in trajectory_cases():
        case.make().save(folder / f"{case.algorithm.__name__}.zip")
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(folder / "PPO.zip")
    SAC("MlpPolicy", "Pendulum-v1", device="cpu").save(folder / "SAC.zip")
    return folder


@every_trajectory_case
def test_zips_of_others_are_refused(case, zips):
    for path in sorted(zips.iterdir()):
        if path.stem == case.algorithm.__name__:
            case.algorithm.load(path)
        else:
            refusal(lambda path=path: case.algorithm.load(path), f"{path} holds", case.algorithm.__name__, path.stem)
