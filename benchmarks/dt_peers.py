"""
How fast `dt` trains, next to d3rlpy's Decision Transformer.

All contenders live in one process on one thread and learn from the same episodes, with the same network (K 20, 3 layers
of width 128, 1 head, batch 64). In each round every contender takes a gradient step, sampling included, in random
order; the figure is the median of CPU time, so that neither the machine's other work nor its clock favours anyone.
d3rlpy is no dependency. To have it, in an environment of its own:

    python -m venv bench && bench/bin/pip install . d3rlpy
    bench/bin/python benchmarks/dt_peers.py --output docs/results/dt_speed.md
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from gcrl_zoo import DT
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.wrappers import ReturnToGo

OBS, ACTION, K, BATCH = 11, 3, 20, 64
Step = Callable[[], Any]


def make_episodes(n_steps: int, seed: int = 0) -> list[Episode]:
    """Random episodes of 200 to 1,000 steps, as of Hopper."""
    rng, episodes = np.random.default_rng(seed), []
    while n_steps > 0:
        length = min(int(rng.integers(200, 1001)), n_steps)
        n_steps -= length
        observations = {"observation": rng.standard_normal((length + 1, OBS), dtype=np.float32)}
        actions = rng.uniform(-1, 1, (length, ACTION)).astype(np.float32)
        episodes.append(Episode(observations, actions, rng.random(length, dtype=np.float32), terminated=True))
    return episodes


class Nowhere(gym.Env[np.ndarray, np.ndarray]):
    """Never stepped."""

    observation_space = spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
    action_space = spaces.Box(-1, 1, (ACTION,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(OBS, np.float32), {}


def dt_model(episodes: list[Episode], attention: str = "window", **kwargs: Any) -> DT:
    model = DT(
        "MultiInputPolicy",
        ReturnToGo(Nowhere()),
        dataset=TrajectoryStore.from_episodes(episodes),
        batch_size=BATCH,
        max_grad_norm=0.25,
        learning_rate=1e-4,
        device="cpu",
        policy_kwargs={"attention": attention},
        **kwargs,
    )
    model.learn(1, log_interval=None)
    model._total_timesteps = 10**9
    return model


def dt_training(episodes: list[Episode], **kwargs: Any) -> Step:
    model = dt_model(episodes, **kwargs)
    return lambda: model.train(1)


def d3rlpy_agent(mean: np.ndarray, std: np.ndarray) -> Any:
    """d3rlpy's own reproduction of the paper: network, optimizer and scale of returns."""
    import d3rlpy

    return d3rlpy.algos.DecisionTransformerConfig(
        batch_size=BATCH,
        learning_rate=1e-4,
        optim_factory=d3rlpy.optimizers.GPTAdamWFactory(weight_decay=1e-4, clip_grad_norm=0.25),
        encoder_factory=d3rlpy.models.VectorEncoderFactory([128], exclude_last_activation=True),
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(mean=mean, std=std),
        reward_scaler=d3rlpy.preprocessing.MultiplyRewardScaler(0.001),
        position_encoding_type=d3rlpy.PositionEncodingType.SIMPLE,
        context_size=K,
        num_heads=1,
        num_layers=3,
        max_timestep=1000,
    ).create(device="cpu:0")


def d3rlpy_buffer(episodes: list[Episode]) -> Any:
    import d3rlpy

    made = [
        d3rlpy.dataset.Episode(e.observations["observation"][:-1], e.actions, e.rewards[:, None], e.terminated)
        for e in episodes
    ]
    return d3rlpy.dataset.create_infinite_replay_buffer(
        made, trajectory_slicer=d3rlpy.dataset.BasicTrajectorySlicer()
    )


def d3rlpy_training(episodes: list[Episode], precision: str) -> Step:
    buffer, algo = d3rlpy_buffer(episodes), d3rlpy_agent(np.zeros(OBS), np.ones(OBS))
    algo.build_with_dataset(buffer)

    def step() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        algo.update(buffer.sample_trajectory_batch(BATCH, K))
        torch.set_float32_matmul_precision(before)

    return step


def dt_acting(model: DT, n_envs: int) -> Step:
    """One forward for all environments, every context full."""
    rng, state, starts = np.random.default_rng(0), None, np.zeros(n_envs, dtype=bool)

    def step() -> None:
        nonlocal state
        observation = {
            "observation": rng.standard_normal((n_envs, OBS), dtype=np.float32),
            "return_to_go": rng.standard_normal((n_envs, 1), dtype=np.float32),
        }
        _, state = model.predict(observation, state, starts, deterministic=True)

    return filled(step)


def d3rlpy_acting(algo: Any, n_envs: int) -> Step:
    """A wrapper for each environment: it has no other way."""
    rng, players = np.random.default_rng(0), [algo.as_stateful_wrapper(target_return=3600) for _ in range(n_envs)]

    def step() -> None:
        for player in players:
            player.predict(rng.standard_normal(OBS, dtype=np.float32), 1.0)

    return filled(step)


def filled(step: Step) -> Step:
    for _ in range(K + 1):
        step()
    return step


def measure(contenders: dict[str, Step], rounds: int, seed: int = 0) -> dict[str, float]:
    """Median CPU milliseconds."""
    rng, times = random.Random(seed), {name: [] for name in contenders}
    for _ in range(3):
        for step in contenders.values():
            step()
    for _ in range(rounds):
        for name in rng.sample(list(contenders), len(contenders)):
            start = time.process_time()
            contenders[name]()
            times[name].append(time.process_time() - start)
    return {name: 1000 * median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=39)
    parser.add_argument("--steps", type=int, default=100_000, help="of data")
    parser.add_argument("--output", type=Path, help="where to write the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    episodes = make_episodes(args.steps)
    training = {
        "dt": dt_training(episodes),
        "dt, `bf16: true`": dt_training(episodes, bf16=True),
        "d3rlpy as shipped": d3rlpy_training(episodes, "highest"),
        'd3rlpy, `set_float32_matmul_precision("medium")`': d3rlpy_training(episodes, "medium"),
    }
    lines = ["| training | ms a gradient step | times as fast as d3rlpy |", "|---|---:|---:|"]
    times = measure(training, args.rounds)
    lines += [f"| {name} | {ms:.1f} | {times['d3rlpy as shipped'] / ms:.2f} |" for name, ms in times.items()]
    lines += ["", "| acting | environments | ms a step of all | times as fast as d3rlpy |", "|---|---:|---:|---:|"]
    window, banded = (dt_model(episodes[:5], attention=attention) for attention in ("window", "banded"))
    peer = d3rlpy_agent(np.zeros(OBS), np.ones(OBS))
    peer.build_with_dataset(d3rlpy_buffer(episodes[:5]))
    for n_envs in (1, 16, 64):
        acting = {
            "dt, whole window anew": dt_acting(window, n_envs),
            "dt, `attention: banded`": dt_acting(banded, n_envs),
            "d3rlpy": d3rlpy_acting(peer, n_envs),
        }
        times = measure(acting, args.rounds * (10 if n_envs == 1 else 1))
        lines += [f"| {name} | {n_envs} | {ms:.2f} | {times['d3rlpy'] / ms:.1f} |" for name, ms in times.items()]
    print("\n".join(lines))
    if args.output:
        args.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
