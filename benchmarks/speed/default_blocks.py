"""
Measure how long the YAML block `default` of each method takes, in environments without a block.

    OMP_NUM_THREADS=1 python benchmarks/speed/default_blocks.py --output docs/results/default_blocks.md

Measures CPU time of one thread, which does not depend on other load. A run is stopped after some seconds of learning,
and the duration of the remaining timesteps is extrapolated. `gcsl` gets a goal from `FixedGoal`. The dataset contains
random interaction.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch as th
import yaml
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.callbacks import BaseCallback

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.estimate import TimeEstimate
from gcrl_zoo.zoo.hyperparams import compose

#: By environment: a goal for gcsl.
ENVS: dict[str, dict[str, Any]] = {
    "Acrobot-v1": {"goal": [-1.0], "indices": [0], "threshold": 0.1},
    "Pendulum-v1": {"goal": [1.0], "indices": [0], "threshold": 0.1},
    "Hopper-v5": {"goal": [1.25, 0, 2.5], "indices": [0, 1, 5], "threshold": [0.25, 0.2, 1]},
}
NOWHERE = "an environment without a block"


class Took(NamedTuple):
    """
    Duration of a training.

    :param first_log: seconds until the first log line
    :param whole: seconds for all timesteps
    """

    timesteps: int
    first_log: float
    whole: float


class Stop(BaseCallback):
    """Stop a run once it has an estimate and a log line."""

    def __init__(self, estimate: TimeEstimate, logs: list[float]) -> None:
        super().__init__()
        self.estimate, self.logs = estimate, logs

    def _on_step(self) -> bool:
        return self.estimate.seconds is None or not self.logs


def make_dataset(env_id: str, folder: Path, n_steps: int) -> str:
    """
    Record a dataset of random interaction.

    :param env_id: id of the environment
    :param folder: where to write the dataset
    :param n_steps: minimum number of steps
    :return: path of the dataset
    """
    env, path = gym.make(env_id), folder / "random.npz"
    env.action_space.seed(0)

    def episodes() -> Iterator[Episode]:
        played = 0
        while played < n_steps:
            observations, actions, rewards, over = [env.reset(seed=played)[0]], [], [], False
            while not over:
                actions.append(env.action_space.sample())
                observation, reward, terminated, truncated, _ = env.step(actions[-1])
                observations.append(observation)
                rewards.append(float(reward))
                over = terminated or truncated
            played += len(actions)
            yield Episode({"observation": np.array(observations)}, np.array(actions), np.array(rewards), terminated)

    TrajectoryStore.from_episodes(episodes()).save(path)
    return str(path)


def measure(algo: str, env_id: str, source: str, folder: Path, seconds: float, data_steps: int = 20_000) -> Took:
    """
    Measure one run and extrapolate its duration.

    :param algo: name of the method
    :param env_id: id of the environment
    :param source: ``""`` for online training, or ``"dataset"``
    :param folder: for temporary files
    :param seconds: CPU time of learning that is measured
    :param data_steps: number of steps of the dataset
    """
    _, block = compose(discover()[algo], None, NOWHERE, given=[source] if source else [])
    if source:
        block |= {source: make_dataset(env_id, folder, data_steps)}
    if algo == "gcsl":
        block |= {"env_wrapper": [{"gcrl_zoo.wrappers.FixedGoal": ENVS[env_id]}]}
    conf = folder / "block.yml"
    conf.write_text(yaml.dump({"default": block}))
    manager = ExperimentManager(
        argparse.Namespace(), algo, env_id, str(folder), eval_freq=-1, config=str(conf), verbose=0, device="cpu"
    )
    with contextlib.redirect_stdout(io.StringIO()):
        model, _ = manager.setup_experiment()  # type: ignore[misc]
    logs: list[float] = []
    dump = model.dump_logs  # type: ignore[attr-defined]

    def dump_logs() -> None:
        logs.append(time.process_time() - start)
        dump()

    model.dump_logs = dump_logs  # type: ignore[attr-defined]
    start = time.process_time()
    estimate = TimeEstimate(0, time.process_time, seconds)
    model.learn(manager.n_timesteps, [estimate, Stop(estimate, logs)])
    assert estimate.seconds is not None, "all timesteps took less than the seconds to measure"
    return Took(manager.n_timesteps, logs[0], estimate.measured_at - start + estimate.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=sorted(discover()), choices=sorted(discover()))
    parser.add_argument("--envs", nargs="+", default=list(ENVS), choices=list(ENVS))
    parser.add_argument("--seconds", type=float, default=20, help="CPU time of learning that is measured (default: 20)")
    parser.add_argument("--output", type=Path, help="write a page, such as docs/results/default_blocks.md")
    args = parser.parse_args()
    th.set_num_threads(1)
    lines = [
        "*CPU time of a training with the YAML block `default` of each method, one thread "
        f"({platform.machine()}, torch {th.__version__}), extrapolated from {args.seconds:.0f} seconds of learning, "
        "one run each.*",
        "",
        "| method | environment | learns from | timesteps | first log line, s | all timesteps, minutes |",
        "|---|---|---|---:|---:|---:|",
    ]
    print("\n".join(lines))
    for algo in args.algos:
        for env_id in args.envs:
            for source in ("", "dataset"):
                with tempfile.TemporaryDirectory() as folder:
                    took = measure(algo, env_id, source, Path(folder), args.seconds)
                line = f"| `{algo}` | {env_id} | {source or 'online'} | {took.timesteps:,} | {took.first_log:.1f} | "
                lines.append(f"{line}{took.whole / 60:.1f} |")
                print(lines[-1], flush=True)
    lines += [
        "",
        "- `gcsl` uses a `FixedGoal` wrapper. Datasets contain random interaction.",
        "- `dt`, `dt_gated` and `dt_vicreg`, online: the block `default` is the block of CartPole-v1.",
        "- A run prints its estimated duration five seconds after training starts, so you need not wait for the first",
        "  log line.",
        "",
        "To reproduce this page:",
        "",
        "    OMP_NUM_THREADS=1 python benchmarks/speed/default_blocks.py --output docs/results/default_blocks.md "
        f"--seconds {args.seconds:g}",
    ]
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text("# Time of the default blocks\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
