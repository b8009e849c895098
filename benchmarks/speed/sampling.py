"""
Measure how fast batches are sampled, compared with SB3's HerReplayBuffer and d3rlpy.

All contenders run in one process on one thread and hold the same episodes. In each round, each contender samples a few
batches, in random order. The result is the median CPU time, which is robust to other load and to changes of the clock
rate. d3rlpy is not a dependency. Without it, its row is omitted. To install it in a separate environment:

    python -m venv bench && bench/bin/pip install -e . d3rlpy
    bench/bin/python benchmarks/speed/sampling.py --output docs/results/sampling.md
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.data import Array, Episode, GoalPairs, TrajectoryStore, Windows

OBS, GOAL, ACTION = 11, 3, 3
Draw = Callable[[], Any]


def make_episodes(n_steps: int, seed: int = 0) -> list[Episode]:
    """Make random episodes of 200 to 1,000 steps of Hopper's size with a goal; some terminate, most are truncated."""
    rng = np.random.default_rng(seed)
    episodes: list[Episode] = []
    while n_steps > 0:
        length = min(int(rng.integers(200, 1001)), n_steps)
        n_steps -= length
        terminated = bool(rng.random() < 0.3)
        episodes.append(
            Episode(
                observations={
                    "observation": rng.standard_normal((length + 1, OBS), dtype=np.float32),
                    "achieved_goal": rng.standard_normal((length + 1, GOAL), dtype=np.float32),
                },
                actions=rng.uniform(-1, 1, (length, ACTION)),
                rewards=rng.random(length),
                terminated=terminated,
                extras={"terminal": (np.arange(length + 1) == length) & terminated},
            )
        )
    return episodes


class GoalEnv(gym.Env[dict[str, Array], Array]):
    """Provides spaces and rewards to HerReplayBuffer; it is never stepped."""

    observation_space = spaces.Dict(
        {
            key: spaces.Box(-np.inf, np.inf, (size,), np.float32)
            for key, size in (("observation", OBS), ("achieved_goal", GOAL), ("desired_goal", GOAL))
        }
    )
    action_space = spaces.Box(-1, 1, (ACTION,), np.float32)

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Array:
        """Return -1 unless the goal is reached, as in the Fetch environments; vectorised."""
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 0.05).astype(np.float32)


def fill_her(episodes: list[Episode]) -> HerReplayBuffer:
    """Fill SB3's buffer with the same steps, one by one as SB3 does."""
    env = DummyVecEnv([GoalEnv])
    buffer = HerReplayBuffer(sum(e.length for e in episodes), env.observation_space, env.action_space, env, "cpu")  # type: ignore[arg-type]
    goal = np.zeros((1, GOAL), np.float32)
    for episode in episodes:
        facts, actions = episode.observations, episode.actions
        assert actions is not None
        for t in range(episode.length):
            here, there = (
                {**{key: fact[i : i + 1] for key, fact in facts.items()}, "desired_goal": goal} for i in (t, t + 1)
            )
            done = t + 1 == episode.length
            info = {"TimeLimit.truncated": done and not episode.terminated}
            buffer.add(here, there, actions[t : t + 1], np.zeros(1), np.array([done]), [info])
    return buffer


def her_fields(store: TrajectoryStore, n: int) -> Draw:
    """Sample all fields of ``HerReplayBuffer.sample`` as tensors, including next observations, rewards and dones."""
    sampler = GoalPairs(store, goal_keys=["achieved_goal"])
    rng, reward = np.random.default_rng(0), GoalEnv().compute_reward

    def draw() -> Any:
        index = sampler.draw(rng, n)
        batch = sampler.gather(index)
        following = store.rows(index.steps + 1)
        next_observations = {key: following[key] for key in store.observation_keys}
        rewards = reward(next_observations["achieved_goal"], batch.goals["achieved_goal"], None)
        dones = following["terminal"].astype(np.float32)
        columns = [*batch.observations.values(), *batch.goals.values(), *next_observations.values()]
        return [torch.from_numpy(column) for column in (*columns, batch.actions, rewards, dones)]

    return draw


def d3rlpy_windows(episodes: list[Episode], n: int, length: int) -> Draw | None:
    """Sample the same steps with d3rlpy, or return None if it is not installed."""
    try:
        import d3rlpy
    except ImportError:
        return None
    peers = [
        d3rlpy.dataset.Episode(
            np.concatenate([e.observations["observation"][:-1], e.observations["achieved_goal"][:-1]], axis=1),
            e.actions,
            e.rewards[:, None],  # type: ignore[index]
            e.terminated,
        )
        for e in episodes
    ]
    buffer = d3rlpy.dataset.create_infinite_replay_buffer(peers)
    return lambda: buffer.sample_trajectory_batch(n, length)


def measure(draw: Draw, calls: int) -> float:
    """Return CPU microseconds per call."""
    begin = time.process_time()
    for _ in range(calls):
        draw()
    return (time.process_time() - begin) / calls * 1e6


def interleave(contenders: dict[str, Draw], rounds: int) -> dict[str, float]:
    """Return the median CPU microseconds per call. Each contender runs for about 20 ms in each round."""
    calls = {name: max(1, round(20_000 / measure(draw, 20))) for name, draw in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(measure(contenders[name], calls[name]))
    return {name: median(sample) for name, sample in times.items()}


def run(n_steps: int, rounds: int) -> str:
    """The table."""
    episodes = make_episodes(n_steps)
    store = TrajectoryStore.from_episodes(episodes)
    rng = np.random.default_rng(0)
    print(f"{store.n_episodes} episodes, {store.n_steps} steps; filling HerReplayBuffer ...", file=sys.stderr)
    her = fill_her(episodes)

    pairs, windows = GoalPairs(store, goal_keys=["achieved_goal"]), Windows(store, 20)
    contenders: dict[str, Draw] = {"ours windows": lambda: windows.sample(rng, 64)}
    for n in (256, 1024):
        contenders[f"HER {n}"] = lambda n=n: her.sample(n)  # type: ignore[misc]
        contenders[f"ours fields {n}"] = her_fields(store, n)
        contenders[f"ours pairs {n}"] = lambda n=n: pairs.sample(rng, n)  # type: ignore[misc]
    d3rlpy = d3rlpy_windows(episodes, 64, 20)
    if d3rlpy is None:
        print("d3rlpy is not installed, so its row is omitted; see the top of this script.", file=sys.stderr)
    else:
        contenders["d3rlpy"] = d3rlpy
    took = interleave(contenders, rounds)

    rows = [
        (f"goal pairs, all fields of HER, {n}", took[f"ours fields {n}"], "SB3 HerReplayBuffer", took[f"HER {n}"], gate)
        for n, gate in ((256, 10), (1024, 8))
    ]
    rows += [
        (
            f"goal pairs as our methods use them, {n}",
            took[f"ours pairs {n}"],
            "SB3 HerReplayBuffer",
            took[f"HER {n}"],
            0,
        )
        for n in (256, 1024)
    ]
    if d3rlpy is not None:
        rows.append(("windows, 64 x 20", took["ours windows"], "d3rlpy ReplayBuffer", took["d3rlpy"], 30))
    lines = ["| batch | gcrl_zoo, us | peer | peer, us | ratio | goal |", "|---|---:|---|---:|---:|---:|"]
    for what, ours, peer, theirs, gate in rows:
        lines.append(
            f"| {what} | {ours:.0f} | {peer} | {theirs:.0f} | **x{theirs / ours:.1f}** | {f'x{gate}' if gate else ''} |"
        )
    return "\n".join(lines)


PAGE = """# Sampling speed

*Time to sample one batch from {n_steps:,} steps of random data in episodes of 200 to 1,000 steps. Median CPU time, one
process, one thread; the compared samplers are measured in turn. "ratio" is the speed-up; "goal" is its required
minimum. {versions}.*

{table}

- **Goal pairs, all fields of HER:** the same relabelling (`future`) and the same columns as `HerReplayBuffer.sample`,
  as tensors, including next observations, rewards by `compute_reward` and dones. SB3 relabels 80 % of a batch (its
  default), gcrl_zoo all of it. SB3 scans the whole buffer at each call, so its cost grows with the buffer.
- **Goal pairs as our methods use them:** `GoalPairs.sample`, with horizons and three kinds of returns instead of next
  observations and dones.
- **Windows:** observations, actions, mask, returns-to-go and timesteps, padded, as NumPy arrays for both.

To reproduce this page:

```bash
python {command}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-steps", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--output", type=Path, help="write a page, such as docs/results/sampling.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    table = run(arguments.n_steps, arguments.rounds)
    print(table)
    if arguments.output:
        packages = ["numpy", "torch", "stable-baselines3", *(["d3rlpy"] if sys.modules.get("d3rlpy") else [])]
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(
            PAGE.format(n_steps=arguments.n_steps, command=" ".join(sys.argv), versions=versions, table=table)
        )


if __name__ == "__main__":
    main()
