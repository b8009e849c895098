"""YAML and presets: which block a run gets, and what it says when it gets none."""

import argparse
import re
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import PPO

from gcrl_zoo.registry import Method, discover
from gcrl_zoo.zoo import hyperparams as hp
from gcrl_zoo.zoo.wrapped import WRAPPED


@pytest.fixture
def read(ninth, tmp_path, monkeypatch):
    """Read hyperparameters as ``rl_zoo3.train`` does, in a folder of the user's."""
    monkeypatch.chdir(tmp_path)

    def read(conf=None, env="CartPole-v1", algo="ninth", **options):
        return ExperimentManager(
            argparse.Namespace(), algo, env, "logs", config=conf, **options
        ).read_hyperparameters()[0]

    yield read
    for name in ("wide", "needy"):
        sys.modules.pop(name, None)


def test_default_block(read, capsys):
    assert read()["policy_kwargs"] == {"net_arch": [8], "ortho_init": False}
    assert "ninth.yml[default]" in capsys.readouterr().out


def test_a_preset_is_a_delta(read, capsys):
    block = read("wide")
    assert block["policy_kwargs"] == {"net_arch": [64], "ortho_init": False}
    assert (block["n_steps"], block["n_epochs"]) == (64, 2)
    assert "ninth.yml[default] + " in capsys.readouterr().out


def test_a_preset_may_extend_others(read, ninth, capsys):
    """Each layer over the one before: the block, what is extended, and the preset itself."""
    folder = ninth.presets["wide"].parent
    (folder / "long.yml").write_text("default: {n_epochs: 9}\nCartPole-v1: {n_steps: 128}")
    (folder / "both.yml").write_text("extends: [wide, long]")
    (folder / "more.yml").write_text("extends: both\ndefault: {policy_kwargs: {net_arch: [5]}}")
    block = read("both")
    assert (block["n_epochs"], block["n_steps"]) == (9, 128)
    assert block["policy_kwargs"] == {"net_arch": [64], "ortho_init": False}
    assert re.search(r"default\] \+ \S*wide.yml\[default\] \+ \S*long.yml\[default\]", capsys.readouterr().out)
    assert read("more")["policy_kwargs"] == {"net_arch": [5], "ortho_init": False}


@pytest.mark.parametrize("extends", ["wyde", "self"])
def test_a_preset_that_extends_itself_or_nothing(read, ninth, extends):
    (ninth.presets["wide"].parent / "self.yml").write_text(f"extends: {extends}")
    with pytest.raises(ValueError, match=f"self.yml extends '{extends}', which is itself or no preset of ninth"):
        read("self")


def test_a_file_may_extend_that_of_another_method(tmp_path, monkeypatch):
    """Blocks of the same name are merged; null removes one; a chain of files works too."""
    texts = {
        "base": "default: {n_epochs: 1, policy_kwargs: {a: 1, b: 2}}\nA-v0: {n_epochs: 2}\nB-v0: {n_epochs: 3}",
        "child": "extends: base\ndefault: {policy_kwargs: {b: 3}}\nA-v0: null",
        "grandchild": "extends: child\nC-v0: {n_epochs: 4}",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yml").write_text(text)
    methods = {name: Method(name, PPO, None, tmp_path) for name in texts}
    monkeypatch.setattr(hp, "discover", lambda: methods)
    inherited = {"default": {"n_epochs": 1, "policy_kwargs": {"a": 1, "b": 3}}, "B-v0": {"n_epochs": 3}}
    assert hp.base_blocks(tmp_path / "child.yml") == inherited
    assert hp.base_blocks(tmp_path / "grandchild.yml") == {**inherited, "C-v0": {"n_epochs": 4}}


@pytest.mark.parametrize("parent", ["nobody", "self", "other"])
def test_a_file_that_extends_itself_or_an_unknown_method(tmp_path, monkeypatch, parent):
    for name, text in {"self": f"extends: {parent}", "other": "extends: self"}.items():
        (tmp_path / f"{name}.yml").write_text(text)
    methods = {name: Method(name, PPO, None, tmp_path) for name in ("self", "other")}
    monkeypatch.setattr(hp, "discover", lambda: methods)
    with pytest.raises(ValueError, match=r"\.yml extends '\w+'; name one other method, which does not extend it: \w+"):
        hp.base_blocks(tmp_path / "self.yml")


def test_an_unknown_preset_lists_the_presets(read):
    with pytest.raises(ValueError, match=r"ninth has no preset 'wyde'; it has wide \(or give -conf a path"):
        read("wyde")


def test_overrides_win_as_ever(read):
    assert read("wide", hyperparams={"n_epochs": 7})["n_epochs"] == 7


@pytest.mark.parametrize("suffix", ["yml", "yaml"])
@pytest.mark.parametrize("given", ["{name}.{suffix}", "./{name}.{suffix}", "{name}"])
def test_the_users_file_wins(read, suffix, given):
    Path(f"wide.{suffix}").write_text("default: {policy: MlpPolicy, n_timesteps: 5}")
    assert read(given.format(name="wide", suffix=suffix))["n_timesteps"] == 5


def test_the_users_python_wins(read, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "wide.py").write_text("hyperparams = {'CartPole-v1': {'policy': 'MlpPolicy', 'n_timesteps': 6}}")
    assert read("wide")["n_timesteps"] == 6
    assert read("wide.py")["n_timesteps"] == 6


def test_a_folder_or_module_of_the_name_by_chance_does_not_count(read, tmp_path, monkeypatch, ninth):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "wide").mkdir()
    assert read("wide")["n_epochs"] == 2
    ninth.presets["wide"].rename(ninth.presets["wide"].with_name("json.yml"))
    assert read("json")["n_epochs"] == 2


def test_a_module_of_the_user_that_misses_another_says_so(read, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needy.py").write_text("import nowhere")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        read("needy")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("n_stepz", "ninth has no hyperparameter 'n_stepz'; did you mean 'n_steps'?"),
        ("qqq", "'qqq'; choose from batch_size, "),
    ],
)
def test_an_unknown_key_is_refused_before_training(read, key, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        read(hyperparams={key: 1})


@pytest.mark.parametrize("key", ["policy", "n_timesteps"])
def test_a_key_that_rl_zoo_needs(read, key):
    block = {"policy": "MlpPolicy", "n_timesteps": 5}
    del block[key]
    Path("mine.yml").write_text(f"default: {block}")
    with pytest.raises(ValueError, match=f"ninth lack '{key}'"):
        read("mine.yml")


def test_stock_algorithms_are_left_alone(read):
    assert read(algo="ppo")["n_steps"] == 32
    with pytest.raises(ModuleNotFoundError, match="wide"):
        read("wide", algo="ppo")


def write(folder: Path, base: str, preset: str = "") -> tuple[Method, Path]:
    (folder / "m.yml").write_text(base)
    path = folder / "p.yml"
    path.write_text(preset)
    return Method("m", PPO, None, folder), path


def test_blocks_are_laid_in_order(tmp_path):
    method, preset = write(
        tmp_path,
        "{default: {a: 0}, E-v0: {a: 1, b: 1, c: 1, d: {x: 1, y: 1}}}",
        "{default: {b: 2, c: 2}, E-v0: {c: 3, d: {y: 3}, a: null}}",
    )
    source, block = hp.compose(method, preset, "E-v0")
    assert block == {"a": None, "b": 2, "c": 3, "d": {"x": 1, "y": 3}}
    assert source == f"{tmp_path}/m.yml[E-v0] + {tmp_path}/p.yml[default] + {tmp_path}/p.yml[E-v0]"
    assert hp.compose(method, preset, "F-v0")[1] == {"a": 0, "b": 2, "c": 2}


def test_atari_comes_before_default_where_there_is_one(tmp_path):
    method, _ = write(tmp_path, "{default: {a: 0}, atari: {a: 1}}")
    assert hp.compose(method, None, "E-v0", atari=True)[1] == {"a": 1}
    assert hp.compose(method, None, "E-v0", atari=False)[1] == {"a": 0}
    method, _ = write(tmp_path, "{default: {a: 0}}")
    assert hp.compose(method, None, "E-v0", atari=True)[1] == {"a": 0}


def test_no_block_for_the_environment(tmp_path):
    method, preset = write(tmp_path, "{E-v0: {a: 0}}", "{F-v0: {a: 1}}")
    with pytest.raises(ValueError, match="neither a block for F-v0 nor a default"):
        hp.compose(method, preset, "F-v0")
    with pytest.raises(ValueError, match="preset p of m is for F-v0, not for E-v0"):
        hp.compose(method, preset, "E-v0")


UPRIGHT = "gcrl_zoo/CartPoleUpright-v1"
INSIDE = "{default: {a: 0}, CartPole-v1: {a: 1, env_wrapper: package.W, env_kwargs: {x: 1}}}"


def test_an_id_with_a_wrapper_on_takes_the_block_of_the_environment_inside(tmp_path):
    """Without the wrapper, which would be put on twice; a block of its own comes first, and is taken as it is."""
    method, preset = write(tmp_path, INSIDE, "{default: {b: 2}, CartPole-v1: {b: 3, env_wrapper: package.V}}")
    source, block = hp.compose(method, preset, UPRIGHT)
    assert block == {"a": 1, "b": 3}
    assert source == f"{tmp_path}/m.yml[CartPole-v1] + {tmp_path}/p.yml[default] + {tmp_path}/p.yml[CartPole-v1]"
    own = f"{{{UPRIGHT}: {{a: 2, env_wrapper: package.W}}, CartPole-v1: {{a: 1}}}}"
    method, preset = write(tmp_path, own, own)
    assert hp.compose(method, preset, UPRIGHT)[1] == {"a": 2, "env_wrapper": "package.W"}
    method, _ = write(tmp_path, "{default: {a: 0, env_wrapper: package.W}}")
    assert hp.compose(method, None, UPRIGHT)[1] == {"a": 0, "env_wrapper": "package.W"}


@pytest.mark.parametrize("id", WRAPPED)
def test_each_id_with_a_wrapper_on_is_tuned_where_the_environment_inside_is(id):
    for method in discover().values():
        inside = hp.base_blocks(method.yaml).get(WRAPPED[id].inside) if method.yaml.is_file() else None
        if inside is not None:
            block = hp.compose(method, None, id)[1]
            assert block == {k: v for k, v in inside.items() if k not in ("env_wrapper", "env_kwargs")}


def test_merge_copies():
    base = {"a": {"b": 1}}
    assert hp.merge(base, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert base == {"a": {"b": 1}}


def test_accepted_keys_follow_kwargs_up_the_bases():
    class Open(PPO):
        def __init__(self, *args, mine=1, **kwargs):
            super().__init__(*args, **kwargs)

    class Closed(PPO):
        def __init__(self, policy, env):
            super().__init__(policy, env)

    assert {"mine", "n_steps", "policy", "n_envs"} <= hp.accepted_keys(Open)
    assert hp.accepted_keys(Closed) == hp.ZOO_KEYS | {"policy"}


def test_samplers_and_converters(ninth, monkeypatch):
    import types

    import optuna

    from gcrl_zoo.zoo import register

    tables = types.SimpleNamespace(ALGOS={}, HYPERPARAMS_SAMPLER={}, HYPERPARAMS_CONVERTER={})
    space = Method("ninth", PPO, lambda trial: {"batch_size": 2 ** trial.suggest_int("log2", 4, 8)})
    monkeypatch.setattr(register, "discover", lambda: {"ninth": space, "bare": Method("bare", PPO)})
    register.add_algorithms(tables)
    register.add_algorithms(tables)
    register.add_search_spaces(tables)
    trial = optuna.create_study().ask()
    sampled = tables.HYPERPARAMS_SAMPLER["ninth"](trial, 1, 1, {})
    assert tables.HYPERPARAMS_CONVERTER["ninth"](trial.params) == sampled
    with pytest.raises(RuntimeError, match="bare cannot be optimized"):
        tables.HYPERPARAMS_SAMPLER["bare"](trial, 1, 1, {})
    tables.ALGOS["ninth"] = object
    with pytest.raises(ValueError, match="'ninth' has the name of an RL Zoo algorithm"):
        register.add_algorithms(tables)


def test_environments_of_extras(monkeypatch):
    from gcrl_zoo.zoo import environments

    monkeypatch.setattr(environments, "EXTRAS", ("absent_extra",))
    environments.register_extras()

    monkeypatch.setattr(environments, "EXTRAS", ("antigravity",))
    monkeypatch.setattr(environments.importlib, "import_module", lambda name: 1 / 0)
    with pytest.warns(UserWarning, match=r"environments of antigravity \(ZeroDivisionError"):
        environments.register_extras()


def test_fetch_and_maze_are_registered():
    pytest.importorskip("gymnasium_robotics")
    assert {"FetchReach-v4", "PointMaze_UMaze-v3", "AntMaze_UMaze-v5"} <= set(gym.registry)


def test_ogbench_is_registered():
    pytest.importorskip("ogbench")
    assert {"pointmaze-medium-v0", "antmaze-medium-v0", "cube-single-v0"} <= set(gym.registry)
