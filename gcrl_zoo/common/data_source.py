"""What an algorithm learns from: opens, checks and converts its dataset and stream, and adds its own play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gcrl_zoo.common.data_checks import check_store
from gcrl_zoo.common.data_layout import as_own_play, fit_layout, frame_stacks, with_achieved_goals
from gcrl_zoo.common.environments import check_room
from gcrl_zoo.common.frame_checks import check_frames
from gcrl_zoo.common.needs import Needs, check_commands
from gcrl_zoo.data.open import open_store
from gcrl_zoo.data.rows import Stack
from gcrl_zoo.data.store import TrajectoryStore

if TYPE_CHECKING:
    from gcrl_zoo.common.algorithm_setup import AlgorithmSetup


class DataSource:
    """
    The stores that an algorithm learns from. It holds nothing that must be saved: datasets are opened again.

    :param algorithm: its arguments ``dataset`` and ``stream`` say what to open; it holds the replay buffer
    """

    def __init__(self, algorithm: AlgorithmSetup) -> None:
        self.algorithm = algorithm
        self.dataset: TrajectoryStore | None = None
        self.stream: TrajectoryStore | None = None
        #: By argument: what was opened and for which environment, and the store.
        self._opened: dict[str, tuple[tuple[Any, ...], TrajectoryStore]] = {}

    @property
    def labelled(self) -> TrajectoryStore:
        """Trajectories with actions: own play or the dataset."""
        store = self.algorithm.replay_buffer if self.algorithm.plays else self.dataset
        assert store is not None
        return store

    @property
    def unlabelled(self) -> TrajectoryStore:
        """Trajectories whose actions are not read: the stream, or else the same as ``labelled``."""
        return self.labelled if self.stream is None else self.stream

    def open(self) -> None:
        """
        Open the dataset and the stream for the environment of the algorithm. What is open and unchanged stays open.

        :raises ValueError: the data, or the environment, does not fit the method
        """
        algorithm, needs, name = self.algorithm, self.algorithm.data_needs, type(self.algorithm).__name__
        check_commands(name, needs, algorithm.observation_space)
        # A replay buffer with episodes contains those of the dataset, also one that was saved and loaded.
        copied = algorithm.plays and algorithm.replay_buffer.n_episodes > 0
        self.dataset = None if copied else self._open("dataset", needs)
        if self.dataset is not None and algorithm.plays:
            capacity = max(int(algorithm.buffer_size), self.dataset.n_slots)
            algorithm.replay_buffer = as_own_play(
                self.dataset, algorithm.policy.roles, capacity, self._makes(self.dataset.stacks)
            )
            self.dataset = None  # two copies of images may not fit into memory
            del self._opened["dataset"]
        buffer = algorithm.replay_buffer
        if algorithm.plays and not self._makes(buffer.stacks):
            algorithm.replay_buffer = as_own_play(buffer, algorithm.policy.roles, buffer.capacity, single_frames=False)
        if algorithm.stream is not None and not needs.stream:
            raise ValueError(f"{name} learns from actions and cannot use a `stream`; remove it.")
        self.stream = self._open("stream", needs._replace(actions=False))
        if algorithm.plays:
            assert algorithm.env is not None
            check_room(algorithm.env, algorithm.replay_buffer.capacity, algorithm.max_episode_steps)
        for argument in algorithm._left_out:
            if getattr(algorithm, argument) is None:
                raise ValueError(
                    f"This agent learned from a `{argument}` handed over as an object, which is not saved with it: "
                    f"load it with `{argument}=`, or with `{argument}=None` to go on without."
                )
        if algorithm.dataset is None and not algorithm.plays:
            raise ValueError("Nothing to learn from: give a `dataset`, or set `own_play: true`.")

    def _makes(self, stacks: Mapping[str, Stack]) -> bool:
        """Whether all own episodes have these stacks, so that single frames are enough to store them."""
        algorithm = self.algorithm
        if not stacks:
            return True
        found = frame_stacks(algorithm.env, algorithm.policy.roles)
        known = stacks.keys() & found.keys()  # goals that a wrapper copies from observations are not in the latter
        # An own episode that begins where another was cut, or where another environment was left, begins with the
        # frames from before.
        is_cut = algorithm.max_episode_steps is not None
        is_left = algorithm._run.collector is None and algorithm._last_obs is not None
        return bool(known) and not is_cut and not is_left and all(stacks[key].equals(found[key]) for key in known)

    def _open(self, argument: str, needs: Needs) -> TrajectoryStore | None:
        """Open again for another environment, and when an object that was given has grown."""
        algorithm, source = self.algorithm, getattr(self.algorithm, argument)
        if source is None:
            return None
        assert algorithm.env is not None
        grown = source.version if isinstance(source, TrajectoryStore) else getattr(source, "total_episodes", None)
        state = source, grown, algorithm.env
        if argument not in self._opened or self._opened[argument][0] != state:
            roles, action_space = algorithm.policy.roles, algorithm.action_space
            store = open_store(source, keep=argument == "stream" or not algorithm.plays)
            recorded, stacks = store.wrappers, frame_stacks(algorithm.env, roles)
            store = fit_layout(store, roles, action_space if needs.actions else None, stacks)
            store = with_achieved_goals(store, roles, algorithm.env, argument, stacks)
            check_store(store, roles, action_space, needs, argument, stacks)
            check_frames(recorded, store.name, roles, algorithm.env, argument)
            self._opened[argument] = state, store
        return self._opened[argument][1]
