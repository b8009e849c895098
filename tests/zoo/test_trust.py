"""The trust check accepts saved runs and refuses tampered ones, naming the offending value and running no code."""

import _compat_pickle
import importlib
import pickle
import re
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import rl_zoo3
import torch as th
import yaml
from rl_zoo3.utils import ALGOS, linear_schedule
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust import (
    Untrusted,
    check_agent,
    check_config,
    check_file,
    check_folder,
    check_statistics,
    check_yaml,
)
from gcrl_zoo.zoo.trust.allowed import AGENT_NAMES, STATISTICS, WEIGHTS
from gcrl_zoo.zoo.trust.pickles import check_pickle
from gcrl_zoo.zoo.trust.settings import check_settings, is_plain
from gcrl_zoo.zoo.wrapper_lists import with_wrapper_lists
from tests.support import hostile
from tests.support.case import all_cases, data_of
from tests.support.envs import make_env
from tests.support.hostile import ENV
from tests.support.hostile_fields import KINDS
from tests.support.matrix import every_case, every_variant, sources_of
from tests.support.memory import MEGABYTE, within
from tests.support.throw_away import ROOT


@pytest.fixture(scope="session")
def saved_run(tmp_path_factory):
    """A run as RL Zoo writes it, with every file that it may have."""
    folder = tmp_path_factory.mktemp("runs") / "CartPole-v1_1"
    settings = folder / hostile.SETTINGS
    settings.mkdir(parents=True)
    [bc] = [case for case in all_cases() if case.name == "bc"]
    agent = bc.make(learning_rate=linear_schedule(1e-3)).learn(30)
    agent.save(folder / hostile.AGENT)
    agent.save_replay_buffer(folder / "replay_buffer.pkl")
    VecNormalize(make_env("box")).save(str(settings / "vecnormalize.pkl"))
    hyperparams = OrderedDict(policy="MlpPolicy", noise_levels=(0.0, 0.2))
    (settings / "config.yml").write_text(yaml.dump(hyperparams))
    arguments = OrderedDict(
        algo="bc", env=ENV, env_kwargs=None, hyperparams=dict(hyperparams), storage="sqlite:///a.db"
    )
    (settings / "args.yml").write_text(yaml.dump(arguments))
    (settings / "env_kwargs.yml").write_text("{}")
    (settings / "command.txt").write_text("python3 train.py")
    th.save({}, folder / "weights.pth")
    with zipfile.ZipFile(folder / hostile.METRICS, "w") as archive:
        archive.writestr("0.monitor.csv", "#{}\nr,l,t\n")
    return folder


@pytest.fixture
def tampered(saved_run, tmp_path):
    """A copy of the run to tamper with."""
    return Path(shutil.copytree(saved_run, tmp_path / saved_run.name))


def test_a_run_of_rl_zoo_is_accepted(saved_run):
    check_folder(saved_run, "bc")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_tampered_run_is_refused_and_nothing_runs(kind, tampered, tmp_path):
    file, mark = tampered / kind.file, tmp_path / "mark"
    kind.tamper(file, mark)
    with pytest.raises(Untrusted) as refusal:
        check_folder(tampered, "bc")
    sentence = str(refusal.value)
    assert sentence.startswith(str(file)) and re.search(kind.message, sentence), sentence
    assert sentence.endswith(".") and "; " in sentence and "\n" not in sentence
    assert not mark.exists()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.load], ids=str)
def test_a_tampered_run_would_run_code_if_loaded(kind, tampered, tmp_path):
    file, mark = tampered / kind.file, tmp_path / "mark"
    kind.tamper(file, mark)
    try:
        kind.load(file)
    except Exception:
        pass  # it has run before
    assert mark.is_dir()


LARGE = (
    "a_shape_that_is_a_text",
    "results_without_end",
    "a_bomb",
    "a_crowd_of_values",
    "a_storage_larger_than_its_record",
)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in LARGE], ids=str)
def test_large_values_are_refused_before_they_are_allocated(kind, tampered, tmp_path):
    kind.tamper(tampered / kind.file, tmp_path / "mark")
    with within(32 * MEGABYTE), pytest.raises(Untrusted):
        check_file(tampered / kind.file, "bc")


def test_there_are_many_kinds_of_tampering():
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 40


@every_case
def test_agents_of_all_spaces_are_accepted(case, tmp_path):
    observations = {kind for kind, known in case.observation_spaces.items() if known} | {"image", "goal"}
    actions = {kind for kind, known in case.action_spaces.items() if known}
    for observation, action in {*((each, "discrete") for each in observations), *(("box", each) for each in actions)}:
        case.make(case.env(observation, action, n_envs=2)).learn(24).save(tmp_path / "agent.zip")
        check_agent(tmp_path / "agent.zip", case.name)


@sources_of()
def test_agents_of_all_sources_are_accepted(case, source, tmp_path):
    case.make(**data_of(source)).learn(30).save(tmp_path / "agent.zip")
    check_agent(tmp_path / "agent.zip", case.name)


@every_variant
def test_agents_of_all_variants_are_accepted(case, variant, tmp_path):
    case.make(**variant).learn(30).save(tmp_path / "agent.zip")
    check_agent(tmp_path / "agent.zip", case.name)


@every_case
@pytest.mark.parametrize("rate", [1e-3, linear_schedule(1e-3), LinearSchedule(1e-3, 1e-4, 0.5)], ids=str)
@pytest.mark.parametrize("optimizer", [th.optim.AdamW, th.optim.SGD], ids=lambda cls: cls.__name__)
def test_schedules_and_optimizers_are_accepted(case, rate, optimizer, tmp_path):
    agent = case.make(learning_rate=rate, policy_kwargs={"optimizer_class": optimizer})
    agent.learn(30).save(tmp_path / "agent.zip")
    check_agent(tmp_path / "agent.zip", case.name)


@every_case
def test_a_schedule_that_is_code_is_refused(case, tmp_path):
    """Loading an agent whose schedule is a function needs TRUST_REMOTE_CODE."""
    case.make(learning_rate=lambda progress: 1e-3 * progress).save(tmp_path / "agent.zip")
    with pytest.raises(Untrusted, match=r"data\[learning_rate\] imports .*_make_function.* only if you trust"):
        check_agent(tmp_path / "agent.zip", case.name)


@pytest.mark.parametrize(
    ("algorithm", "env_id"),
    [(PPO, "Pendulum-v1"), (A2C, ENV), (DQN, ENV), (SAC, "Pendulum-v1"), (TD3, "Pendulum-v1"), (RecurrentPPO, ENV)],
)
def test_stock_agents_are_accepted(algorithm, env_id, tmp_path):
    agent = algorithm("MlpLstmPolicy" if algorithm is RecurrentPPO else "MlpPolicy", env_id)
    agent.learn(8).save(tmp_path / "agent.zip") if hasattr(agent, "replay_buffer") else agent.save(
        tmp_path / "agent.zip"
    )
    check_agent(tmp_path / "agent.zip", {each: name for name, each in ALGOS.items()}[algorithm])


class Looked:
    """Pickled as a lookup by name, like members of enums up to Python 3.11.3."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def test_only_units_are_looked_up_by_name():
    check_pickle(pickle.dumps(Looked(TrainFrequencyUnit, "STEP")), AGENT_NAMES[OffPolicyAlgorithm], "here")
    for owner, name in [(TrainFrequencyUnit, "__class__"), (TrainFreq, "STEP"), (TrainFrequencyUnit.STEP, "EPISODE")]:
        with pytest.raises(Untrusted, match=r"calls builtins.getattr with unexpected arguments"):
            check_pickle(pickle.dumps(Looked(owner, name)), AGENT_NAMES[OffPolicyAlgorithm], "here")


def test_an_agent_of_another_method_is_refused(tmp_path, saved_run):
    with pytest.raises(Untrusted, match=r"data\[policy_class\] imports 'gcrl_zoo.methods.bc"):
        check_agent(saved_run / hostile.AGENT, "gcsl")
    with pytest.raises(ValueError, match=r"There is no algorithm 'clone'; choose from .*bc"):
        check_agent(saved_run / hostile.AGENT, "clone")


@pytest.mark.parametrize("observation", ["box", "dict", "goal", "image"])
@pytest.mark.parametrize("action", ["box", "discrete"])
def test_statistics_are_accepted(observation, action, tmp_path):
    keys = (
        {"norm_obs_keys": ["box" if observation == "dict" else "observation"]}
        if observation in ("dict", "goal")
        else {}
    )
    env = VecNormalize(make_env(observation, action, n_envs=2), norm_obs=observation != "image", **keys)
    env.reset()
    for _ in range(5):
        env.step([env.action_space.sample()] * 2)
    env.save(str(tmp_path / "vecnormalize.pkl"))
    check_statistics(tmp_path / "vecnormalize.pkl")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "params"),
    [
        ("bc", ["learning_starts:100", "train_freq:50", "learning_rate:'lin_0.001'", "noise_levels:(0.0,0.1)"]),
        ("ppo", ["n_steps:32", "normalize:'dict(norm_reward=False)'", "policy_kwargs:dict(activation_fn=nn.ReLU)"]),
    ],
)
def test_runs_of_rl_zoo_are_accepted(algo, params, run, tmp_path):
    arguments = ["--algo", algo, "--env", ENV, "-n", "300", "--num-threads", "1", "--eval-freq", "100"]
    kwargs = ["--env-kwargs", "sutton_barto_reward:True", "--save-freq", "100"]
    result = run("rl_zoo3.train", *arguments, *kwargs, "-f", "logs", "-params", *params)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "logs" / algo / f"{ENV}_1"
    assert (folder / "best_model.zip").is_file() and (folder / hostile.SETTINGS / "config.yml").is_file()
    check_folder(folder, algo)


def shipped(folder):
    """Yield the blocks of YAML files with their names."""
    for path in sorted(folder.rglob("*.yml")):
        for env_id, block in yaml.safe_load(path.read_text()).items():
            if isinstance(block, dict):
                yield f"{path}[{env_id}]", with_wrapper_lists(block, path)


def test_shipped_hyperparameters_are_accepted():
    """Those of gcrl_zoo and of RL Zoo, except for wrappers of packages that are not installed."""
    blocks = [*shipped(ROOT / "hyperparams"), *shipped(Path(rl_zoo3.__file__).parent / "hyperparams")]
    refused = []
    for name, block in blocks:
        try:
            check_settings(block, name)
        except Untrusted as refusal:
            refused.append(str(refusal))
    elsewhere = r"import '(minigrid|ae|gymnasium\.wrappers\.time_limit)\."
    assert len(blocks) > 300 and not [each for each in refused if not re.search(elsewhere, each)]


@pytest.mark.parametrize(
    "text",
    [
        "dict(norm_obs=True, norm_reward=False)",
        "{'clip': -1.5}",
        " [dict(a=1), (None,)]",
        "dict(activation_fn=nn.Tanh)",
    ],
)
def test_plain_values_are_plain(text):
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    ["print(1)", "dict(**{})", "dict(a=open('x'))", "(lambda: 1)()", "[x for x in ()]", "dict(a=os)", "nn.Module",
     "9**9**9", "f'{print(1)}'", "{'a': 1}.pop('a')", "{**{}}", "dict(a=1", "(" * 1000, "a\0b"],
)  # fmt: skip
def test_other_values_are_not(text):
    assert not is_plain(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not readable YAML"),
        ("- 1", "but must map names to values"),
        ("", "holds None"),
        ("[" * 3000, "has values nested more than 32 deep"),
    ],
)
def test_broken_settings_are_refused(text, message, tmp_path):
    (tmp_path / "args.yml").write_text(text)
    with pytest.raises(Untrusted, match=rf"args.yml .*{message}"):
        check_yaml(tmp_path / "args.yml")


def test_settings_that_hold_themselves_are_read(tmp_path):
    (tmp_path / "config.yml").write_text("env_wrapper:\n- gcrl_zoo.wrappers.Upright: &a {a: *a}")
    check_config(tmp_path / "config.yml")


def test_links_are_followed_to_files_only(tampered, tmp_path):
    (tampered / "agent.zip").symlink_to(tampered / hostile.AGENT)
    check_folder(tampered, "bc")
    (tampered / "more").symlink_to(tmp_path)
    with pytest.raises(Untrusted, match="more is a link to a folder"):
        check_folder(tampered, "bc")


def test_large_files_are_not_read(tmp_path):
    with (tmp_path / "vecnormalize.pkl").open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(Untrusted, match="has 2147483649 bytes"):
        check_file(tmp_path / "vecnormalize.pkl", "bc")


@pytest.mark.parametrize("allowed", [*AGENT_NAMES.values(), STATISTICS, WEIGHTS])
def test_allowed_names_exist_and_are_not_renamed(allowed):
    """Unpicklers rename some names of Python 2; no allowed name is one of them."""
    for module, name in allowed:
        assert (module, name) not in _compat_pickle.NAME_MAPPING and module not in _compat_pickle.IMPORT_MAPPING
        assert "." not in name and hasattr(importlib.import_module(module), name)


def test_methods_of_other_packages_are_checked(ninth, saved_run, monkeypatch):
    monkeypatch.setattr("gcrl_zoo.zoo.trust.agents.discover", lambda: {**discover(), "ninth": ninth})
    with pytest.raises(Untrusted, match="policy_class"):
        check_agent(saved_run / hostile.AGENT, "ninth")
