"""
Measure how sensitive a Decision Transformer is to the return-to-go: the mean change of its actions on its training data
when the return-to-go is raised or lowered, compared with its prediction error.

    python benchmarks/studies/obedience.py --algo dt_gated --dataset gcrl/hopper/mixed-v0 agent.zip
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch as th

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.data import Windows, open_store
from gcrl_zoo.registry import discover

WINDOWS, SEED = 2000, 0


def measure(algo: str, agent: Path, dataset: str, shifts: list[float]) -> str:
    """Return a line with the agent's error at the last step of windows, and the mean change of its actions."""
    model = discover()[algo].algorithm.load(agent, device="cpu")
    policy = model.policy
    policy.set_training_mode(False)
    windows = Windows(open_store(dataset), policy.context_length)
    batch = to_tensors(windows.sample(np.random.default_rng(SEED), WINDOWS), policy.device)
    full = batch.mask[:, -1].bool()

    def params(shift: float) -> th.Tensor:
        told = batch._replace(returns_to_go=batch.returns_to_go + shift)
        return policy.head(policy.represent_windows(told)[:, -1])[full]

    with th.no_grad():
        usual = params(0.0)
        error = policy.head.nll(usual, batch.actions[:, -1][full]).mean()
        changes = ", ".join(f"{shift:+g}: {(params(shift) - usual).abs().mean():.3f}" for shift in shifts)
        notes = {name: f"{value:.2f}" for name, value in model.train_metrics({"labelled": batch}).items()}
    return f"{agent}: error {error:.3f}; change by {changes}; {notes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="+", type=Path, help="zips")
    parser.add_argument("--algo", required=True)
    parser.add_argument("--dataset", required=True, help="id or path")
    parser.add_argument("--shifts", nargs="+", type=float, default=[-1000.0, 1000.0], help="of the return-to-go")
    args = parser.parse_args()
    for agent in args.agents:
        print(measure(args.algo, agent, args.dataset, args.shifts), flush=True)


if __name__ == "__main__":
    main()
