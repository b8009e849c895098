"""
Measure the peak memory of `dt` and of d3rlpy's Decision Transformer: a million steps of data and some gradient steps.

    bench/bin/python benchmarks/peers/dt_memory.py

Each runs in a separate process. The result is the peak of its resident memory. Episodes are passed one at a time.
Install d3rlpy as described in `dt_peers.py`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import numpy as np
from dt_setting import BATCH, OBS, K, make_episodes


def train_dt(n_steps: int, updates: int) -> None:
    from dt_agent import dt_model

    dt_model(make_episodes(n_steps)).train(updates)


def train_d3rlpy(n_steps: int, updates: int) -> None:
    from peer_d3rlpy import d3rlpy_agent, d3rlpy_buffer

    buffer, agent = d3rlpy_buffer(make_episodes(n_steps)), d3rlpy_agent(np.zeros(OBS), np.ones(OBS))
    agent.build_with_dataset(buffer)
    for _ in range(updates):
        agent.update(buffer.sample_trajectory_batch(BATCH, K))


TRAIN = {"dt": train_dt, "d3rlpy": train_d3rlpy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(TRAIN))
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--updates", type=int, default=10)
    args = parser.parse_args()
    if args.only:
        TRAIN[args.only](args.steps, args.updates)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    words = [sys.executable, __file__, "--steps", str(args.steps), "--updates", str(args.updates), "--only"]
    peaks = {
        who: float(subprocess.run([*words, who], check=True, capture_output=True, text=True).stdout.split()[-1])
        for who in TRAIN
    }
    print("| | peak MiB | of d3rlpy's |\n|---|---:|---:|")
    for who, peak in peaks.items():
        print(f"| {who} | {peak:.0f} | {peak / peaks['d3rlpy']:.2f} |")


if __name__ == "__main__":
    main()
