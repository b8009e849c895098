"""Own play: rounds of steps in the environment, whose finished episodes go to the replay buffer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import should_collect_more_steps

from gcrl_zoo.common import interrupts
from gcrl_zoo.common.arguments import as_train_freq
from gcrl_zoo.common.collector import Collector, Step
from gcrl_zoo.common.explorers import Explorer, RandomPlay
from gcrl_zoo.common.run_state import RunState

if TYPE_CHECKING:
    from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm


class OwnPlay:
    """
    Plays with the policy of an algorithm. Its state, the collector and the explorers, is part of the run.

    :param algorithm: that plays
    :param run: its state
    """

    def __init__(self, algorithm: TrajectoryAlgorithm, run: RunState) -> None:
        self.algorithm, self.run = algorithm, run

    def start(self) -> None:
        """Make what is missing of collector and explorers. Call it when the environment has been reset."""
        algorithm, run = self.algorithm, self.run
        assert algorithm.env is not None and algorithm._last_obs is not None
        if algorithm.plays and run.random_play is None:
            run.random_play = RandomPlay(
                algorithm.action_space, run.streams.numpy, algorithm.noise_hold, algorithm.random_rest
            )
            run.explorer = algorithm.make_explorer(run.streams.numpy)
        if run.collector is None:
            run.collector = Collector(algorithm.env, algorithm.policy, algorithm.max_episode_steps)
            run.collector.start(algorithm._last_obs)

    def collect(self, callback: BaseCallback) -> bool:
        """
        Play for ``train_freq``, at most to the end of training.

        :param callback: called at each step, and at the beginning and the end; finds the variables of SB3's off-policy
            algorithms in ``self.locals``
        :return: whether to go on: False once the callback returned False
        """
        algorithm, n_steps, n_episodes = self.algorithm, 0, 0
        train_freq, end, explorer = as_train_freq(algorithm.train_freq), algorithm._total_timesteps, self._explorer()
        given = {"self": algorithm, "env": algorithm.env, "replay_buffer": algorithm.replay_buffer}
        algorithm.policy.set_training_mode(False)
        callback.on_rollout_start()
        while algorithm.num_timesteps < end and should_collect_more_steps(train_freq, n_steps, n_episodes):
            with interrupts.postponed():
                step = self._step(explorer)
            n_steps += 1
            n_episodes += len(step.episodes)
            collected = {"num_collected_steps": n_steps, "num_collected_episodes": n_episodes}
            callback.update_locals({**given, "train_freq": train_freq, **collected, **step._asdict()})
            if not callback.on_step():
                return False
        callback.on_rollout_end()
        return True

    def _explorer(self) -> Explorer:
        algorithm = self.algorithm
        random = algorithm.num_timesteps < algorithm.learning_starts and algorithm._n_updates == 0
        explorer = self.run.random_play if random else self.run.explorer
        assert explorer is not None
        return explorer

    def _step(self, explorer: Explorer) -> Step:
        """Step all environments, count the step, and store the episodes that it finished."""
        algorithm, run = self.algorithm, self.run
        assert run.collector is not None
        with run.streams.torch_stream():
            step = run.collector.step(explorer)
        algorithm.num_timesteps += algorithm.n_envs
        algorithm._last_obs, algorithm._last_episode_starts = step.new_obs, step.dones
        algorithm._update_info_buffer(step.infos, step.dones)
        for episode in step.episodes:
            buffer = algorithm.replay_buffer
            # Own play that began with a dataset without rewards is stored without rewards.
            rewarded = buffer.has_rewards or not buffer.n_episodes
            buffer.append(episode if rewarded else replace(episode, rewards=None))
            run.n_new_episodes += 1
        algorithm._episode_num += len(step.episodes)
        return step
