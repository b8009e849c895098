"""The options of ``python -m gcrl_zoo.record``."""

from __future__ import annotations

import argparse
from typing import Any

from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.open import import_images
from gcrl_zoo.zoo.command_line import count, fail

# Options that select an agent in a log folder.
LOG_FOLDER = ("folder", "exp_id", "load_best", "load_checkpoint", "load_last_checkpoint")


class _Import(argparse.Action):
    """Imports the images of a Minari dataset and exits. Like ``--help``, it needs no other option."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        try:
            store, folder = import_images(values)
        except (ValueError, WriteError) as error:
            fail(parser, error)
        print(f"{store.name}: {store.n_episodes} episodes, {store.n_steps} steps, {folder}")
        parser.exit()


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """
    Refuse options that do not go together, as the parser does.

    :param parser: from :func:`make_parser`
    :param args: that it parsed
    """
    sources = {"--random": args.random, "--policy": args.policy, "--model": args.model}
    source = next((name for name, given in sources.items() if given), None)
    allowed = {"--policy": ("policy_kwargs", "wrappers"), None: LOG_FOLDER}.get(source, ("wrappers",))
    for name in ("model", "policy_kwargs", "wrappers", *LOG_FOLDER):
        given = getattr(args, name) != parser.get_default(name)
        if given and name not in allowed and source != f"--{name}":
            which = f"with argument {source}" if source else "with an agent of a log folder"
            parser.error(f"argument --{name.replace('_', '-')}: not allowed {which}")
    if args.processes > 1 and args.n_envs > 1:
        parser.error("argument --n-envs: not allowed with argument --processes")


def make_parser() -> argparse.ArgumentParser:
    """Create the parser; shared options have the names of ``rl_zoo3.enjoy``."""
    parser = argparse.ArgumentParser(
        prog="python -m gcrl_zoo.record",
        description="Record episodes of an agent as a Minari dataset.",
    )
    parser.add_argument("--import", action=_Import, metavar="ID", help="import a Minari dataset with images, and exit")
    parser.add_argument("--dataset-id", required=True, help="such as cartpole/ppo-v0 (stored in MINARI_DATASETS_PATH)")
    parser.add_argument("--env", required=True, help="environment ID")
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="arguments of its constructor")
    parser.add_argument(
        "--wrappers",
        metavar="ALGO[/PRESET]",
        help="wrap the environment as the hyperparameters of ALGO do, without frame stacks",
    )
    parser.add_argument("--gym-packages", nargs="+", default=[], help="packages to import that register environments")

    agent = parser.add_argument_group("agent")
    who = agent.add_mutually_exclusive_group(required=True)
    who.add_argument("--algo", help="RL algorithm of RL Zoo")
    who.add_argument("--random", action="store_true", help="uniformly random actions instead of an agent")
    who.add_argument("--policy", metavar="MODULE:FACTORY", help="function that takes the VecEnv and returns a policy")
    agent.add_argument("--policy-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="arguments of FACTORY")
    agent.add_argument("--model", help="zip of an agent outside a log folder, without VecNormalize")
    agent.add_argument("-f", "--folder", help="log folder (default: logs)")
    agent.add_argument("--exp-id", type=int, help="experiment ID (default: 0: latest, -1: no exp folder)")
    which = agent.add_mutually_exclusive_group()
    which.add_argument("--load-best", action="store_true", help="the best agent instead of the final one")
    which.add_argument("--load-checkpoint", metavar="STEPS", help="the checkpoint after that many steps")
    which.add_argument("--load-last-checkpoint", action="store_true", help="the last checkpoint")
    agent.add_argument("--device", default="auto", help="PyTorch device")

    play = parser.add_argument_group("play")
    amount = play.add_mutually_exclusive_group(required=True)
    amount.add_argument("--n-episodes", type=count, metavar="N", help="number of episodes")
    amount.add_argument("-n", "--n-timesteps", type=count, metavar="N", help="number of steps, in whole episodes")
    play.add_argument("--n-envs", type=count, default=1, metavar="N", help="number of environments (default: 1)")
    play.add_argument(
        "--processes",
        type=count,
        default=1,
        metavar="N",
        help="number of processes, each with one environment (default: 1); the dataset is the same for every N",
    )
    how = play.add_mutually_exclusive_group()
    how.add_argument("--deterministic", action="store_true", help="most likely actions (default, except for Atari)")
    how.add_argument("--stochastic", action="store_true", help="sampled actions")
    play.add_argument(
        "--noise",
        type=float,
        nargs="+",
        default=[0.0],
        help="Box: standard deviation of Gaussian noise, as a fraction of half the action range; Discrete: "
        "probability of a random action; each episode draws one of several",
    )
    play.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")

    dataset = parser.add_argument_group("dataset")
    dataset.add_argument("--author", help="author of the dataset")
    dataset.add_argument("--description", help="description of the dataset (default: how it was recorded)")
    exists = dataset.add_mutually_exclusive_group()
    exists.add_argument("--append", action="store_true", help="add to an existing dataset")
    exists.add_argument("--force", action="store_true", help="replace an existing dataset")
    return parser
