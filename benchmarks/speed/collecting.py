"""
Measure environment steps per second of online collection, compared with SB3's PPO in the same wrapped environments.

    OMP_NUM_THREADS=1 python benchmarks/speed/collecting.py --output docs/results/collecting.md

Both collect alternately in one process on one thread. The result is the median CPU time over rounds. A round of ours is
everything that ``learn`` does between two rounds of updates: acting, stepping, callbacks, and storing finished
episodes. A round of PPO is ``collect_rollouts``, which also computes values and log-probabilities. Both networks have
two hidden layers of 64 units.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.env_util import make_vec_env

from gcrl_zoo import GCSLVICReg
from gcrl_zoo.wrappers import ReturnToGo

N_ENVS, N_STEPS = 8, 250


def ours(env_id: str) -> Callable[[], object]:
    """Return a function that collects one round with our algorithm."""
    # A Gaussian like PPO's, so that both agents fall equally often, since resets take time too.
    gaussian = {"action_head": "gaussian", "action_head_kwargs": {"log_std_init": 0.0}}
    head = gaussian if env_id.startswith("Hopper") else {}
    model = GCSLVICReg(
        "MultiInputPolicy",
        make_vec_env(env_id, N_ENVS, seed=0, wrapper_class=ReturnToGo),
        learning_starts=0,
        train_freq=N_STEPS,
        noise_levels=0.0,  # PPO explores only by sampling
        policy_kwargs={"embedding_dim": 64, "net_arch": [64], "representation_dim": 64, **head},
        device="cpu",
        seed=0,
    )
    _, callback = model._setup_learn(10**9)
    return lambda: model.collect_rollouts(callback)


def ppo(env_id: str) -> Callable[[], object]:
    """Return a function that collects one round with PPO."""
    env = make_vec_env(env_id, N_ENVS, seed=0, wrapper_class=ReturnToGo)
    model = PPO("MultiInputPolicy", env, n_steps=N_STEPS, device="cpu", seed=0)  # [64, 64] by default
    callback = CallbackList([])
    model._setup_learn(10**9)
    callback.init_callback(model)
    return lambda: model.collect_rollouts(model.env, callback, model.rollout_buffer, N_STEPS)


def measure(env_id: str, rounds: int) -> tuple[float, float]:
    """Return steps per second of CPU time of ours and of PPO."""
    players = [ours(env_id), ppo(env_id)]
    seconds: list[list[float]] = [[], []]
    for player in players:
        player()
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for index in rng.permutation(2):
            start = time.process_time()
            players[index]()
            seconds[index].append(time.process_time() - start)
    mine, theirs = (N_ENVS * N_STEPS / float(np.median(values)) for values in seconds)
    return mine, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["CartPole-v1", "Hopper-v5"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    th.set_num_threads(1)
    lines = [
        f"*Online collection with {N_ENVS} environments in one process on one thread: environment steps per second of "
        f"CPU time, median of {args.rounds} rounds of {N_STEPS} steps per environment ({platform.machine()}, torch "
        f"{th.__version__}). A round includes acting, stepping, callbacks and storing.*",
        "",
        "| environment (in `ReturnToGo`) | gcsl_vicreg, steps/s | SB3 PPO, steps/s | ratio |",
        "|---|---|---|---|",
    ]
    for env_id in args.envs:
        mine, theirs = measure(env_id, args.rounds)
        lines.append(f"| {env_id} | {mine:,.0f} | {theirs:,.0f} | {mine / theirs:.2f} |")
    command = "OMP_NUM_THREADS=1 python benchmarks/speed/collecting.py --output docs/results/collecting.md"
    lines += ["", "To reproduce this page:", "", f"    {command}"]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(f"# Online collection speed\n\n{text}\n")


if __name__ == "__main__":
    main()
