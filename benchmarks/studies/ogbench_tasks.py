"""
Evaluate a trained agent as OGBench does: 50 episodes of each of the five tasks of an environment.

    python -m rl_zoo3.train --algo gcsl --env pointmaze-medium-v0 --seed 0
    python benchmarks/studies/ogbench_tasks.py --algo gcsl --env pointmaze-medium-v0 -f logs

Uses the wrappers of the training. Prints the success rate of each task, and with ``--output`` adds a row to a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import ogbench  # noqa: F401, registers its environments
import torch as th
import yaml
from rl_zoo3.utils import ALGOS, get_latest_run_id, get_wrapper_class
from runs import add_row
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

WrapperClass = Callable[[gym.Env], gym.Env] | None
TASKS = (1, 2, 3, 4, 5)


def success_rate(model: BaseAlgorithm, env_id: str, wrapper: WrapperClass, task: int, episodes: int) -> float:
    """Evaluate the greedy policy on one task, by the success flag at the last step of each episode."""
    env = make_vec_env(env_id, n_envs=episodes, wrapper_class=wrapper)  # one episode each: only `reset` takes a task
    env.set_options({"task_id": task})
    np.random.seed(1000 + task)  # OGBench draws starts and goals with numpy's global generator
    observation = env.reset()
    ended, reached = np.zeros(episodes, dtype=bool), np.zeros(episodes, dtype=bool)
    while not ended.all():
        action, _ = model.predict(observation, deterministic=True)
        observation, _, dones, infos = env.step(action)
        for index in np.flatnonzero(dones & ~ended):
            reached[index] = infos[index]["is_success"]
        ended |= dones
    env.close()
    return float(reached.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", required=True)
    parser.add_argument("--env", required=True)
    parser.add_argument("-f", "--folder", type=Path, default=Path("logs"))
    parser.add_argument("--exp-id", type=int, default=0, help="0: the latest")
    parser.add_argument("--episodes", type=int, default=50, help="episodes per task")
    parser.add_argument("--name", default="default", help="name of the variant, the first column of the table")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    th.set_num_threads(1)
    run = args.exp_id or get_latest_run_id(str(args.folder / args.algo), args.env)
    folder = args.folder / args.algo / f"{args.env}_{run}"
    # RL Zoo writes an OrderedDict into this file, which no safe loader reads; it is our own.
    config = dict(yaml.unsafe_load((folder / args.env / "config.yml").read_text()))
    model = ALGOS[args.algo].load(folder / f"{args.env}.zip", device="cpu")
    wrapper = get_wrapper_class(config)
    rates = [success_rate(model, args.env, wrapper, task, args.episodes) for task in TASKS]
    row = {"name": args.name, "env": args.env, "seed": model.seed, "episodes": args.episodes * len(TASKS)}
    row |= {"mean": f"{np.mean(rates):.3f}"} | {f"task{task}": f"{r:.2f}" for task, r in zip(TASKS, rates, strict=True)}
    print(row, flush=True)
    if args.output is not None:
        add_row(args.output, row)


if __name__ == "__main__":
    main()
