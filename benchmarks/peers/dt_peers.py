"""
Measure how fast `dt` trains and acts, compared with the Decision Transformers of d3rlpy and Hugging Face's
transformers.

All contenders run in one process on one thread and learn from the same episodes, with the same network (K 20, 3 layers
of width 128, 1 head, batch 64). In each round, each contender takes a gradient step (including sampling) or acts once
in all environments with a full context, in random order. The result is the median CPU time, which is robust to other
load and to changes of the clock rate. transformers has no training loop and no sampler, so it uses ours. The peers are
not dependencies. To install them in a separate environment:

    python -m venv bench && bench/bin/pip install -e . d3rlpy transformers
    bench/bin/python benchmarks/peers/dt_peers.py --output docs/results/dt_speed.md
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dt_agent import dt_acting, dt_model, dt_training, make_store
from dt_pieces import pieces_table
from dt_setting import ACTION, BATCH, OBS, Arrays, K, Step, filled, make_episodes, measure
from peer_d3rlpy import d3rlpy_agent, d3rlpy_buffer

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.data import Windows

PAGE = """# Speed of dt compared with d3rlpy and transformers

*CPU time of a gradient step (including sampling) and of acting, for `dt` and the Decision Transformers of d3rlpy
{d3rlpy} and Hugging Face's transformers {transformers}. Random data of Hopper's size; context 20, 3 layers of width
128, 1 head, batch size 64, dropout 0.1. One process, one thread, median of {rounds} rounds. In each round, every
implementation takes one step, in random order ({cpu}, torch {torch}).*

{tables}

- transformers has no training loop and no sampler, so it uses ours.
- With several environments, d3rlpy needs one wrapper per environment. dt and transformers use one batched forward pass.

To reproduce this page:

    bench/bin/python benchmarks/peers/dt_peers.py --output docs/results/dt_speed.md
"""


def d3rlpy_training(episodes: list[Arrays], precision: str) -> Step:
    buffer, algo = d3rlpy_buffer(episodes), d3rlpy_agent(np.zeros(OBS), np.ones(OBS))
    algo.build_with_dataset(buffer)

    def step() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        algo.update(buffer.sample_trajectory_batch(BATCH, K))
        torch.set_float32_matmul_precision(before)

    return step


def transformers_model() -> Any:
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

    config = DecisionTransformerConfig(state_dim=OBS, act_dim=ACTION, max_ep_len=1000, n_inner=512)
    return DecisionTransformerModel(config)


def transformers_training(episodes: list[Arrays]) -> Step:
    model, windows = transformers_model(), Windows(make_store(episodes), K)
    optimizer, rng = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4), np.random.default_rng(0)

    def step() -> None:
        batch = to_tensors(windows.sample(rng, BATCH), torch.device("cpu"))
        mask = batch.mask
        actions = model(
            states=batch.observations["observation"],
            actions=batch.actions,
            returns_to_go=batch.returns_to_go.unsqueeze(2) / 1000,
            timesteps=batch.timesteps.long(),
            attention_mask=mask.long(),
        ).action_preds
        loss = ((actions - batch.actions)[mask] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()

    return step


def transformers_acting(model: Any, n_envs: int) -> Step:
    """One forward for all environments, of the whole window."""
    model.eval()
    timesteps, mask = torch.arange(K).expand(n_envs, K), torch.ones(n_envs, K, dtype=torch.long)
    states, actions = torch.randn(n_envs, K, OBS), torch.randn(n_envs, K, ACTION)
    returns_to_go = torch.randn(n_envs, K, 1)

    def step() -> None:
        with torch.inference_mode():
            model(
                states=states,
                actions=actions,
                returns_to_go=returns_to_go,
                timesteps=timesteps,
                attention_mask=mask,
            ).action_preds[:, -1].numpy()

    return step


def d3rlpy_acting(algo: Any, n_envs: int) -> Step:
    """Return a function that acts once in all environments; d3rlpy needs a wrapper for each."""
    rng, players = np.random.default_rng(0), [algo.as_stateful_wrapper(target_return=3600) for _ in range(n_envs)]

    def step() -> None:
        for player in players:
            player.predict(rng.standard_normal(OBS, dtype=np.float32), 1.0)

    return filled(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=39)
    parser.add_argument("--steps", type=int, default=100_000, help="of data")
    parser.add_argument("--output", type=Path, help="where to write the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    episodes = list(make_episodes(args.steps))
    training = {
        "dt": dt_training(episodes),
        "dt, `bf16: true`": dt_training(episodes, bf16=True),
        "d3rlpy as shipped": d3rlpy_training(episodes, "highest"),
        'd3rlpy, `set_float32_matmul_precision("medium")`': d3rlpy_training(episodes, "medium"),
        "transformers": transformers_training(episodes),
    }
    lines = ["| training | ms per gradient step | speed-up over d3rlpy |", "|---|---:|---:|"]
    times = measure(training, args.rounds)
    lines += [f"| {name} | {ms:.1f} | {times['d3rlpy as shipped'] / ms:.2f} |" for name, ms in times.items()]
    lines += ["", "| acting | environments | ms per step of all | speed-up over d3rlpy |", "|---|---:|---:|---:|"]
    window, banded = (dt_model(episodes[:5], attention=attention) for attention in ("window", "banded"))
    peer = d3rlpy_agent(np.zeros(OBS), np.ones(OBS))
    peer.build_with_dataset(d3rlpy_buffer(episodes[:5]))
    other = transformers_model()
    for n_envs in (1, 16, 64):
        acting = {
            "dt, `attention: window`": dt_acting(window, n_envs),
            "dt, `attention: banded`": dt_acting(banded, n_envs),
            "d3rlpy": d3rlpy_acting(peer, n_envs),
            "transformers": transformers_acting(other, n_envs),
        }
        times = measure(acting, args.rounds * (10 if n_envs == 1 else 1))
        lines += [f"| {name} | {n_envs} | {ms:.2f} | {times['d3rlpy'] / ms:.1f} |" for name, ms in times.items()]
    page = PAGE.format(
        **{name: version(name) for name in ("d3rlpy", "transformers", "torch")},
        rounds=args.rounds,
        cpu=cpu(),
        tables="\n".join([*lines, "", *pieces_table(episodes, args.rounds)]),
    )
    print(page)
    if args.output:
        args.output.write_text(page)


def cpu() -> str:
    """
    Name the CPU, since ratios depend on it: on some, torch's second backend multiplies twice as fast as the first.
    """
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    facts = {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in lines)}
    return f"{facts['model name']}, family {facts['cpu family']}, model {facts['model']}"


if __name__ == "__main__":
    main()
