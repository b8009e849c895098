"""What must be restored, besides weights and counters, for a resumed run to go on as if never stopped."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch as th


class RandomStreams:
    """
    The random numbers of training, apart from everybody else's.

    Sampling draws from the generator ``numpy``. Dropout and noise use torch's global generator, which evaluation and
    acting use too; ``torch_stream`` replaces its state during training. So evaluating more or less often does not
    change what is learned, and a resumed run continues bit by bit.

    :param seed: None for entropy of the machine
    :param device: where the networks live
    """

    def __init__(self, seed: int | None, device: th.device) -> None:
        sequence = np.random.SeedSequence(seed)
        self.numpy = np.random.default_rng(sequence)
        self._device = device
        self._torch_states = self._seeded(int(sequence.generate_state(1)[0]))

    def _seeded(self, seed: int) -> dict[str, th.Tensor]:
        states = {"cpu": th.Generator().manual_seed(seed).get_state()}
        if self._device.type == "cuda":
            states["cuda"] = th.Generator(self._device).manual_seed(seed).get_state()
        return states

    @contextmanager
    def torch_stream(self) -> Iterator[None]:
        """Inside, torch draws from training's own stream."""
        outside = self._exchange(self._torch_states)
        try:
            yield
        finally:
            self._torch_states = self._exchange(outside)

    def _exchange(self, states: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        before = {"cpu": th.get_rng_state()}
        th.set_rng_state(states["cpu"])
        if "cuda" in states:
            before["cuda"] = th.cuda.get_rng_state(self._device)
            th.cuda.set_rng_state(states["cuda"], self._device)
        return before

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: it travels in the zip without a pickle."""
        return {
            "numpy": self.numpy.bit_generator.state,
            "torch": {
                name: base64.b64encode(state.numpy().tobytes()).decode("ascii")
                for name, state in self._torch_states.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """
        :param state: as returned by ``to_json``; a stream of a device that this machine lacks is left as seeded
        """
        self.numpy.bit_generator.state = state["numpy"]
        for name, text in state["torch"].items():
            if name in self._torch_states:
                raw = np.frombuffer(base64.b64decode(text), dtype=np.uint8).copy()
                self._torch_states[name] = th.from_numpy(raw)
