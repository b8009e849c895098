"""
Train and evaluate d3rlpy's Decision Transformer with the network, data, batch size and gradient steps of `dt`.

    export MINARI_DATASETS_PATH=...
    bench/bin/python benchmarks/peers/dt_peer_score.py --seed 0 --output docs/results/dt_d3rlpy.csv

Install d3rlpy as described in `dt_peers.py`. Network, optimizer and return scale are those of d3rlpy's own reproduction
of the paper. The target return is fixed before training. The score is that after the last update.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from dt_setting import Arrays
from peer_d3rlpy import BATCH, K, d3rlpy, d3rlpy_agent, d3rlpy_buffer

from benchmarks.studies.runs import add_row
from gcrl_zoo.data.open import open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="gcrl/hopper/medium-v0")
    parser.add_argument("--env", default="Hopper-v5")
    parser.add_argument("--target", type=float, default=3600)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")  # equally exact on this CPU, and a tenth faster
    d3rlpy.seed(args.seed)
    store = open_store(args.dataset)
    whole = [store.episode(i) for i in range(store.n_episodes)]
    episodes = [Arrays(each.observations["observation"], each.actions, each.rewards) for each in whole]
    seen = np.concatenate([each.observations for each in episodes])
    agent, buffer = d3rlpy_agent(seen.mean(0), seen.std(0)), d3rlpy_buffer(episodes)
    agent.build_with_dataset(buffer)
    start = time.monotonic()
    for _ in range(args.steps):
        agent.update(buffer.sample_trajectory_batch(BATCH, K))
    minutes = (time.monotonic() - start) / 60
    env, returns = gym.make(args.env), []
    player = agent.as_stateful_wrapper(args.target)
    for episode in range(args.episodes):
        player.reset()
        observation, _ = env.reset(seed=1000 if episode == 0 else None)
        reward = total = 0.0
        over = False
        while not over:
            action = player.predict(observation.astype(np.float32), reward)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
        returns.append(total)
    row = {"name": "d3rlpy", "env": args.env, "seed": args.seed, "episodes": args.episodes}
    row |= {
        "mean": f"{np.mean(returns):.1f}",
        "std": f"{np.std(returns):.1f}",
        "success": "",
        "minutes": f"{minutes:.1f}",
    }
    row["command"] = f"{sys.argv[0]} --seed {args.seed} --output {args.output}"
    add_row(args.output, row)
    print(row)


if __name__ == "__main__":
    main()
