"""The learner: from samplers to batches to updates, with the learning rate and the metrics of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import update_learning_rate
from torch import Tensor

from gcrl_zoo.common import interrupts
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.optimizers import metric_of
from gcrl_zoo.common.run_state import RandomStreams
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore

if TYPE_CHECKING:
    from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm


class NonFiniteLoss(ValueError):
    """Training diverged. A ``ValueError``, so that a hyperparameter search prunes the trial instead of failing."""


class Learner:
    """
    Updates the networks of an algorithm. Only this class draws batches, moves them to the device and steps optimizers.

    It holds nothing that must be saved: samplers are made again from the data.

    :param algorithm: whose hooks (``make_samplers``, ``compute_loss``, ...) define the updates
    :param streams: random numbers of training
    :param augment: changes each batch on the device, with random numbers of torch; None for no change
    """

    def __init__(
        self, algorithm: TrajectoryAlgorithm, streams: RandomStreams, augment: Callable[[Any], Any] | None = None
    ) -> None:
        self.algorithm, self.streams, self.augment = algorithm, streams, augment
        self.samplers: dict[str, Sampler] = {}
        #: The newest batch of each sampler, for ``train_metrics``.
        self.last_batches: dict[str, Any] = {}
        #: The timestep of the last log line.
        self.logged_at = 0
        self._data: tuple[Any, ...] = ()  # what the samplers were made from
        self._parameters = {
            name: [p for group in optimizer.param_groups for p in group["params"]]
            for name, optimizer in algorithm.policy.optimizers.items()
        }
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    # ------------------------------------------------------------------- update

    def refresh(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> None:
        """
        Make new samplers if the data has changed.

        :param labelled: trajectories with actions
        :param unlabelled: trajectories whose actions are not read; may be the same store
        """
        # The stores as well: another store may have the same version.
        data = labelled, unlabelled, labelled.version, unlabelled.version
        if self.samplers and self._data == data:
            return
        algorithm, unlabelled = self.algorithm, unlabelled.unlabelled()
        if algorithm._n_updates == 0:
            algorithm.fit_statistics(unlabelled)
        algorithm.policy.set_target_return(algorithm.choose_target(unlabelled))
        self.samplers = algorithm.make_samplers(labelled, unlabelled)
        self._data, self.last_batches = data, {}

    def update(self, progress: Iterable[float], first: int) -> None:
        """
        Update the networks, once for each entry of ``progress``.

        :param progress: for each update, the remaining part of the learning rate's schedule, from 1 to 0
        :param first: number of updates of these networks so far
        """
        algorithm = self.algorithm
        algorithm.policy.set_training_mode(True)  # acting leaves it in evaluation mode
        with self.streams.torch_stream(), algorithm.update_context():
            for update, remaining in enumerate(progress, first):
                with interrupts.postponed():
                    self._set_learning_rate(remaining, update)
                    names = algorithm.phase(update)
                    batches = {name: self.draw_batch(name) for name in (self.samplers if names is None else names)}
                    self.step(*algorithm.compute_loss(batches))
                    algorithm._n_updates += 1
                    algorithm.after_update()
                    self.last_batches.update(batches)  # a phase may leave some out

    def draw_batch(self, name: str) -> Any:
        """
        Draw a batch, move it to the device and augment it.

        :param name: of the sampler
        """
        sampler, algorithm = self.samplers[name], self.algorithm
        batch = to_tensors(sampler.gather(sampler.draw(self.streams.numpy, algorithm.batch_size)), algorithm.device)
        return batch if self.augment is None else self.augment(batch)

    def step(self, loss: Tensor, metrics: dict[str, Tensor]) -> None:
        """
        Take a step of each optimizer. Does not wait for the device.

        :param loss: scalar
        :param metrics: scalars to average until the next ``flush``
        """
        optimizers, max_grad_norm = self.algorithm.policy.optimizers, self.algorithm.max_grad_norm
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if max_grad_norm is not None:
            norms = {
                metric_of("grad_norm", name): th.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
                for name, parameters in self._parameters.items()
            }
            metrics = {**metrics, **norms}
        for optimizer in optimizers.values():
            optimizer.step()
        self.add_metrics({"loss": loss, **metrics})

    def _set_learning_rate(self, remaining: float, update: int) -> None:
        algorithm = self.algorithm
        # The last step of several environments may lie beyond the end.
        algorithm._current_progress_remaining = max(0.0, remaining)
        rate = algorithm.lr_schedule(algorithm._current_progress_remaining)
        if update < algorithm.warmup_steps:
            rate *= (update + 1) / algorithm.warmup_steps
        for name, each in algorithm.policy.learning_rates(rate).items():
            update_learning_rate(getattr(algorithm.policy, name), each)
            algorithm.logger.record(f"train/{metric_of('learning_rate', name)}", each)

    def reset_weights(self, make_policy: Callable[[], BasePolicy]) -> None:
        """
        Give all networks new random weights and empty the state of the optimizers. Statistics are buffers, and stay.

        :param make_policy: makes a policy of the same form
        """
        policy = self.algorithm.policy
        with interrupts.postponed(), self.streams.torch_stream(), th.no_grad():
            for parameter, new in zip(policy.parameters(), make_policy().parameters(), strict=True):
                parameter.copy_(new)
            for optimizer in policy.optimizers.values():
                optimizer.state.clear()

    # ------------------------------------------------------------------ metrics

    def add_metrics(self, metrics: dict[str, Tensor]) -> None:
        """
        Add metrics to the running means.

        :param metrics: scalars to average until the next ``flush``
        """
        for name, value in metrics.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def add_heldout_metrics(self, new_episodes: TrajectoryStore) -> None:
        """
        Compute ``heldout_metrics`` and add them to the running means.

        :param new_episodes: episodes that no update has used yet
        """
        with self._isolated_rng():
            self.add_metrics(self.algorithm.heldout_metrics(new_episodes))

    def train_metrics(self) -> dict[str, float]:
        """Metrics of the last batches; none before the first update since the data has changed."""
        if not self.last_batches:
            return {}
        with self._isolated_rng():
            return {name: value.item() for name, value in self.algorithm.train_metrics(self.last_batches).items()}

    @property
    def has_metrics(self) -> bool:
        """Whether there are metrics to ``flush``."""
        return bool(self._sums)

    def flush(self) -> dict[str, float]:
        """
        Mean of each metric since the last call. Waits for the device.

        :raises NonFiniteLoss: a loss since the last call was NaN or infinite
        """
        names = list(self._sums)
        values = th.stack([self._sums[name].float() for name in names]).tolist() if names else []
        means = {name: value / self._counts[name] for name, value in zip(names, values, strict=True)}
        self._sums.clear()
        self._counts.clear()
        bad = sorted(name for name, mean in means.items() if not abs(mean) < float("inf"))
        if bad:
            raise NonFiniteLoss(
                f"Training diverged: {', '.join(bad)} became NaN or infinite; "
                "lower learning_rate or max_grad_norm, and check the scale of rewards and observations."
            )
        return means

    @contextmanager
    def _isolated_rng(self) -> Iterator[None]:
        """Disable gradients and use a separate random stream, so that logging does not affect training."""
        algorithm = self.algorithm
        with th.no_grad(), RandomStreams(algorithm._n_updates, algorithm.device).torch_stream():
            yield
