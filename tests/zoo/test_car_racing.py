"""
Each method on frames of CarRacing-v3, by its YAML: RL Zoo trains, saves, loads and continues it, and the Hub takes it.

A made-up environment with the same spaces takes the place of CarRacing, which takes too long to draw.
"""

from argparse import Namespace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.evaluation import evaluate_policy

from gcrl_zoo.data import open_store
from gcrl_zoo.record import record
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.agents import Run, load_run
from gcrl_zoo.zoo.hyperparams import base_blocks, compose
from gcrl_zoo.zoo.trust.folders import check_folder
from tests.conftest import Run as RunScript
from tests.support.road import LENGTH, register

ENV, DATASET = "CarRacing-v3", "carracing/driver-v0"
SOURCES = {  # by method, those of its blocks; "" is own play alone
    name: sorted(key.partition(" with ")[2] for key in base_blocks(method.yaml) if key.startswith(ENV))
    for name, method in discover().items()
}
LIKE_DT = ("dt_gated", "dt_vicreg")  # they share its blocks and its window
BLOCKS = [
    pytest.param(name, source, marks=[] if source == sources[-1] and name not in LIKE_DT else pytest.mark.thorough)
    for name, sources in SOURCES.items()
    for source in sources
]
SMALL = {
    "n_envs": 2,
    "batch_size": 4,
    "learning_starts": 8,
    "train_freq": 8,
    "gradient_steps": 2,
    "final_gradient_steps": 0,
}
STEPS = LENGTH // 4  # of an episode, with the skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset of single frames, where CarRacing-v3 is made up."""
    folder, genuine = tmp_path_factory.mktemp("car"), gym.spec(ENV)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        (folder / "minari").mkdir()
        register()
        *wrappers, stack = compose(discover()["bc"], None, ENV)[1]["env_wrapper"]
        assert "FrameStackObservation" in str(stack)
        record(None, get_wrapper_class({"env_wrapper": wrappers})(gym.make(ENV)), DATASET, n_episodes=6)
        yield folder
    gym.registry[ENV] = genuine


@pytest.fixture
def work(place, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(place / "minari"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(algo: str, source: str, agent: str = "", config: str | None = None, **given) -> ExperimentManager:
    """As ``rl_zoo3.train`` does."""
    settings = {**SMALL, **({source: DATASET} if source else {}), **given}
    manager = ExperimentManager(
        Namespace(env_kwargs=None), algo, ENV, "logs", n_timesteps=4 * STEPS, eval_freq=-1, hyperparams=settings,
        trained_agent=agent, config=config, seed=1, verbose=0, device="cpu",
    )  # fmt: skip
    model, saved = manager.setup_experiment()
    manager.learn(model)
    manager.save_trained_model(model)
    assert saved["env_wrapper"][0] == {"gcrl_zoo.wrappers.FrameSkip": {"skip": 4}}
    return manager


@pytest.mark.parametrize(("algo", "source"), BLOCKS)
def test_train_load_evaluate_continue_record_and_check(algo, source, work):
    own_play = {"own_play": True} if source == "dataset" else {}
    manager = train(algo, source, **own_play)
    model, env = load_run(algo, ENV, Run("logs"), n_envs=2, device="cpu")
    assert model._n_updates > 0
    check_folder(Path("logs"), algo)
    _, lengths = evaluate_policy(model, env, 2, return_episode_rewards=True, warn=False)
    assert lengths == [LENGTH, LENGTH]  # the monitor is inside of the skip

    agent = str(Path(manager.save_path) / f"{ENV}.zip")
    train(algo, source, agent, **own_play)
    again, _ = load_run(algo, ENV, Run("logs"), device="cpu")
    assert again._n_updates > model._n_updates

    if algo in ("dt", "gcsl"):  # with a memory and a return, or with a goal
        record(model, env, f"carracing/{algo}-v0", n_episodes=1, force=True)
        played = open_store(f"carracing/{algo}-v0")
        assert played.n_steps == STEPS and played.has_actions and np.isfinite(played.returns).all()


@pytest.mark.parametrize("preset", ["exp6", "exp6_concat"])
def test_presets_of_the_notes(preset, work):
    manager = train("gcsl_vicreg", "", config=preset)
    assert (Path(manager.save_path) / f"{ENV}.zip").is_file()


@pytest.mark.slow
@pytest.mark.thorough
def test_scripts(run: RunScript, work):
    """From the dataset to an agent that is ready to be published with a video."""
    (work / "road.py").write_text("from tests.support.road import register\n\nregister()\n")
    names = ["--env", ENV, "--gym-packages", "road", "-f", "logs", "--num-threads", "1"]
    params = [f"{name}:{value}" for name, value in SMALL.items()] + [f"dataset:'{DATASET}'", "own_play:True"]
    evaluation = ["--eval-freq", "16", "--eval-episodes", "1"]
    for words in (
        ["rl_zoo3.train", "--algo", "dt", *names, "-n", "32", *evaluation, "-params", *params],
        ["rl_zoo3.enjoy", "--algo", "dt", *names, "-n", "16", "--no-render"],
        ["gcrl_zoo.publish", "--no-push", "--algo", "dt", "--n-episodes", "1", "-n", "8", "--num-threads", "1"],
    ):
        done = run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
