"""
Measure what a dataset of images costs: bytes per frame, memory of a training, and time to sample stacks of frames.

Frames of CarRacing-v3 are recorded with a simple driver, cropped to the part without the dashboard and resized to
84 x 84 x 3. They are repeated until there are enough. Each frame is compressed by itself, so that repetition saves
nothing.

    SDL_VIDEODRIVER=dummy OMP_NUM_THREADS=1 python benchmarks/speed/frames.py --output docs/results/frames.md
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import gymnasium as gym
import numpy as np
import torch as th
import zstandard
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC
from gcrl_zoo.common.data_layout import fit_layout, frame_stacks
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data import Episode, Steps, TrajectoryStore, open_store

SIDE, STACK, BATCH = 84, 4, 64
LENGTH = 500  # steps of an episode


class Small(gym.ObservationWrapper[Any, Any, Any]):
    """Crops the dashboard and resizes to 84 x 84."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)

    def observation(self, observation: Any) -> Any:
        """:param observation: (96, 96, 3)"""
        image = th.as_tensor(observation[:SIDE]).movedim(-1, 0)[None].float()
        image = th.nn.functional.interpolate(image, (SIDE, SIDE), mode="area")
        return image[0].movedim(0, -1).round().byte().numpy()


def record(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames and actions of a driver that follows the grey of the road."""
    env, rng = Small(gym.make("CarRacing-v3")), np.random.default_rng(0)
    frames: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    done, noise = True, 0.0
    while len(frames) < n_frames:
        if done:
            frame, done = env.reset(seed=len(frames))[0], False
        if len(frames) % 6 == 0:
            noise = rng.normal(0, 0.15)
        ahead = frame[40:62].astype(int)
        road = np.nonzero(np.ptp(ahead, axis=-1) < 15)[1]
        steer = np.clip((road.mean() - SIDE / 2) / 20, -0.4, 0.4) if len(road) else 0.0
        action = np.array([np.clip(steer + noise, -1, 1), 0.25 * (len(frames) % 40 < 25), 0], np.float32)
        frames.append(frame)
        actions.append(action)
        frame, _, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return np.stack(frames), np.stack(actions)


def fill(frames: np.ndarray, actions: np.ndarray, n_frames: int) -> TrajectoryStore:
    """A store of so many frames."""
    store, position = TrajectoryStore(name="CarRacing"), 0
    while store.n_slots < n_frames:
        rows = np.arange(position, position + min(LENGTH, n_frames - store.n_slots)) % len(frames)
        store.append(Episode({"observation": frames[rows]}, actions[rows[:-1]], np.ones(len(rows) - 1)))
        position += len(rows)
    return store


def make_env() -> gym.Env[Any, Any]:
    """With stacks of frames."""
    return FrameStackObservation(Small(gym.make("CarRacing-v3")), STACK)


def stacked(store: TrajectoryStore) -> TrajectoryStore:
    """The store as the environment shows it."""
    env = DummyVecEnv([make_env])
    roles = Roles.of(env.observation_space)
    return fit_layout(store, roles, env.action_space, frame_stacks(env, roles))


def nature_step() -> Callable[[Any], None]:
    """A function that takes one training step of SB3's NatureCNN."""
    space = spaces.Box(0, 255, (3 * STACK, SIDE, SIDE), np.uint8)
    network = th.nn.Sequential(NatureCNN(space), th.nn.Linear(512, 3))
    optimizer = th.optim.Adam(network.parameters())

    def step(batch: Any) -> None:
        images = th.as_tensor(batch.observations["observation"]).movedim(-1, 2).flatten(1, 2).float() / 255
        loss = (network(images) - th.as_tensor(batch.actions)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def times(stores: dict[str, TrajectoryStore], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds to sample a batch from each store, and to take a training step on it."""
    samplers = {name: Steps(stacked(store)) for name, store in stores.items()}
    rng, step = np.random.default_rng(0), nature_step()
    taken: dict[str, list[float]] = {name: [] for name in (*samplers, "step")}
    for _ in range(rounds):
        for name, sampler in samplers.items():
            start = time.process_time()
            batch = sampler.sample(rng, BATCH)
            taken[name].append(time.process_time() - start)
        start = time.process_time()
        step(batch)
        taken["step"].append(time.process_time() - start)
    return {name: 1000 * median(values) for name, values in taken.items()}


def codecs(frames: np.ndarray) -> str:
    """A table: the size of a frame, and CPU time to compress and to decompress it, each frame by itself."""
    contenders: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
        f"zlib, level {level}": (partial(zlib.compress, level=level), zlib.decompress) for level in (1, 6)
    }
    for level in (1, 3, 6):
        compress = zstandard.ZstdCompressor(level=level).compress
        contenders[f"zstandard, level {level}"] = compress, zstandard.ZstdDecompressor().decompress
    if find_spec("lz4"):
        lz4 = importlib.import_module("lz4.block")
        contenders["lz4"] = lz4.compress, lz4.decompress
    lines = ["| codec | bytes | compress, us | decompress, us |", "|---|---:|---:|---:|"]
    raw = [frame.tobytes() for frame in frames]
    for name, (compress, decompress) in contenders.items():
        start = time.process_time()
        packed = [compress(each) for each in raw]
        between = time.process_time()
        assert [decompress(each) for each in packed] == raw
        spans = [1e6 * span / len(raw) for span in (between - start, time.process_time() - between)]
        lines.append(f"| {name} | {sum(map(len, packed)) / len(raw):,.0f} | {spans[0]:.0f} | {spans[1]:.0f} |")
    return "\n".join(lines)


def resident() -> int:
    """Bytes of memory that are resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def train(dataset: Path | TrajectoryStore, updates: int) -> dict[str, float]:
    """Train bc, and return the peak of resident memory beyond what was resident before, in bytes."""
    before = resident()
    store = open_store(dataset)
    agent = BC("CnnPolicy", make_env(), dataset=store, batch_size=BATCH, device="cpu", seed=0)
    agent.learn(updates)
    return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before}


def train_in_new_process(folder: Path, updates: int) -> dict[str, float]:
    """:func:`train` in a process that has done nothing before but imports."""
    command = [sys.executable, __file__, "--train", str(folder), "--updates", str(updates)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def run(n_frames: int, n_recorded: int, updates: int, rounds: int) -> tuple[dict[str, float], str]:
    """All measurements, and the table of codecs."""
    frames, actions = record(n_recorded)
    print(f"{len(frames)} frames are recorded; compressing {n_frames} ...", file=sys.stderr)
    start = time.process_time()
    store = fill(frames, actions, n_frames)
    found = {"compress": 1e6 * (time.process_time() - start) / n_frames}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frames")
        store.save(path, folder=True)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        found |= {"disk": size / n_frames, "bytes": store.nbytes / n_frames}
        found |= times({"in memory": store, "memory-mapped": open_store(path)}, rounds)
        found |= train_in_new_process(path, updates)
    return found, codecs(frames[:: max(1, n_recorded // 500)])


PAGE = """# Datasets of images

*Frames of CarRacing-v3, cropped and resized to 84 x 84 x 3 ({raw:,} bytes), zstandard level 3, each frame by itself.
{n_frames:,} frames, made of {n_recorded:,} different ones. Time is the median CPU time of {rounds} batches of {batch}
stacks of {stack} frames, one thread; the compared formats are measured in turn. Memory is the peak beyond imports of
training `bc` with stacks of {stack} for {updates} updates from the memory-mapped dataset. {versions}.*

{table}

Codecs, compared on about 500 of the frames. `gcrl_zoo` uses zstandard at level 3. lz4 is compared if it is installed.

{codecs}

To reproduce this page:

```bash
SDL_VIDEODRIVER=dummy OMP_NUM_THREADS=1 python benchmarks/speed/frames.py --output docs/results/frames.md
```
"""


def table(found: dict[str, float]) -> str:
    """The results, one per row."""
    raw, step = SIDE * SIDE * 3, found["step"]
    rows = [
        ("bytes per frame in memory, with all columns", f"{found['bytes']:,.0f} (1/{raw / found['bytes']:.1f} of raw)"),
        ("bytes per frame on disk, with all columns", f"{found['disk']:,.0f}"),
        ("time to store a frame", f"{found['compress']:.0f} us"),
        (f"time to sample {BATCH} stacks, in memory", f"{found['in memory']:.1f} ms"),
        (f"time to sample {BATCH} stacks, memory-mapped", f"{found['memory-mapped']:.1f} ms"),
        ("time of a training step of SB3's NatureCNN on them", f"{step:.1f} ms"),
        (
            "sampling from the memory-mapped store / training step",
            f"{found['memory-mapped'] / step:.2f} (goal: < 0.25)",
        ),
        ("peak memory of training `bc`", f"{found['memory'] / 2**30:.2f} GiB (goal: < 1.5 GiB)"),
    ]
    return "\n".join(["| what | result |", "|---|---:|", *(f"| {what} | {result} |" for what, result in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-frames", type=int, default=200_000)
    parser.add_argument("--n-recorded", type=int, default=2_000, help="different frames")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path, help="write a page, such as docs/results/frames.md")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    th.set_num_threads(1)
    if args.train:
        print(json.dumps(train(args.train, args.updates)))
        return
    found, compared = run(args.n_frames, args.n_recorded, args.updates, args.rounds)
    result = table(found)
    print(result, compared, sep="\n\n")
    if args.output:
        versions = ", ".join(f"{package} {version(package)}" for package in ("gymnasium", "torch", "zstandard"))
        settings = {name: getattr(args, name) for name in ("n_frames", "n_recorded", "updates", "rounds")}
        sizes = {"raw": SIDE * SIDE * 3, "batch": BATCH, "stack": STACK}
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(PAGE.format(**settings, **sizes, versions=versions, table=result, codecs=compared))


if __name__ == "__main__":
    main()
