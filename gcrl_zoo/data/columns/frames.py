"""Images, stored once and losslessly compressed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import zstandard

from gcrl_zoo.data import memory
from gcrl_zoo.data.arrays import INT, Array, DType
from gcrl_zoo.data.columns.base import PADDING, Column
from gcrl_zoo.data.columns.growing import GrowingArrays

FRAME_BYTES = 1024
"""From this size on an image is compressed: 32 x 32 grey levels."""

CHUNK_BYTES = 2**13
"""Frames are compressed in chunks of this size; a larger frame is a chunk. Small chunks are fast to read at random."""

CACHE_BYTES = 2**24
"""Size of the cache of decoded chunks of a column."""

LEVEL = 3
"""Compression level of zstandard. docs/results/frames.md compares it with other levels and codecs."""


def is_frame(shape: Sequence[int], dtype: DType) -> bool:
    """Whether entries of a column are stored as compressed frames: uint8, two or more axes, 1 KiB or more."""
    return dtype == np.uint8 and len(shape) >= 2 and math.prod(shape) >= FRAME_BYTES


class Frames:
    """Images of one shape, numbered from 0, in compressed chunks.

    A chunk is never changed, so copies of this object share chunks. Frames at the end that do not fill a chunk yet are
    not compressed.

    :param shape: of one frame
    :param mapped: compressed chunks that exist already, such as parts of a memory-mapped file; all are full
    :param tail: (n, ...) frames behind them, fewer than a chunk holds
    :param name: what messages call the data
    """

    def __init__(
        self, shape: Sequence[int], mapped: Sequence[Any] = (), tail: Array | None = None, name: str = "The data"
    ) -> None:
        self.shape, self.name = tuple(shape), name
        self.frame_bytes = math.prod(self.shape)
        self.per_chunk = max(1, CHUNK_BYTES // max(1, self.frame_bytes))
        self._mapped = mapped
        self._chunks: dict[int, bytes] = {}  # those behind the mapped ones
        self._next = len(mapped)  # number of the next chunk
        self._tail = np.empty((0, *self.shape), np.uint8) if tail is None else np.array(tail, np.uint8)
        self._first = 0  # chunk; those before were dropped
        self._cache: OrderedDict[int, Array] = OrderedDict()
        self._unasked = 0  # bytes added since memory was last asked for

    def __len__(self) -> int:
        """The number of the next frame."""
        return self._next * self.per_chunk + len(self._tail)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and deepcopy keep compressed chunks, mapped ones as copies, and leave out decoded ones."""
        chunks = {number: bytes(self.chunk(number)) for number in range(self._first, self._next)}
        return {**self.__dict__, "_mapped": (), "_chunks": chunks, "_cache": OrderedDict()}

    @property
    def nbytes(self) -> int:
        """Memory in use, without mapped files and the cache."""
        return sum(map(len, self._chunks.values())) + self._tail.nbytes

    @property
    def chunk_numbers(self) -> range:
        """Those of the full chunks that are kept."""
        return range(self._first, self._next)

    @property
    def tail(self) -> Array:
        """The frames behind the last full chunk."""
        return self._tail

    def chunk(self, number: int) -> Any:
        """The compressed bytes of a full chunk."""
        return self._mapped[number] if number < len(self._mapped) else self._chunks[number]

    def share(self) -> Frames:
        """An independent object with the same frames; compressed chunks are shared, not copied."""
        other = Frames(self.shape, self._mapped, self._tail, self.name)
        other._chunks, other._next, other._first = dict(self._chunks), self._next, self._first
        return other

    def append(self, frames: Array) -> int:
        """Add (n, ...) frames and return the number of the first."""
        first, size = len(self), self.per_chunk
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        if len(self._tail):
            missing = size - len(self._tail)
            self._tail, frames = np.concatenate([self._tail, frames[:missing]]), frames[missing:]
            if len(self._tail) == size:
                self._add(compressor.compress(self._tail.tobytes()))
                self._tail = self._tail[:0]
        n_full = len(frames) // size * size
        for start in range(0, n_full, size):
            self._add(compressor.compress(frames[start : start + size].tobytes()))
        if n_full < len(frames):
            self._tail = frames[n_full:].copy()
        return first

    def _add(self, chunk: bytes) -> None:
        self._unasked += len(chunk)
        if self._unasked > memory.SMALL:
            with memory.memory_for(memory.SMALL, self.name):
                self._unasked = 0
        # A copy: zstandard shrinks a buffer of the size of the frames, which leaves holes in memory that are too small.
        self._chunks[self._next] = memoryview(chunk).tobytes()
        self._next += 1

    def read(self, numbers: Array) -> Array:
        """Decode frames.

        :param numbers: of frames, any shape
        :return: ``numbers.shape`` + the shape of one frame
        """
        chunks, within = np.divmod(numbers.reshape(-1), self.per_chunk)
        wanted, inverse = np.unique(chunks, return_inverse=True)
        decoded = np.empty((len(wanted), self.per_chunk, *self.shape), np.uint8)
        decompress = zstandard.ZstdDecompressor().decompress
        for row, number in enumerate(wanted.tolist()):
            if number == self._next:
                decoded[row, : len(self._tail)] = self._tail
                continue
            frames = self._cache.get(number)
            if frames is None:
                try:
                    frames = np.frombuffer(decompress(self.chunk(number)), np.uint8).reshape(decoded.shape[1:])
                except (zstandard.ZstdError, ValueError) as error:
                    raise ValueError(
                        f"The images of {self.name} are damaged (chunk {number}: {error}); save them again."
                    ) from error
                self._remember(number, frames)
            decoded[row] = frames
        frames = decoded.reshape(-1, *self.shape)
        return frames.take(inverse * self.per_chunk + within, axis=0).reshape(*numbers.shape, *self.shape)

    def _remember(self, number: int, frames: Array) -> None:
        if len(self._cache) * frames.nbytes >= CACHE_BYTES:
            with suppress(KeyError):  # other threads may read, too
                self._cache.popitem(last=False)
        self._cache[number] = frames

    def drop_before(self, number: int) -> None:
        """Free the chunks that hold only frames before this one."""
        first = min(number // self.per_chunk, self._next)
        for chunk in range(self._first, first):
            self._chunks.pop(chunk, None)
            self._cache.pop(chunk, None)
        self._first = max(self._first, first)


class FrameColumn(Column[Array]):
    """Images that are stored once. Growing, dropping and moving slots copies no frame.

    An entry that is a stack of frames, such as ``FrameStackObservation`` makes, mostly repeats frames of the entry
    before. Only new frames are stored then, without loss. Whether entries are stacks is decided by the first episode.

    :param shape: of one entry
    :param frames: that are there already
    :param stack: number of frames in an entry; None: see above
    :param runs: (2, n) slots, ascending, and the number of the last frame of the entry there. The entries of the slots
        that follow, up to the next run, end with the frames that follow
    :param name: what messages call the data
    """

    def __init__(
        self,
        shape: Sequence[int],
        frames: Frames | None = None,
        stack: int | None = None,
        runs: Array | None = None,
        name: str = "The data",
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(np.uint8)
        self.name = name
        self._frames, self.stack = frames, stack
        self._runs = GrowingArrays({"slot": ((), INT), "frame": ((), INT)}, name=name)
        if runs is not None:
            self._runs.adopt({"slot": runs[0], "frame": runs[1]})
        self._start = PADDING + 1  # the oldest slot

    @property
    def frames(self) -> Frames:
        """Those of all entries, each once."""
        assert self._frames is not None, "nothing was written yet"
        return self._frames

    @property
    def runs(self) -> Array:
        """(2, n) a copy of the parameter."""
        return np.stack([self._runs["slot"], self._runs["frame"]])

    @property
    def nbytes(self) -> int:
        return self._runs.nbytes + (0 if self._frames is None else self._frames.nbytes)

    def take(self, slots: Array) -> Array:
        slots = np.asarray(slots)
        padding = slots == PADDING
        last = np.where(padding, len(self.frames) - 1, self._last_frame(slots))
        stack = self.stack or 1
        numbers = last[..., None] + np.arange(1 - stack, 1) if stack > 1 else last
        images = self.frames.read(numbers).reshape(*slots.shape, *self.shape)
        if padding.any():
            images[padding] = 0
        return images

    def write(self, first: int, values: Array) -> None:
        if self._frames is None:
            self.stack = self._find_stack(values)
            self._frames = Frames(self.shape[1:] if self.stack > 1 else self.shape, name=self.name)
        if self.stack == 1:
            return self._add_run(first, self._frames.append(values))
        breaks = [0, *(t for t in range(1, len(values)) if not _continues(values[t - 1], values[t])), len(values)]
        for begin, end in pairwise(breaks):
            self._add_run(first + begin, self._frames.append(values[begin]) + len(values[begin]) - 1)
            self._frames.append(values[begin + 1 : end, -1])
        return None

    def drop(self, n: int) -> None:
        self._start += n
        self._runs.drop(max(0, int(np.searchsorted(self._runs["slot"], self._start, side="right")) - 1))
        if self._frames is not None and len(self._runs):
            self._frames.drop_before(int(self._last_frame(np.array(self._start))) - (self.stack or 1) + 1)

    def relocate(self, moved: int) -> None:
        self._start -= moved
        slots = self._runs["slot"]
        slots -= moved

    def share(self, slots: Array) -> FrameColumn:
        """An independent column with the entries of some slots; their frames are shared, not copied.

        :param slots: (N,) whose entries are to be those of the slots 1, 2, ..., N
        """
        last = self._last_frame(slots)
        starts = np.flatnonzero(np.diff(last, prepend=last[:1] - 2) != 1)
        runs = np.stack([starts + PADDING + 1, last[starts]])
        return FrameColumn(self.shape, self.frames.share(), self.stack, runs, self.name)

    def _last_frame(self, slots: Array) -> Array:
        """The number of the last frame of entries."""
        starts, frames = self._runs["slot"], self._runs["frame"]
        if len(starts) == 1:
            return slots - starts[0] + frames[0]
        run = np.searchsorted(starts, slots, side="right") - 1
        return slots - starts[run] + frames[run]

    def _add_run(self, slot: int, frame: int) -> None:
        if len(self._runs) and slot - frame == self._runs["slot"][-1] - self._runs["frame"][-1]:
            return  # it continues the last one
        row = self._runs.grow(1)
        self._runs.arrays["slot"][row], self._runs.arrays["frame"][row] = slot, frame

    def _find_stack(self, values: Array) -> int:
        """The number of frames in an entry: 1, or the first dimension if most entries continue the one before."""
        is_stack = self.shape[0] > 1 and is_frame(self.shape[1:], self.dtype) and len(values) > 1
        # A large uniform image (H, W, C) looks like a stack of its rows.
        is_stack = is_stack and self.shape[0] < sorted(self.shape[1:])[-2]
        is_stack = is_stack and 2 * sum(map(_continues, values[:-1], values[1:])) >= len(values) - 1
        return self.shape[0] if is_stack else 1


def _continues(entry: Array, following: Array) -> bool:
    """Whether an entry repeats all frames of the one before but the first."""
    return np.array_equal(entry[1:], following[:-1])
