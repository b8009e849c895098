"""
Profile a training: the shares of the networks, the environment, sampling, and the rest, which is our overhead.

    OMP_NUM_THREADS=1 python benchmarks/speed/where_time_goes.py --algo gcsl_vicreg --env Hopper-v5 \\
        --stream gcrl/hopper/mixed-v0 --timesteps 30000

Trains with the YAML block on one thread and prints a Markdown table of CPU time, and the peak of resident memory. The
share of the networks is loss, backward pass, optimizer and, online, acting. Sampling is everything from drawing slots
to tensors on the device.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch as th
from rl_zoo3.utils import get_wrapper_class, linear_schedule
from stable_baselines3.common.env_util import make_vec_env

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.hyperparams import ZOO_KEYS, compose

PARTS = {"network": "the network's arithmetic", "environment": "the environment", "sampling": "sampling"}


class Clock:
    """Sums the CPU time of functions, without the time of other timed functions that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function such that its time counts for a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            outside, self._inside = self._inside, 0.0
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                self.seconds[part] += spent - self._inside
                self._inside = outside + spent

        return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", required=True)
    parser.add_argument("--env", required=True)
    parser.add_argument("--stream", help="dataset for the unlabelled stream")
    parser.add_argument("--dataset", help="dataset to train from")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--timesteps", type=int, default=30_000)
    args = parser.parse_args()
    th.set_num_threads(1)
    method = discover()[args.algo]
    given = {name: getattr(args, name) for name in ("dataset", "stream", "batch_size") if getattr(args, name)}
    _, block = compose(method, None, args.env, given=[*given])
    settings = {key: value for key, value in block.items() if key not in ZOO_KEYS}
    if isinstance(settings["learning_rate"], str):
        settings["learning_rate"] = linear_schedule(settings["learning_rate"].removeprefix("lin_"))
    settings |= given
    env = make_vec_env(args.env, block.get("n_envs", 1), seed=0, wrapper_class=get_wrapper_class(block))
    model = method.algorithm(env=env, seed=0, device="cpu", **settings)

    clock = Clock()
    env.step_wait = clock.timed("environment", env.step_wait)  # type: ignore[method-assign]
    model.policy.act = clock.timed("network", model.policy.act)
    model.compute_loss = clock.timed("network", model.compute_loss)
    model._learner.step = clock.timed("network", model._learner.step)
    model._learner.draw_batch = clock.timed("sampling", model._learner.draw_batch)
    start = time.process_time()
    model.learn(args.timesteps, log_interval=None)
    whole = time.process_time() - start
    clock.seconds["rest"] = whole - sum(clock.seconds.values())
    counts = f"{model.num_timesteps} steps, {model._n_updates} updates"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{args.algo} on {args.env}: {counts}, {whole:.0f} s of CPU time, {peak:.2f} GiB of memory\n")
    print("| part | share |\n|---|---:|")
    for part, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"| {PARTS.get(part, 'all the rest')} | {seconds / whole:.1%} |")


if __name__ == "__main__":
    main()
