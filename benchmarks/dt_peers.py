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


def dt_training(episodes: list[Episode], **kwargs: Any) -> Step:
    store = TrajectoryStore.from_episodes(episodes)
    model = DT(
        "MultiInputPolicy",
        ReturnToGo(Nowhere()),
        dataset=store,
        batch_size=BATCH,
        max_grad_norm=0.25,
        learning_rate=1e-4,
        device="cpu",
        policy_kwargs={"context_length": K, "embed_dim": 128, "n_layers": 3, "n_heads": 1, "dropout": 0.1},
        **kwargs,
    )
    model._total_timesteps = 10**9
    model.learn(1, log_interval=None)
    model._total_timesteps = 10**9
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
    parser.add_argument("--steps", type=int, default=100_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    episodes = make_episodes(args.steps)
    contenders = {
        "dt": dt_training(episodes),
        "dt, bf16": dt_training(episodes, bf16=True),
        "d3rlpy": d3rlpy_training(episodes, "highest"),
        "d3rlpy, medium": d3rlpy_training(episodes, "medium"),
    }
    for name, each in measure(contenders, args.rounds).items():
        print(f"{name:20s} {each:8.1f} ms")


if __name__ == "__main__":
    main()
