"""The command ``python -m gcrl_zoo.record``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium

from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.formats.minari_storage import returns_of
from gcrl_zoo.data.formats.minari_writer import check_target
from gcrl_zoo.data.memory import readable_size
from gcrl_zoo.record import record
from gcrl_zoo.record.options import check_options, make_parser
from gcrl_zoo.record.processes import ProcessError
from gcrl_zoo.zoo.command_line import fail

if TYPE_CHECKING:
    from minari import MinariDataset


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    :param arguments: command-line arguments; None for those of the process
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    check_options(parser, args)
    try:
        _record(args)
    except (ValueError, WriteError, ProcessError, gymnasium.error.Error) as error:
        fail(parser, error)


def _record(args: argparse.Namespace) -> None:
    check_target(args.dataset_id, args.append, args.force)

    # Imported late, so that -h does not wait for RL Zoo.
    import torch

    from gcrl_zoo.record.source import Source
    from gcrl_zoo.zoo import agents

    if args.n_envs == 1:
        torch.set_num_threads(1)  # as in each of several processes, so that results agree in every digit
    source = Source.of(args)
    model, env = source.make(args.n_envs)
    try:
        dataset = record(
            model,
            env,
            args.dataset_id,
            n_episodes=args.n_episodes,
            n_timesteps=args.n_timesteps,
            noise=args.noise if len(args.noise) > 1 else args.noise[0],
            deterministic=args.deterministic or not (args.stochastic or agents.samples_by_default(args.env)),
            seed=args.seed,
            algorithm_name=source.name,
            author=args.author,
            description=args.description,
            append=args.append,
            force=args.force,
            progress=True,
            processes=args.processes,
            make=source.make,
        )
    finally:
        env.close()
    _report(dataset)


def _report(dataset: MinariDataset) -> None:
    """Print what a dataset holds."""
    folder = Path(dataset.storage.data_path)
    returns = returns_of(dataset.storage)
    print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps, {folder}")
    size = readable_size(sum(path.stat().st_size for path in folder.iterdir()))
    mean, deviation, least, most = returns.mean(), returns.std(), returns.min(), returns.max()
    print(
        f"return {mean:,.6g} ± {deviation:,.6g} (mean ± standard deviation), from {least:,.6g} to {most:,.6g}; {size}"
    )


if __name__ == "__main__":
    # Cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main()
