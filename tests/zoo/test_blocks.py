"""Blocks that are for a dataset or a stream: used where one is given, and nowhere else."""

import argparse
import itertools
import json
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from rl_zoo3.exp_manager import ExperimentManager

from gcrl_zoo.registry import Method, discover
from gcrl_zoo.zoo import hyperparams as hp

METHODS = discover()
ENDINGS = ("", " with dataset", " with stream")
GIVEN = [(), ("dataset",), ("stream",), ("dataset", "stream")]


def method_of(folder: Path, base: dict, preset: dict) -> tuple[Method, Path]:
    """A method ``m`` whose YAML, and that of its preset ``p``, hold these blocks."""
    (folder / "presets" / "m").mkdir(parents=True)
    method = Method("m", object, None, folder)
    method.yaml.write_text(yaml.dump(base))
    (folder / "presets" / "m" / "p.yml").write_text(yaml.dump(preset))
    return method, method.presets["p"]


def read(algo: str, env: str, conf: str | None = None, **options) -> dict:
    """As ``rl_zoo3.train`` reads them."""
    manager = ExperimentManager(argparse.Namespace(), algo, env, "logs", config=conf, **options)
    return manager.read_hyperparameters()[0]


@pytest.mark.parametrize("given", GIVEN)
def test_a_block_for_what_is_given_comes_first_and_one_for_what_is_not_never(tmp_path, given):
    blocks = {f"{name}{ending}": {"a": f"{name}{ending}"} for name in ("E-v0", "default") for ending in ENDINGS}
    method, _ = method_of(tmp_path, blocks, {})
    for env in ("E-v0", "F-v0"):
        name = "E-v0" if env == "E-v0" else "default"
        expected = f"{name} with {given[0]}" if given else name
        source, block = hp.compose(method, None, env, given=given)
        assert (block["a"], source) == (expected, f"{method.yaml}[{expected}]")


@pytest.mark.parametrize("source", hp.SOURCES)
def test_without_it_default_is_used_and_the_run_says_so(tmp_path, source):
    method, _ = method_of(tmp_path, {f"CartPole-v1 with {source}": {"a": 1}, "default": {"a": 0}}, {})
    for env in ("CartPole-v1", "gcrl_zoo/CartPoleUpright-v1"):
        told, block = hp.compose(method, None, env)
        assert block == {"a": 0}
        assert told.endswith(
            f"[default] (the block 'CartPole-v1 with {source}' needs a {source}: -params {source}:\"'ID'\")"
        )
        assert hp.compose(method, None, env, given=[source]) == (f"{method.yaml}[CartPole-v1 with {source}]", {"a": 1})


def test_the_blocks_of_a_preset_follow_the_same_rule(tmp_path):
    preset = {f"{name}{ending}": {name + ending: 1} for name in ("default", "E-v0") for ending in ENDINGS[:2]}
    method, path = method_of(tmp_path, {"default": {}, "E-v0 with dataset": {"own": 1}}, preset)
    assert hp.compose(method, path, "E-v0")[1] == {"default": 1, "E-v0": 1}
    assert hp.compose(method, path, "E-v0", given=["dataset"])[1] == {"own": 1} | {key: 1 for key in preset}
    source, _ = hp.compose(method, path, "E-v0", given=["dataset"])
    assert source.index("[default]") < source.index("[default with dataset]") < source.index("p.yml[E-v0]")


def test_a_preset_that_names_its_dataset_gets_the_blocks_for_one(tmp_path):
    base = {"default": {"a": 0}, "default with dataset": {"a": 1}}
    method, path = method_of(tmp_path, base, {"default": {"dataset": "d", "stream": None}})
    assert hp.compose(method, path, "E-v0")[1] == {"a": 1, "dataset": "d", "stream": None}


def test_a_preset_for_a_dataset_asks_for_one(tmp_path):
    method, path = method_of(tmp_path, {"default": {}}, {"default with dataset": {}})
    with pytest.raises(
        ValueError, match=r"preset p of m is for default with dataset, not for E-v0 .*-params dataset:\"'ID'\""
    ):
        hp.compose(method, path, "E-v0")


# ------------------------------------------------------------------------------------------------------ what is shipped


@pytest.mark.parametrize("algo", METHODS)
def test_what_only_fits_data_is_in_a_block_for_data(algo):
    """A return to ask for, and learning from all episodes, only fit a dataset; EXP1 to EXP6 are as in the notes."""
    method = METHODS[algo]
    files = {method.yaml: hp.base_blocks(method.yaml)}
    files |= {path: hp.read_blocks(path) for path in method.presets.values()}
    for path, blocks in files.items():
        for key, block in blocks.items():
            for_data = " with " in key or block.get("dataset") or block.get("stream")
            everything = block.get("top_fraction") == 1.0 and not path.stem.startswith("exp")
            assert for_data or not ("target_return" in block or everything), f"{path}[{key}]"


@pytest.mark.parametrize("algo", METHODS)
def test_every_block_is_one_that_some_run_can_get(algo):
    method = METHODS[algo]
    for key in hp.base_blocks(method.yaml):
        name, _, source = key.partition(hp.WITH)
        assert source in ("", *hp.SOURCES)
        assert f"{method.yaml}[{key}]" == hp.compose(method, None, name, given=[source] if source else [])[0]


@pytest.mark.parametrize("algo", ["dt", "dt_gated", "dt_vicreg"])
@pytest.mark.parametrize("env", ["Hopper-v5", "Walker2d-v5", "HalfCheetah-v5"])
def test_own_play_gets_no_target_that_was_read_off_a_dataset(algo, env, capsys):
    block = read(algo, env)
    assert not block.keys() & {"target_return", "return_scale"} and block["top_fraction"] == 0.1
    assert f"{algo}.yml[default]" in capsys.readouterr().out
    if f"{env} with dataset" in hp.base_blocks(METHODS[algo].yaml):
        assert read(algo, env, hyperparams={"dataset": "ID"})["target_return"] >= 3600
        assert f"{algo}.yml[{env} with dataset]" in capsys.readouterr().out


def test_the_papers_preset_is_for_a_dataset():
    with pytest.raises(ValueError, match="preset paper of dt is for default with dataset"):
        read("dt", "CartPole-v1", "paper")
    assert read("dt", "CartPole-v1", "paper", hyperparams={"dataset": "ID"})["policy_kwargs"]["embed_dim"] == 128


@pytest.mark.parametrize(("dataset", "expected"), [("ID", 3600), (None, None)])
@pytest.mark.parametrize("broken", [False, True])
def test_a_resumed_run_gets_the_block_that_it_began_with(tmp_path, dataset, expected, broken):
    """The agent remembers its dataset, which need not be named again; a broken zip is left to SB3."""
    agent = tmp_path / "agent.zip"
    with ZipFile(agent, "w") as file:
        file.writestr("data", json.dumps({"dataset": dataset, "stream": None}))
    if broken:
        agent.write_bytes(b"no zip")
        expected = None
    assert read("dt", "Hopper-v5", trained_agent=str(agent)).get("target_return") == expected
    assert read("dt", "Hopper-v5", trained_agent=str(agent), hyperparams={"dataset": None}).get("target_return") is None


def test_what_is_published_is_trained_without_data_only_where_a_block_allows_it():
    pytest.importorskip("mujoco")
    from gcrl_zoo.publish.trainings import tuned_environments

    for algo, env in itertools.product(("dt", "dt_gated", "dt_vicreg"), ("Hopper-v5", "Walker2d-v5")):
        assert env not in tuned_environments(METHODS[algo])
    assert "CartPole-v1" in tuned_environments(METHODS["dt"])
