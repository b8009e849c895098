"""The command ``python -m gcrl_zoo.publish``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.zoo.command_line import count, fail


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    :param arguments: command-line arguments; None for those of the process
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    parser = _parser()
    args = parser.parse_args(given[:end])
    if given[end + 1 :] and not args.train:
        parser.error("arguments after -- are passed to rl_zoo3.train, and need --train")

    # Imported late, so that -h does not wait for RL Zoo.
    import torch as th

    from gcrl_zoo.publish import Publisher, publish

    if args.num_threads > 0:
        th.set_num_threads(args.num_threads)
    organization = None if args.no_push else args.organization
    publisher = Publisher(
        organization,
        args.folder,
        args.n_episodes,
        0 if args.no_video else args.n_timesteps,
        args.private,
        args.device,
    )
    try:
        seeds = args.seeds if args.train else ()
        failures = publish(publisher, args.algo, args.env, seeds, given[end + 1 :], args.output)
    except (ValueError, WriteError) as error:
        fail(parser, error)
    print(f"The table is in {args.output}.")
    if failures:
        parser.exit(1, "".join(f"failed: {failure}\n" for failure in failures))


def _parser() -> argparse.ArgumentParser:
    """Create the parser; shared options have the names of RL Zoo's scripts."""
    parser = argparse.ArgumentParser(
        prog="python -m gcrl_zoo.publish",
        description="Evaluate the agents in a log folder, write a table of them, and push them to the Hub.",
        epilog="Arguments after -- are passed to rl_zoo3.train, as in --train -- -n 1000 --num-threads 1.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-orga", "--organization", help="organisation or user on the Hub that owns the agents")
    where.add_argument("--no-push", action="store_true", help="only evaluate and write the table")
    parser.add_argument("--private", action="store_true", help="create private repositories")
    parser.add_argument("-f", "--folder", type=Path, default=Path("logs"), help="log folder (default: logs)")
    parser.add_argument("--algo", nargs="+", default=[], help="only these methods")
    parser.add_argument("--env", nargs="+", default=[], help="only these environments")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmark.md"), help="table (default: benchmark.md)")
    parser.add_argument("--n-episodes", type=count, default=20, metavar="N", help="evaluation episodes (default: 20)")
    parser.add_argument(
        "-n", "--n-timesteps", type=count, default=1000, metavar="N", help="length of a video (default: 1000)"
    )
    parser.add_argument("--no-video", action="store_true", help="push no videos")
    parser.add_argument("--train", action="store_true", help="first train what is missing, in all tuned environments")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds (default: 0 1 2)")
    parser.add_argument("--num-threads", type=int, default=-1, help="threads of PyTorch (-1 to use default)")
    parser.add_argument("--device", default="auto", help="PyTorch device")
    return parser


if __name__ == "__main__":
    main()
