"""The collector: steps a vectorised environment with a policy and an explorer, and returns finished episodes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.environments import check_observation, check_rewards, final_facts, normalizers
from gcrl_zoo.common.explorers import Explorer
from gcrl_zoo.common.policies import ConditionedPolicy, Memory
from gcrl_zoo.common.roles import PLAIN, RETURN_TO_GO, Observation
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
    Steps the environments, continuing where the last call stopped, and returns only finished episodes.

    ``info["TimeLimit.truncated"]`` marks an episode that a time limit ended, and ``info["terminal_observation"]`` is
    the true last observation of an episode.

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
        # For a return-to-go that a wrapper counts: at the start of the environment's episode, and before the last cut.
        self._at_start = self._before_cut = np.zeros((env.num_envs, 1))
        self.memory: Memory | None = None
        finals: list[dict[str, np.ndarray] | None] = [None] * env.num_envs
        self._nothing_ended = (np.zeros(env.num_envs, dtype=bool), finals)
        self._normalizers = normalizers(env)

    def start(self, observation: Observation) -> None:
        """
        Begin new episodes here and drop the unfinished ones.

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

    def state_dict(self) -> dict[str, Any]:
        """Return the unfinished episodes and the policy's memory: numbers and arrays, nested in dicts and lists."""
        memory = [each.cpu().numpy() if isinstance(each, th.Tensor) else each for each in tree_leaves(self.memory)]
        entries = self.obs if isinstance(self.obs, dict) else {PLAIN: self.obs}
        state = {
            "observation": entries,
            "strides": {key: list(values.strides) for key, values in entries.items()},
            "episode_starts": self.episode_starts,
            "counted": [self._at_start, self._before_cut],
            "memory": None if self.memory is None else memory,
            "episodes": self.builder.state_dict(),
        }
        return deepcopy(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Continue the unfinished episodes of another collector, in environments that are in the same state.

        :param state: as returned by ``state_dict``
        """
        state = deepcopy(dict(state))
        entries = {key: in_layout(values, state["strides"][key]) for key, values in state["observation"].items()}
        self.obs = entries[PLAIN] if self.roles.plain else entries
        self.episode_starts = state["episode_starts"]
        self._at_start, self._before_cut = state["counted"]
        self.memory, saved = None, state["memory"]
        if saved is not None:
            assert isinstance(self.policy, WindowPolicy)
            leaves, form = tree_flatten(self.policy.initial_memory(self.env.num_envs))
            for index, leaf in enumerate(leaves):
                saved[index] = th.as_tensor(saved[index]).to(leaf) if isinstance(leaf, th.Tensor) else saved[index]
            self.memory = tree_unflatten(saved, form)
        self.builder.load_state_dict(state["episodes"])

    @th.inference_mode()
    def step(self, explorer: Explorer) -> Step:
        """
        Step all environments.

        :param explorer: changes commands and actions
        :return: the step, with the episodes that it finished
        """
        actions = self._act(explorer)
        new_obs, rewards, dones, infos = self.env.step(actions)
        assert isinstance(new_obs, (np.ndarray, dict))
        lengths, facts = self.builder.lengths, self.roles.facts(new_obs)
        # Stored as the environment gives them: the divisor of VecNormalize changes during own play.
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


def in_layout(values: np.ndarray, strides: list[int]) -> np.ndarray:
    """
    Copy an array to another memory layout. SB3 shows images as transposed views, and torch's convolutions round
    differently for them than for contiguous arrays.

    :param values: array
    :param strides: of the copy, in bytes
    """
    copy: np.ndarray = np.ndarray(values.shape, values.dtype, np.empty(values.nbytes, np.uint8), strides=strides)
    copy[...] = values
    return copy
