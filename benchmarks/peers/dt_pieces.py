"""
What each piece of `gcrl_zoo/nets/fast` gains: training and acting of `dt` with all pieces but one.

    OMP_NUM_THREADS=1 python benchmarks/peers/dt_pieces.py

`dt_peers.py` puts the same table on its page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from unittest.mock import patch

import torch
from dt_agent import dt_acting, dt_model, dt_training
from dt_setting import Arrays, Step, make_episodes, measure
from torch import nn

from gcrl_zoo.nets.fast import cache, transformer
from gcrl_zoo.nets.transformer import MLP, CausalSelfAttention, Transformer

Without = Callable[[], AbstractContextManager[object]]

CAPTION = """\
*Effect of each optimisation in `gcrl_zoo/nets/fast`: CPU time of `dt` without this optimisation, and its ratio to the
time with all of them (row "nothing"). Acting in one environment.*"""


def without_part(**parts: object) -> Without:
    """:param parts: plain parts to build the networks from instead of the fast ones"""
    return lambda: patch.object(transformer, "FAST", transformer.FAST._replace(**parts))  # type: ignore[arg-type]


#: How to take each piece away; the network is built and used inside of the context.
PIECES: dict[str, Without] = {
    "folded attention": without_part(attention=CausalSelfAttention),
    "gradient by hand": without_part(mlp=MLP),
    "byte dropout": without_part(dropout=nn.Dropout),
    "cached products of weights": lambda: patch.object(
        cache.NetworkCache, "__call__", lambda self, network: self.compute(network)
    ),
    "direct layers, cached products": lambda: patch.object(transformer.FastTransformer, "forward", Transformer.forward),
    "CPU backend": lambda: patch("gcrl_zoo.methods.dt.dt.fast_matmul", lambda device: nullcontext()),
}


def pieces_table(episodes: list[Arrays], rounds: int) -> list[str]:
    """Lines of the table, by the median CPU time of a gradient step and of a step of one environment."""
    columns = {
        "training": (partial(dt_training, episodes), rounds),
        "window": (lambda: dt_acting(dt_model(episodes[:5]), 1), 5 * rounds),
        "banded": (lambda: dt_acting(dt_model(episodes[:5], attention="banded"), 1), 10 * rounds),
    }
    gains = {name: gains_of(make, n) for name, (make, n) in columns.items()}
    lines = [
        "| without | training, ms | ratio | acting, ms | ratio | acting, `attention: banded`, ms | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in ("nothing", *PIECES):
        cells = [f"{gains[column][name][0]:.2f} | {gains[column][name][1]:.2f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", *CAPTION.splitlines()]


def gains_of(make: Callable[[], Step], rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds without each piece, and their ratio to those with all pieces."""
    steps: dict[str, Step] = {"nothing": make()}
    for name, without in PIECES.items():
        with without():
            steps[name] = inside(without, make())
    times = measure(steps, rounds)
    return {name: (ms, ms / times["nothing"]) for name, ms in times.items()}


def inside(context: Without, step: Step) -> Step:
    """The step, each time inside of a new context."""

    def run() -> None:
        with context():
            step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=39)
    parser.add_argument("--steps", type=int, default=100_000, help="of data")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(pieces_table(list(make_episodes(args.steps)), args.rounds)))


if __name__ == "__main__":
    main()
