"""The state of a run: all that must survive a restart, besides the weights and optimizers of the policy."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th

from gcrl_zoo.common.collector import Collector
from gcrl_zoo.common.explorers import Explorer
from gcrl_zoo.data.store import TrajectoryStore

if TYPE_CHECKING:
    from gcrl_zoo.common.algorithm_setup import AlgorithmSetup

#: Attributes of an algorithm under which Stable-Baselines3 keeps its counters and the last observation.
COUNTERS = "num_timesteps", "_n_updates", "_episode_num"
LAST_STEP = "_last_obs", "_last_episode_starts"


class RunState:
    """
    Counters, random streams, explorers, the collector with its unfinished episodes, and the replay buffer.

    What can be rebuilt, such as samplers and opened datasets, is held by
    :class:`~gcrl_zoo.common.learner.Learner` and :class:`~gcrl_zoo.common.data_source.DataSource` instead. The zip of
    an agent holds the counters and the random streams only.

    :param algorithm: whose run it is; it holds the counters, the last observation and the replay buffer
    """

    def __init__(self, algorithm: AlgorithmSetup) -> None:
        self.algorithm = algorithm
        self.streams = RandomStreams(algorithm.seed, algorithm.device)
        #: None before the first ``learn``.
        self.collector: Collector | None = None
        #: For the first ``learning_starts`` steps; None before the first ``learn``.
        self.random_play: Explorer | None = None
        #: For all further steps; None before the first ``learn``.
        self.explorer: Explorer | None = None
        #: Number of episodes of own play that no update has used yet.
        self.n_new_episodes = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state as numbers, text and arrays, nested in dicts and lists. Arrays are copies."""
        buffer = io.BytesIO()
        self.algorithm.replay_buffer.save(buffer)
        return {
            "counters": {name: getattr(self.algorithm, name) for name in COUNTERS},
            "last_step": {name: getattr(self.algorithm, name) for name in LAST_STEP},
            "n_new_episodes": self.n_new_episodes,
            "streams": self.streams.state_dict(),
            "players": {name: player.state_dict() for name, player in self._players().items()},
            "replay_buffer": np.frombuffer(buffer.getvalue(), dtype=np.uint8),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Restore a state. Collector and explorers must exist, as they do once ``learn`` has begun.

        :param state: as returned by ``state_dict``
        """
        for name, value in {**state["counters"], **state["last_step"]}.items():
            setattr(self.algorithm, name, value)
        self.n_new_episodes = state["n_new_episodes"]
        self.streams.load_state_dict(state["streams"])
        players = self._players()
        for name, part in state["players"].items():
            players[name].load_state_dict(part)
        self.algorithm.replay_buffer = TrajectoryStore.load(io.BytesIO(state["replay_buffer"].tobytes()))

    def _players(self) -> dict[str, Collector | Explorer]:
        players = {"collector": self.collector, "random_play": self.random_play, "explorer": self.explorer}
        return {name: player for name, player in players.items() if player is not None}


class RandomStreams:
    """
    The random numbers of training, separate from those of evaluation and of the user's program.

    Samplers draw from the generator ``numpy``. Dropout and noise use torch's global generator, which evaluation and
    acting use too; ``torch_stream`` replaces its state during training. So evaluating more or less often does not
    change training, and a resumed run computes the same bits.

    :param seed: None for a random seed
    :param device: of the networks
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
        """Return a context in which torch draws from the stream of training."""
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

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON, which the zip holds without a pickle."""
        return {
            "numpy": self.numpy.bit_generator.state,
            "torch": {
                name: base64.b64encode(state.numpy().tobytes()).decode("ascii")
                for name, state in self._torch_states.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Restore the streams.

        :param state: as returned by ``state_dict``; a stream of a device that this machine lacks is left as seeded
        """
        self.numpy.bit_generator.state = state["numpy"]
        for name, text in state["torch"].items():
            if name in self._torch_states:
                raw = np.frombuffer(base64.b64decode(text), dtype=np.uint8).copy()
                self._torch_states[name] = th.from_numpy(raw)
