"""
Measure the image encoders: CPU time of a training step, of acting, and of random shifts.

All contenders run in one process on one thread. In each round, each of them encodes the same images once, in turn. The
result is the median CPU time.

    OMP_NUM_THREADS=1 python benchmarks/speed/image_encoders.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch as th
from torch import nn

from gcrl_zoo.common.augmentation import shift
from gcrl_zoo.nets.image_encoders import IMAGE_ENCODERS

#: Channels, height and width.
SHAPES = (4, 64, 64), (4, 84, 84), (12, 84, 84)
BATCH, PIXELS = 256, 4
TASKS = {"train": "training", "act": "acting"}


def train(encoder: nn.Module, images: th.Tensor) -> None:
    """Compute the gradient of all weights."""
    encoder.zero_grad()
    encoder(images).sum().backward()


@th.inference_mode()
def act(encoder: nn.Module, images: th.Tensor) -> None:
    """Encode one image."""
    encoder(images[:1])


def move(images: th.Tensor) -> None:
    """Shift each image by a random offset, as ``random_shift`` does."""
    shift(images, th.randint(-PIXELS, PIXELS + 1, (2, len(images))), PIXELS, channels_last=False)


def times(shape: tuple[int, int, int], rounds: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each contender."""
    images = th.randint(0, 256, (BATCH, *shape), dtype=th.uint8)
    contenders: dict[str, Callable[[], None]] = {"shift": partial(move, images)}
    for name, kind in IMAGE_ENCODERS.items():
        encoder = kind(shape)
        contenders |= {f"train {name}": partial(train, encoder, images), f"act {name}": partial(act, encoder, images)}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, contender in contenders.items():
            start = time.process_time()
            contender()
            taken[name].append(time.process_time() - start)
    return {name: 1000 * median(values[1:]) for name, values in taken.items()}  # the first round is warm-up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    th.set_num_threads(1)
    columns = {f"{task} {name}": f"`{name}`, {words}" for task, words in TASKS.items() for name in IMAGE_ENCODERS}
    columns["shift"] = f"`random_shift: {PIXELS}`"
    print("| image | " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * len(columns), sep="\n")
    for shape in SHAPES:
        found = times(shape, args.rounds)
        print("| " + " x ".join(map(str, shape)) + " | " + " | ".join(f"{found[each]:.1f}" for each in columns) + " |")


if __name__ == "__main__":
    main()
