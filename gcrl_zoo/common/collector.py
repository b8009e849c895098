"""Own play: a policy, an explorer and a vectorised environment make finished episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.explorers import Explorer
from gcrl_zoo.common.needs import normalizers
from gcrl_zoo.common.play_checks import check_observation, check_rewards, final_facts
from gcrl_zoo.common.policies import ConditionedPolicy, Memory
from gcrl_zoo.common.roles import RETURN_TO_GO, Observation
from gcrl_zoo.common.window_policy import WindowPolicy
from gcrl_zoo.data.episode import Episode, EpisodeBuilder


class Step(NamedTuple):
    """One step of all environments, under the names that SB3's callbacks look for."""

    new_obs: Observation
    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    infos: list[dict[str, Any]]
    episodes: list[Episode]


class Collector:
    """
    Plays on where the last call stopped.

    Only finished episodes leave it. An environment that ends an episode by its time limit says so in
    ``info["TimeLimit.truncated"]``, and its true last observation is ``info["terminal_observation"]``.

    :param env: vectorised environment, E copies
    :param policy: acts on the roles of its own observation space
    :param max_episode_steps: cut longer episodes, as truncated; None for no limit
    """

    def __init__(self, env: VecEnv, policy: ConditionedPolicy, max_episode_steps: int | None = None) -> None:
        self.env, self.policy = env, policy
        self.roles = policy.roles
        self.device = policy.device
        self.discrete = isinstance(env.action_space, spaces.Discrete)
        self.builder = EpisodeBuilder(env.num_envs, max_episode_steps)
        self.obs: Observation = {}
        self.episode_starts = np.ones(env.num_envs, dtype=bool)
        self.memory: Memory | None = None
        finals: list[dict[str, np.ndarray] | None] = [None] * env.num_envs
        self._nothing_ended = (np.zeros(env.num_envs, dtype=bool), finals)
        self._normalizers = normalizers(env)

    def start(self, observation: Observation) -> None:
        """
        Begin new episodes here; those that are under way are dropped.

        :param observation: of all environments, as ``env.reset()`` returned it or where they are now
        :raises ValueError: the observation is that of another number of environments
        """
        (found,) = {len(each) for each in self.roles.facts(observation).values()}
        if found != self.env.num_envs:
            raise ValueError(
                f"The last observation is that of {found} environments, but training has {self.env.num_envs} now; "
                "reset them with `force_reset=True`."
            )
        self.episode_starts = np.ones(self.env.num_envs, dtype=bool)
        check_observation(observation, self.builder.lengths, self.episode_starts)
        self._at_start = self._before_cut = np.zeros((self.env.num_envs, 1))
        self.obs = self._see(observation, self.episode_starts)
        self.memory = None
        self.builder.start(self.roles.facts(observation))

    @th.inference_mode()
    def step(self, explorer: Explorer) -> Step:
        """
        :param explorer: asks and perturbs
        :return: what happened, and the episodes that it finished
        """
        actions = self._act(explorer)
        new_obs, rewards, dones, infos = self.env.step(actions)
        assert isinstance(new_obs, (np.ndarray, dict))
        lengths, facts = self.builder.lengths, self.roles.facts(new_obs)
        # Stored as the environment gives them: what VecNormalize divides by changes while own play goes on.
        raw_rewards = self._normalizers[-1].get_original_reward() if self._normalizers else rewards
        check_rewards(raw_rewards, lengths, self.env)
        check_observation(new_obs, lengths + 1, dones)
        truncated, finals = self._nothing_ended
        if True in dones:
            truncated, finals = truncated.copy(), finals.copy()
            for index in np.flatnonzero(dones).tolist():
                truncated[index] = infos[index].get("TimeLimit.truncated", False)
                finals[index] = final_facts(infos[index], facts, index, lengths[index] + 1)
        finished = self.builder.step(actions, raw_rewards, facts, dones, truncated, finals)
        self.episode_starts = dones
        if finished:  # an episode that is cut ends without a `done`
            self.episode_starts = dones.copy()
            self.episode_starts[[env for env, _ in finished]] = True
        self.obs = self._see(new_obs, dones)
        return Step(new_obs, actions, rewards, dones, list(infos), [episode for _, episode in finished])

    def _see(self, observation: Observation, dones: np.ndarray) -> Observation:
        """``ReturnToGo`` keeps counting after a cut; subtract what it had counted before the cut."""
        if not self.roles.return_to_go or self.builder.max_episode_steps is None:
            return observation
        assert isinstance(observation, dict)
        counted, done = observation[RETURN_TO_GO], dones[:, None]
        self._at_start = np.where(done, counted, self._at_start)
        cut = self.episode_starts[:, None] & ~done
        self._before_cut = np.where(done, 0.0, np.where(cut, counted - self._at_start, self._before_cut))
        return {**observation, RETURN_TO_GO: (counted - self._before_cut).astype(counted.dtype)}

    def _act(self, explorer: Explorer) -> np.ndarray:
        observation = to_tensors(self.obs, self.device)
        chosen, self.memory = self.policy.act(observation, self.memory, self.episode_starts, adjust=explorer.command)
        wanted = chosen.cpu().numpy()
        if not self.discrete and not np.isfinite(wanted).all():
            raise ValueError("Training diverged: the policy's actions became NaN or infinite; lower learning_rate.")
        actions = explorer.perturb(wanted, self.episode_starts)
        sent = self.policy.to_action_space(actions)
        if actions is not wanted and isinstance(self.policy, WindowPolicy):
            self.memory = self.policy.remember(self.memory, sent)
        return sent
