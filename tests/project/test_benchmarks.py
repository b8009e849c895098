"""Every script of benchmarks/ runs, in a tiny setting: a command that is published must not rot."""

from __future__ import annotations

import csv
import importlib
import json
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import FrameStackObservation
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.registry import discover
from tests.support.throw_away import ROOT

FOLDERS = [ROOT / "benchmarks" / name for name in ("speed", "studies", "peers")]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").rglob("*.py"))
#: Scripts with a test file of their own, which runs them.
ELSEWHERE = {"story": "test_story.py"}
ELSEWHERE |= dict.fromkeys(("own_play", "study", "study_page", "study_sections", "tables"), "test_study.py")
#: Modules of scripts that have a test.
PARTS = {"run_folder", "study_file"}
PEERS = ("d3rlpy", "transformers")

Smoke = Callable[["Bench"], None]
SMOKES: dict[str, Smoke] = {}


def smoke(name: str) -> Callable[[Smoke], Smoke]:
    return lambda test: SMOKES.setdefault(name, test)


class Bench:
    """An empty folder to run scripts in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.patch, self.capsys = folder, monkeypatch, capsys

    def load(self, name: str) -> Any:
        """Anew, with whatever peers there are now."""
        self.patch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    def main(self, script: Any, *words: object) -> str:
        """Run as a command, and return what it printed."""
        self.patch.setattr(sys, "argv", [f"benchmarks/{script.__name__}.py", *map(str, words)])
        script.main()
        return self.capsys.readouterr().out

    def fake_peers(self) -> None:
        """Peers that are not installed, for what scripts do around them."""
        d3rlpy = types.SimpleNamespace(seed=lambda seed: None, __spec__=None)
        for name in ("d3rlpy", "transformers"):
            self.patch.setitem(sys.modules, name, d3rlpy)
        for name in ("peer_d3rlpy", "dt_peers", "dt_peer_score"):
            self.patch.delitem(sys.modules, name, raising=False)

    def no_peers(self) -> None:
        for name in PEERS:
            self.patch.setitem(sys.modules, name, None)
        self.patch.delitem(sys.modules, "peer_d3rlpy", raising=False)


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))
    precision, threads = th.get_float32_matmul_precision(), th.get_num_threads()
    yield Bench(tmp_path, monkeypatch, capsys)
    # Scripts set these for their whole process. Another precision changes the bits of everything that is trained after.
    th.set_float32_matmul_precision(precision)
    th.set_num_threads(threads)


def test_every_script_has_a_smoke_test():
    assert SCRIPTS == sorted([*SMOKES, *ELSEWHERE, *PARTS])
    for script, test in ELSEWHERE.items():
        assert f'importlib.import_module("{script}")' in Path(__file__).with_name(test).read_text()


@pytest.mark.parametrize("name", SMOKES)
def test_smoke(name, bench):
    SMOKES[name](bench)


@pytest.mark.parametrize("name", ["peer_d3rlpy", "dt_peers", "dt_peer_score"])
def test_a_missing_peer_is_one_sentence(name, bench):
    bench.no_peers()
    with pytest.raises(SystemExit, match=r"^This comparison needs d3rlpy, which is not installed; .*pip install"):
        bench.load(name)


def test_memory_of_a_missing_peer(bench):
    bench.no_peers()
    with pytest.raises(SystemExit, match="needs d3rlpy"):
        bench.main(bench.load("dt_memory"), "--only", "d3rlpy", "--steps", 300)


@pytest.mark.parametrize(("done", "message"), [(900, r"stopped by a signal after 900 of 1,000 steps"), (1000, None)])
def test_a_training_that_was_stopped_is_no_result(bench, done, message):
    script = bench.load("runs")

    def execute(words, capture):
        if capture:
            return "Episode Reward: 3.0"
        run = own_play(Path(words[words.index("-f") + 1], "bc", "E-v0_1"), lengths=[8])
        (run / "env").rename(run / "E-v0")
        with zipfile.ZipFile(run / "E-v0.zip", "w") as file:
            file.writestr("data", json.dumps({"num_timesteps": done, "_total_timesteps": 1000}))
        return None

    run = lambda: script.run("bc", "E-v0", 0, [], script.Evaluation(episodes=1), execute)  # noqa: E731
    if message is None:
        assert run()["mean"] == "3.0"
    else:
        with pytest.raises(RuntimeError, match=message):
            run()


def own_play(run: Path, lengths: list[int], skip: int = 1) -> Path:
    """The log folder of a run whose episodes have returns 0, 1, 2, ..."""
    (run / "env").mkdir(parents=True)
    wrapper = [{"rl_zoo3.wrappers.FrameSkip": {"skip": skip}}] if skip > 1 else []
    (run / "env" / "config.yml").write_text(yaml.dump({"env_wrapper": wrapper}))
    lines = [f"{i}.0,{length},{i}" for i, length in enumerate(lengths)]
    (run / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0, "env_id": "x"}', "r,l,t", *lines]))
    return run


# ---------------------------------------------------------------- acting, playing


@smoke("collecting")
def collecting(bench):
    script = bench.load("collecting")
    bench.patch.setattr(script, "N_ENVS", 2)
    bench.patch.setattr(script, "N_STEPS", 20)
    text = bench.main(script, "--envs", "CartPole-v1", "--rounds", 1, "--output", "out/collecting.md")
    assert "| CartPole-v1 |" in text and "| CartPole-v1 |" in Path("out/collecting.md").read_text()


@smoke("default_blocks")
def default_blocks(bench):
    script = bench.load("default_blocks")
    block = {"policy": "MlpPolicy", "n_timesteps": 3000, "learning_starts": 100, "train_freq": 50, "batch_size": 8}
    bench.patch.setattr(script, "compose", lambda *_, **__: ("", {**block, "gradient_steps": 1}))
    bench.patch.setattr(script.measure, "__defaults__", (300,))
    text = bench.main(script, "--algos", "bc", "--envs", "Acrobot-v1", "--seconds", 0.01, "--output", "out/page.md")
    assert "| `bc` | Acrobot-v1 | online | 3,000 |" in text and "| dataset | 3,000 |" in text
    assert "Acrobot-v1" in Path("out/page.md").read_text()


@smoke("where_time_goes")
def where_time_goes(bench):
    text = bench.main(bench.load("where_time_goes"), "--algo", "dt", "--env", "CartPole-v1", "--timesteps", 100)
    assert "dt on CartPole-v1: " in text and "| the environment |" in text


@smoke("ogbench_tasks")
def ogbench_tasks(bench):
    pytest.importorskip("ogbench")
    from gcrl_zoo import GCSL
    from gcrl_zoo.wrappers import InfoGoal

    script = bench.load("ogbench_tasks")
    env_id, run = "pointmaze-medium-v0", Path("logs/gcsl/pointmaze-medium-v0_1")
    (run / env_id).mkdir(parents=True)
    (run / env_id / "config.yml").write_text(yaml.dump({"env_wrapper": "gcrl_zoo.wrappers.InfoGoal"}))
    GCSL("MultiInputPolicy", InfoGoal(gym.make(env_id))).save(run / f"{env_id}.zip")
    make = script.make_vec_env
    bench.patch.setattr(script, "make_vec_env", lambda *a, **k: make(*a, **k, env_kwargs={"max_episode_steps": 3}))
    bench.main(script, "--algo", "gcsl", "--env", env_id, "--episodes", 1, "--output", "out.csv")
    assert Path("out.csv").read_text().startswith("name,env,seed,episodes,mean,task1")


# ---------------------------------------------------------------- training by RL Zoo


@smoke("runs")
def runs(bench):
    script = bench.load("runs")
    commands: list[list[str]] = []

    def execute(words, capture):
        commands.append(words)
        if not capture:
            own_play(Path(words[words.index("-f") + 1], "bc", "E-v0_1"), lengths=[8, 7])
        return "Episode Reward: 3.0\nEpisode Reward: 5.0\nSuccess rate: 50.00%" if capture else None

    bench.patch.setattr(script.run, "__defaults__", (execute, None))
    bench.main(
        script, *"--algo bc --env E-v0 --seeds 3 --episodes 2 --name n --output o.csv -- --num-threads 1".split()
    )
    assert commands[0][:10] == "-m rl_zoo3.train --algo bc --env E-v0 --seed 3 --num-threads 1".split()
    assert commands[1][:2] == ["-m", "rl_zoo3.enjoy"]
    assert Path("o.csv").read_text().splitlines()[1].startswith("n,E-v0,3,2,4.0,1.0,0.500,")


@smoke("summary")
def summary(bench):
    Path("o.csv").write_text(
        "name,env,seed,episodes,mean,std,success,minutes,command\n"
        "n,E-v0,0,2,40,1,,1,-m rl_zoo3.train --seed 0\nn,E-v0,1,2,60,1,,1,-m rl_zoo3.train --seed 1\n"
    )
    bench.main(bench.load("summary"), "o.csv", "--output", "o.md")
    assert "| n | E-v0 | 40 60 | 50 | 14 | `python -m rl_zoo3.train --seed SEED` |" in Path("o.md").read_text()


@smoke("fetch_peers")
def fetch_peers(bench):
    pytest.importorskip("matplotlib")
    script = bench.load("fetch_peers")

    def train(words, check):
        folder = Path(words[words.index("-f") + 1]) / words[words.index("--algo") + 1] / f"{script.ENV}_1"
        folder.mkdir(parents=True)
        np.savez(folder / "evaluations.npz", timesteps=[10, 20], successes=[[True, False], [True, True]])

    bench.patch.setattr(script.subprocess, "run", train)
    text = bench.main(script, "--seeds", 0, "--output", "o.csv", "--figure", "o.png")
    assert "gcsl" in text and "tqc" in text and Path("o.png").read_bytes().startswith(b"\x89PNG")
    assert len(Path("o.csv").read_text().splitlines()) == 5


@smoke("learning_curve")
def learning_curve(bench):
    pytest.importorskip("matplotlib")
    script = bench.load("learning_curve")
    run = own_play(Path("logs/bc/CartPole-v1_1"), lengths=[9, 8])
    np.savez(run / "evaluations.npz", timesteps=[10], results=[[1.0, 2.0]])
    bench.main(script, run, "--output", "o.png")
    assert Path("o.png").read_bytes().startswith(b"\x89PNG")
    other = own_play(Path("logs/bc/CartPole-v1_2"), lengths=[1000] * 80, skip=4)  # 20,000 decisions
    assert "| bc/CartPole-v1_2 | 20 | 60 |" in bench.main(script, run, other, "--output", "several.png")
    assert Path("several.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- video


def road(bench: Bench, algo: str, **kwargs: Any) -> Path:
    """The log folder of an untrained agent on a made-up CarRacing, and ``road.npz`` with random driving."""
    env_id, run = "Road-v0", Path(f"logs/{algo}/Road-v0_1")
    bench.patch.setitem(gym.registry, env_id, EnvSpec(env_id, entry_point="tests.support.road:Road"))
    wrappers = [{"rl_zoo3.wrappers.FrameSkip": {"skip": 4}}]
    wrappers += [{"gymnasium.wrappers.GrayscaleObservation": {"keep_dim": True}}]
    wrappers += [{"rl_zoo3.wrappers.YAMLCompatResizeObservation": {"shape": [36, 36]}}]
    single = get_wrapper_class({"env_wrapper": wrappers})(gym.make(env_id))
    single.action_space.seed(0)
    store = TrajectoryStore(name="road")
    for seed in range(3):
        frames, actions, rewards = [single.reset(seed=seed)[0]], [], []
        while len(actions) < 8:
            actions.append(single.action_space.sample())
            frame, reward, *_ = single.step(actions[-1])
            frames.append(frame)
            rewards.append(reward)
        store.append(Episode({"observation": np.stack(frames)}, np.stack(actions), np.array(rewards)))
    store.save("road.npz")
    (run / env_id).mkdir(parents=True)
    wrappers += [{"gymnasium.wrappers.FrameStackObservation": {"stack_size": 2}}]
    (run / env_id / "config.yml").write_text(yaml.dump({"env_wrapper": wrappers, "stream": "road.npz"}))
    (run / env_id / "args.yml").write_text(yaml.dump({"env": env_id, "env_kwargs": None}))
    env = DummyVecEnv([lambda: FrameStackObservation(single, 2)])
    small = {"net_arch": [8], "image_features": 8}
    make = discover()[algo].algorithm
    make("CnnPolicy", env, stream="road.npz", seed=0, policy_kwargs=small, **kwargs).save(run / env_id)
    return run


@smoke("video_diagnostics")
def video_diagnostics(bench):
    script = bench.load("video_diagnostics")
    bench.patch.setattr(script, "BATCH", 8)
    run = road(bench, "gcsl_vicreg", terms={"vicreg": 1.0})
    with pytest.raises(SystemExit, match="1"):
        bench.main(script, "logs/none", run, "--episodes", 2, "--output", "out/d.csv")
    assert "logs/none is left out: There are 0 runs" in bench.capsys.readouterr().err
    with Path("out/d.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["agent"] == "gcsl_vicreg/Road-v0_1" and row["steps"] == "16"
    assert 1 <= float(row["effective_rank"]) <= float(row["dimensions"]) == 256
    assert float(row["vicreg_rank"]) >= 1 and len(row["inverse"].split()) == len(row["inverse_slope"].split()) == 3
    x = np.array([[1.0, 2, 0], [2, 1, 0], [3, 0, 0]])
    np.testing.assert_allclose(script.compare(x, 2 * x[:, [0, 0, 0]]), [[1, -1, 0], [0.5, -0.5, 0]])


@smoke("filmstrip")
def filmstrip(bench):
    pytest.importorskip("matplotlib")
    script, run = bench.load("filmstrip"), road(bench, "bco")
    text = bench.main(script, run, *"--dataset road.npz --columns 3 --labels data agent --output out/o.png".split())
    assert text == "Filmstrip: out/o.png\n" and Path("out/o.png").read_bytes().startswith(b"\x89PNG")
    played = script.play(run, "agent", seed=0)
    assert played.frames.shape == (8, 36, 36, 1) and played.actions.shape == (8, 3)
    assert played.frames[-1].tolist() != played.frames[0].tolist()


# ---------------------------------------------------------------- sampling, dt's peers


@smoke("sampling")
def sampling(bench):
    bench.no_peers()
    text = bench.main(bench.load("sampling"), "--n-steps", 1500, "--rounds", 1, "--output", "o.md")
    assert "| goal pairs, all fields of HER, 256 |" in text and "d3rlpy" not in text
    assert "goal pairs" in Path("o.md").read_text()


@smoke("frames")
def frames(bench):
    script = bench.load("frames")
    bench.patch.setattr(script, "LENGTH", 12)
    bench.patch.setattr(script, "train_in_new_process", script.train)
    text = bench.main(script, *"--n-frames 60 --n-recorded 20 --updates 1 --rounds 1 --output o.md".split())
    assert "| bytes per frame in memory, with all columns |" in text and "(goal: < 1.5 GiB)" in text
    assert "60 frames, made of 20 different ones" in Path("o.md").read_text().replace("\n", " ")


@smoke("image_encoders")
def image_encoders(bench):
    script = bench.load("image_encoders")
    bench.patch.setattr(script, "SHAPES", [(1, 36, 36)])
    bench.patch.setattr(script, "BATCH", 2)
    text = bench.main(script, "--rounds", 1)
    assert "| image | `nature`, training | `compact`, training |" in text and "| 1 x 36 x 36 | " in text


@smoke("dt_setting")
def dt_setting(bench):
    script = bench.load("dt_setting")
    episodes = list(script.make_episodes(1500))
    assert sum(len(episode.actions) for episode in episodes) == 1500
    assert all(len(episode.observations) == len(episode.actions) + 1 for episode in episodes)


@smoke("dt_agent")
def dt_agent(bench):
    model = bench.load("dt_agent").dt_model(bench.load("dt_setting").make_episodes(300))
    before = model._n_updates
    model.train(1)
    assert model._n_updates == before + 1


@smoke("dt_memory")
def dt_memory(bench):
    script = bench.load("dt_memory")
    assert float(bench.main(script, "--only", "dt", "--steps", 300, "--updates", 1)) > 10
    peaks = iter(["30.0", "60.0"])
    bench.patch.setattr(script.subprocess, "run", lambda *_, **__: types.SimpleNamespace(stdout=next(peaks)))
    assert "| dt | 30 | 0.50 |" in bench.main(script)


@smoke("obedience")
def obedience(bench):
    agent, setting, script = bench.load("dt_agent"), bench.load("dt_setting"), bench.load("obedience")
    bench.patch.setattr(script, "WINDOWS", 8)
    episodes = list(setting.make_episodes(300))
    agent.dt_model(episodes).save("agent")
    agent.make_store(episodes).save("data.npz")
    text = bench.main(script, "--algo", "dt", "--dataset", "data.npz", "agent.zip")
    assert text.startswith("agent.zip: error ") and "change by -1000: " in text


@smoke("peer_d3rlpy")
def peer_d3rlpy(bench):
    """What is ours of it: the episodes that it hands over."""
    bench.fake_peers()
    script = bench.load("peer_d3rlpy")
    given: list[Any] = []
    script.d3rlpy.dataset = types.SimpleNamespace(
        Episode=lambda *parts: given.append(parts),
        BasicTrajectorySlicer=object,
        create_infinite_replay_buffer=lambda episodes, trajectory_slicer: None,
    )
    script.d3rlpy_buffer(bench.load("dt_setting").make_episodes(300))
    observations, actions, rewards, terminated = given[0]
    assert len(observations) == len(actions) == len(rewards) and rewards.ndim == 2 and terminated


@smoke("dt_pieces")
def dt_pieces(bench):
    script = bench.load("dt_pieces")
    bench.patch.setattr(script, "PIECES", {"byte dropout": script.PIECES["byte dropout"]})
    bench.patch.setattr(script, "dt_model", lambda *_, **__: None)
    bench.patch.setattr(script, "dt_acting", lambda *_: lambda: sum(range(1000)))
    text = bench.main(script, "--rounds", 1, "--steps", 400)
    assert "\n| nothing | " in text and "\n| byte dropout | " in text


@smoke("dt_peers")
def dt_peers(bench):
    """Ours is real, the peers are not; the page has a line for each."""
    bench.fake_peers()
    script = bench.load("dt_peers")
    nothing = lambda *_, **__: sum(range(1000))  # noqa: E731  takes some time
    for name in ("d3rlpy_training", "transformers_training", "d3rlpy_acting", "transformers_acting"):
        bench.patch.setattr(script, name, lambda *_, **__: nothing)
    for name in ("d3rlpy_buffer", "transformers_model"):
        bench.patch.setattr(script, name, lambda *_, **__: None)
    bench.patch.setattr(
        script, "d3rlpy_agent", lambda *_: types.SimpleNamespace(build_with_dataset=lambda buffer: None)
    )
    bench.patch.setattr(script, "version", lambda name: "1.0")
    bench.patch.setattr(script, "pieces_table", lambda episodes, rounds: ["| nothing | 1.0 |"])
    text = bench.main(script, "--rounds", 1, "--steps", 400, "--output", "o.md")
    assert text.count("\n| dt") == 8 and text.count("\n| transformers |") == 4
    assert Path("o.md").read_text() in text


@smoke("dt_peer_score")
def dt_peer_score(bench):
    bench.fake_peers()
    script = bench.load("dt_peer_score")
    bench.load("dt_agent").make_store(bench.load("dt_setting").make_episodes(300)).save("data.npz")
    player = types.SimpleNamespace(reset=lambda: None, predict=lambda observation, reward: np.zeros(1, np.float32))
    agent = types.SimpleNamespace(
        build_with_dataset=lambda buffer: None, update=lambda batch: None, as_stateful_wrapper=lambda target: player
    )
    bench.patch.setattr(script, "d3rlpy_agent", lambda mean, std: agent)
    buffer = types.SimpleNamespace(sample_trajectory_batch=lambda n, length: None)
    bench.patch.setattr(script, "d3rlpy_buffer", lambda episodes: buffer)
    words = "--dataset data.npz --env Pendulum-v1 --steps 1 --episodes 1 --output o.csv"
    bench.main(script, *words.split())
    assert Path("o.csv").read_text().splitlines()[1].startswith("d3rlpy,Pendulum-v1,0,1,")
