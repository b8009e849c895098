"""Fields of agents and names in weights, varied one by one: everything that agents do not save is refused."""

import base64
import json
import pickle
import random
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import torch as th
from rl_zoo3.utils import ALGOS
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import LinearSchedule

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust import Untrusted, check_agent, check_torch
from gcrl_zoo.zoo.trust.agents import declared_in, fields_in
from gcrl_zoo.zoo.trust.allowed import AGENT_NAMES, STATISTICS, WEIGHTS
from gcrl_zoo.zoo.trust.fields import Fields
from gcrl_zoo.zoo.trust.pickled_arrays import NAMED
from gcrl_zoo.zoo.trust.pickles import Budget, check_pickle
from gcrl_zoo.zoo.trust.settings import OPTIONS
from gcrl_zoo.zoo.trust.values import declared_kind
from tests.support.case import TrajectoryCase, all_cases
from tests.support.hostile import text
from tests.support.matrix import every_case
from tests.support.ppo_inverse.method import PPOInverse

METHODS = [case.name for case in all_cases()]
#: Fields that may hold any plain string.
TEXTS = {"dataset", "stream", "tensorboard_log"}
SERIALIZED = ":serialized:"


def pickled(value):
    """Return a pickled value as Stable-Baselines3 saves it."""
    return {SERIALIZED: base64.b64encode(pickle.dumps(value)).decode()}


ODD = {
    "a module": "evil:X-v0",
    "a mapping": {"__class__": 1},
    "a list of lists": [[1]],
    "a number beyond all": 10**30,
    "not a number": float("nan"),
    "a pickled text": pickled("evil:X-v0"),
    "a pickled mapping": pickled({"__class__": 1}),
    "a pickled set": pickled({1}),
    "a pickled number of numpy beyond all": pickled(np.float64("inf")),
    "no pickle": {SERIALIZED: 1},
}


@pytest.fixture(scope="module")
def fields_of(tmp_path_factory):
    """Fields of a saved agent, by the name of its algorithm."""
    path, known = tmp_path_factory.mktemp("agents") / "agent.zip", {}

    def fields(name):
        if name not in known:
            stock = {"ppo": (PPO, "CartPole-v1"), "sac": (SAC, "Pendulum-v1")}
            if name in stock:
                algorithm, env_id = stock[name]
                algorithm("MlpPolicy", env_id, device="cpu", n_steps=8 if name == "ppo" else 1).learn(8).save(path)
            else:
                [case] = [case for case in all_cases() if case.name == name]
                case.make().learn(30).save(path)
            check_agent(path, name)
            with zipfile.ZipFile(path) as archive:
                known[name] = json.loads(archive.read("data"))
        return known[name]

    return fields


def is_accepted(algorithm, fields):
    """Whether the check accepts the fields; a refusal is one sentence."""
    try:
        fields_in(algorithm).check(json.dumps(fields).encode(), "here", Budget())
    except Untrusted as refusal:
        assert str(refusal).startswith("here") and "\n" not in str(refusal) and str(refusal).endswith(".")
        return False
    return True


@pytest.mark.parametrize("algorithm", ["bc", "dt", "gcsl_vicreg", "ppo", "sac"])
def test_odd_values_are_refused_in_all_fields(algorithm, fields_of):
    fields = fields_of(algorithm)
    texts = TEXTS | ({"ent_coef", "target_entropy"} if algorithm == "sac" else set())
    assert is_accepted(algorithm, fields)
    passed = [
        (name, odd)
        for name in fields
        for odd, value in ODD.items()
        if is_accepted(algorithm, {name: value}) and not (name in texts and odd in ("a module", "a pickled text"))
    ]
    assert not passed


@pytest.mark.parametrize("algorithm", ["bc", "dt", "gcsl_vicreg"])
def test_odd_values_are_refused_in_all_arguments_of_policies(algorithm, fields_of):
    fields = fields_of(algorithm)
    known = fields_in(algorithm).policy_kinds
    numbers = [name for name, kind in known.items() if "number" in kind.words and "mapping" not in kind.words]
    assert len(numbers) >= 3
    for name in numbers:
        for odd in ODD.values():
            assert not is_accepted(algorithm, {"policy_kwargs": {**fields["policy_kwargs"], name: odd}}), name
    for name in ("device", "observation_space", "lr_schedule", "__init__", "features_extractor", "kwargs"):
        assert not is_accepted(algorithm, {"policy_kwargs": {name: None}})


@every_case
def test_attributes_that_agents_do_not_save_are_refused(case):
    """Names of methods, of properties, of attributes that are not saved, and random names."""
    generator = random.Random(0)
    saved = fields_in(case.name).kinds.keys()
    invented = {"".join(generator.choices("abc_.", k=generator.randrange(1, 12))) for _ in range(50)}
    others = {*dir(case.algorithm), *vars(case.make()), *invented, "env", "_logger", "logger", "rollout_buffer"} - saved
    assert {"env", "learn", "_setup_model", "__class__", "policy", "logger"} <= others
    assert "_learner" in others or not isinstance(case, TrajectoryCase)
    for name in others:
        assert not is_accepted(case.name, {name: None}), name


def test_kinds_follow_from_the_base_class_and_the_annotations():
    """A subclass of PPO may save its arguments and the state that it annotates, and nothing of other algorithms."""
    own, ppo = Fields(PPOInverse), Fields(PPO)
    assert own.kinds.keys() - ppo.kinds.keys() == {"inverse_epochs", "n_inverse_updates"}
    assert own.policy_kinds.keys() - ppo.policy_kinds.keys() == {"inverse_arch"}
    assert own.kinds["n_inverse_updates"].holds(3) and not own.kinds["n_inverse_updates"].holds("3")
    assert own.kinds["inverse_epochs"].holds(1) and not own.kinds["inverse_epochs"].holds(0)
    for off_policy in ("train_freq", "exploration_rate", "log_ent_coef", "_random_streams", "dataset"):
        assert off_policy not in own.kinds
    buffers = "stable_baselines3.common.buffers"
    assert (buffers, "RolloutBuffer") in own.allowed and (buffers, "ReplayBuffer") not in own.allowed


def test_class_attributes_are_not_saved():
    """A module without postponed annotations holds ``ClassVar[...]`` itself, not its text."""
    assert declared_kind(ClassVar[dict[str, int]]) is None


def weights(value, path):
    """Return weights as torch saves them."""
    th.save(value, path)
    return path.read_bytes()


@pytest.mark.parametrize("algorithm", ["bc", "dt", "sac"])
def test_variables_are_those_that_are_declared(algorithm, tmp_path):
    _, declared = declared_in(algorithm)
    generator = random.Random(0)
    words = [
        "policy",
        "log_ent_coef",
        "ent_coef_tensor",
        "roles",
        "__class__",
        "data",
        "actor",
        "return_scale",
        "logger",
    ]
    paths = {".".join(generator.choices(words, k=generator.randrange(1, 5))) for _ in range(60)}
    for name in paths | set(declared):
        content = weights({name: th.zeros(1)}, tmp_path / "variables.pth")
        if name in declared:
            check_torch(content, "here", "pytorch_variables", declared)
            continue
        with pytest.raises(Untrusted, match=r"^here has the key .*, but the agent declares"):
            check_torch(content, "here", "pytorch_variables", declared)


def test_the_class_declares_what_is_saved(tmp_path):
    """Including further optimizers of a policy, and entropy coefficients that are learned or fixed."""
    assert declared_in("sac")[1] == {"log_ent_coef", "ent_coef_tensor"}
    for name in METHODS:
        [case] = [case for case in all_cases() if case.name == name]
        files, variables = case.make()._get_torch_save_params()
        assert declared_in(name) == (set(files), set(variables))


@pytest.mark.parametrize(
    "name", ["__class__", "a.__dict__", "a..b", ".a", "a b", "a/b", 1, "a" * 200, ".".join("a" * 50)]
)
def test_weights_have_names_of_parameters(name, tmp_path):
    check_torch(weights({"net.0.weight": th.zeros(1)}, tmp_path / "weights.pth"), "here")
    with pytest.raises(Untrusted, match="which is not the name of a parameter"):
        check_torch(weights({name: th.zeros(1)}, tmp_path / "weights.pth"), "here")
    with pytest.raises(Untrusted, match="which is not a tensor"):
        check_torch(weights({"a": 1}, tmp_path / "weights.pth"), "here")


# ------------------------------------------------------------------------------------ what is accepted

ACTIVATION = {"activation_fn": th.nn.ELU}
TALL = {"net_arch": {"pi": [32, 32], "vf": [64]}, "activation_fn": th.nn.LeakyReLU, "ortho_init": False}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a2c", {"policy_kwargs": TALL}),
        ("ppo", {"policy_kwargs": TALL, "clip_range_vf": 0.2, "target_kl": 0.1, "n_steps": 64}),
        (
            "ppo",
            {"policy_kwargs": {"features_extractor_class": FlattenExtractor}, "learning_rate": LinearSchedule(1, 0, 1)},
        ),
        ("sac", {"ent_coef": 0.1, "policy_kwargs": ACTIVATION}),
        ("sac", {"ent_coef": "auto_0.5", "target_entropy": -2.0, "train_freq": (1, "episode")}),
        (
            "td3",
            {"action_noise": NormalActionNoise(np.zeros(1), np.ones(1)), "policy_kwargs": {"net_arch": [400, 300]}},
        ),
        ("ddpg", {"action_noise": OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1)), "gradient_steps": -1}),
        ("dqn", {"policy_kwargs": {"net_arch": [256, 256]}, "train_freq": 4}),
        ("qrdqn", {"policy_kwargs": {"n_quantiles": 50}}),
        ("tqc", {"policy_kwargs": {"n_critics": 3}}),
        ("crossq", {}),
        ("trpo", {"policy_kwargs": {"activation_fn": th.nn.ReLU}}),
        ("ppo_lstm", {"policy_kwargs": {"lstm_hidden_size": 32, "enable_critic_lstm": False, "shared_lstm": True}}),
    ],
)
def test_stock_agents_of_many_settings_are_accepted(name, arguments, tmp_path):
    env_id = "Pendulum-v1" if name in ("sac", "td3", "ddpg", "tqc", "crossq") else "CartPole-v1"
    policy = "MlpLstmPolicy" if name == "ppo_lstm" else "MlpPolicy"
    ALGOS[name](policy, env_id, device="cpu", **arguments).save(tmp_path / "agent.zip")
    check_agent(tmp_path / "agent.zip", name)


@every_case
def test_agents_with_an_activation_are_accepted(case, tmp_path):
    case.make(policy_kwargs={"activation_fn": th.nn.GELU}).save(tmp_path / "agent.zip")
    check_agent(tmp_path / "agent.zip", case.name)


class OwnExtractor(FlattenExtractor):
    """A class that is not in SB3."""


def test_an_extractor_of_the_author_is_refused(tmp_path):
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"features_extractor_class": OwnExtractor}).save(
        tmp_path / "agent.zip"
    )
    message = (
        r"imports '.*OwnExtractor', but policy_kwargs .* may only name classes of torch and Stable-Baselines3; load"
    )
    with pytest.raises(Untrusted, match=message):
        check_agent(tmp_path / "agent.zip", "ppo")


@pytest.mark.parametrize("activation", th.nn.modules.activation.__all__)
def test_activations_of_torch_are_accepted(activation, fields_of):
    value = pickled({"activation_fn": getattr(th.nn, activation)})
    assert is_accepted("ppo", {**fields_of("ppo"), "policy_kwargs": value}) == (activation != "MultiheadAttention")


# ------------------------------------------------------------------ what pickles do with what they name

TABLES = [*AGENT_NAMES.values(), STATISTICS, WEIGHTS]
EVERYTHING = sorted({key: use for table in TABLES for key, use in table.items()}.items())


def named(module, name):
    return b"\x80\x04" + text(module) + text(name) + b"\x93"


@pytest.mark.parametrize(("allowed", "use"), EVERYTHING, ids=lambda each: each[1] if isinstance(each, tuple) else "")
def test_odd_arguments_and_states_are_refused(allowed, use):
    tables = [table for table in TABLES if table.get(allowed) is use]
    odd = [(3 * 10**9,), ("a", 3 * 10**9), ({},), ("__class__", [], None), (b"", b"", b"", b""), tuple("abcdefg")]
    for arguments in [(), *odd] if use is NAMED else odd:
        call = named(*allowed) + pickle.dumps(arguments, 4)[2:-1].removeprefix(b"\x95" + bytes(8)) + b"R."
        for table in tables:
            with pytest.raises(Untrusted):
                check_pickle(call, table, "here")
    if not use.call(()):
        return
    slots, dunder = b"N}" + text("seed") + b"Ns\x86", b"}" + text("__class__") + b"Ns"
    for state in (slots, dunder, b"K\x01", b"]"):
        build = named(*allowed) + b")R" + state + b"b."
        for table in tables:
            with pytest.raises(Untrusted):
                check_pickle(build, table, "here")


def test_members_of_enums_get_no_state():
    """A state would change the member in the whole process."""
    member = pickle.dumps(TrainFrequencyUnit.STEP)[:-1]
    freq = pickle.dumps(TrainFreq(1, TrainFrequencyUnit.STEP))
    allowed = AGENT_NAMES[OffPolicyAlgorithm]
    check_pickle(member + b".", allowed, "here")
    check_pickle(freq, allowed, "here")
    tampered = member + b"}" + text("touched") + b"K\x01sb."
    pickle.loads(tampered)
    assert vars(TrainFrequencyUnit.STEP).pop("touched") == 1
    for state in (b"}" + text("touched") + b"K\x01sb.", b"N}" + text("touched") + b"K\x01s\x86b.", b"K\x01b."):
        with pytest.raises(Untrusted, match=r"gives .*(TrainFrequencyUnit|getattr) an unexpected state"):
            check_pickle(member + state, allowed, "here")
        with pytest.raises(Untrusted, match=r"gives .*TrainFreq an unexpected state"):
            check_pickle(freq[:-1] + state, allowed, "here")


# --------------------------------------------------------------------------- tables that follow upstream


def test_options_are_those_of_the_script():
    import ast
    import inspect

    import rl_zoo3.train

    tree = ast.parse(inspect.getsource(rl_zoo3.train))
    flags = [
        [each.value for each in call.args if isinstance(each, ast.Constant)]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument"
    ]
    names = {max(each, key=len).lstrip("-").replace("-", "_") for each in flags}
    assert len(names) > 40 and names <= set(OPTIONS)


@pytest.mark.parametrize("algorithm", sorted(ALGOS.keys() - discover().keys()))
def test_stock_algorithms_declare_what_they_save(algorithm):
    files, _ = declared_in(algorithm)
    assert "policy" in files and {"learning_rate", "policy_kwargs", "seed"} <= fields_in(algorithm).kinds.keys() | {
        "seed"
    }
    assert "env" not in fields_in(algorithm).kinds
