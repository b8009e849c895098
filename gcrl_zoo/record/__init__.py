"""
Record episodes of an agent as a Minari dataset::

    python -m gcrl_zoo.record --algo ppo --env CartPole-v1 -f logs --dataset-id cartpole/ppo-v0 --n-episodes 100
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Env

from gcrl_zoo.data.checks import is_whole, whole
from gcrl_zoo.data.formats.minari import check_spaces
from gcrl_zoo.data.formats.minari_storage import About
from gcrl_zoo.data.formats.minari_writer import check_target, write_minari
from gcrl_zoo.data.recorded_wrappers import describe_wrappers
from gcrl_zoo.data.recorder import Recording

if TYPE_CHECKING:
    from minari import MinariDataset
    from stable_baselines3.common.type_aliases import PolicyPredictor
    from stable_baselines3.common.vec_env import VecEnv

# Stable-Baselines3 is imported late, so that `python -m gcrl_zoo.record -h` does not wait for it.


def record(
    model: PolicyPredictor | None,
    env: str | Env[Any, Any] | VecEnv,
    dataset_id: str,
    *,
    n_episodes: int | None = None,
    n_timesteps: int | None = None,
    n_envs: int = 1,
    noise: float | Sequence[float] = 0.0,
    deterministic: bool = True,
    seed: int = 0,
    algorithm_name: str | None = None,
    author: str | None = None,
    description: str | None = None,
    append: bool = False,
    force: bool = False,
    progress: bool = False,
    processes: int = 1,
    make: Callable[[], tuple[PolicyPredictor | None, VecEnv]] | None = None,
) -> MinariDataset:
    """
    Record episodes of an agent as a Minari dataset.

    Records the observations and rewards of the environment with its Gymnasium wrappers, without the normalisation and
    stacking of ``VecEnv`` wrappers, and the actions as executed. Episodes are complete, and each has its own seed. The
    dataset appears when all episodes are recorded; a call that fails or is stopped leaves existing datasets unchanged.
    The global random generators are seeded, for stochastic policies. Without parallel environments, everything random
    in an episode follows from its seed, so the number of processes does not change the dataset. If the agent's own
    environment is used, training that continues afterwards starts with new episodes.

    :param model: the agent; None for uniformly random actions
    :param env: id of an environment, an environment, or a ``DummyVecEnv`` in any ``VecEnv`` wrappers
    :param dataset_id: id of the dataset, such as ``"cartpole/ppo-v0"``
    :param n_episodes: number of episodes to record; give this or ``n_timesteps``
    :param n_timesteps: record whole episodes until there are this many steps
    :param n_envs: number of parallel environments, if ``env`` is an id
    :param noise: noise on the agent's actions: the standard deviation of Gaussian noise as a fraction of half the
        action range (``Box``), or the probability of a random action (``Discrete``); each episode draws one of several
    :param deterministic: use the agent's most likely actions instead of samples
    :param seed: seed of everything random
    :param algorithm_name: metadata of the dataset; None for the class of the model, or "random"
    :param author: metadata of the dataset
    :param description: metadata of the dataset; None for how it was recorded
    :param append: add the episodes to an existing dataset
    :param force: replace an existing dataset
    :param progress: show a progress bar
    :param processes: number of processes that play; with more than one, ``n_envs`` is 1
    :param make: creates ``model`` and ``env``, with one environment, in each of several processes; it is pickled
    :return: the dataset, as ``minari.load_dataset`` returns it
    :raises ValueError: an argument is invalid
    :raises ProcessError: a process ended, for example because memory ran out
    :raises WriteError: the disk is full, the folder of datasets is read-only, ...
    """
    from minari import load_dataset

    from gcrl_zoo.record.player import Player, innermost, interrupted, recorded, vectorised, write
    from gcrl_zoo.record.processes import Job, playing

    check_target(dataset_id, append, force)
    amount = _amount(n_episodes, n_timesteps)
    if not is_whole(n_envs, 1):
        raise ValueError(f"n_envs is {n_envs!r}; give at least 1, as a whole number.")
    n_envs, seed, processes = int(n_envs), whole(seed, "seed", least=0), whole(processes, "processes")
    if processes > 1 and make is None:
        raise ValueError(f"processes is {processes}, but make is None; give a function that creates agent and env.")
    if isinstance(env, Env):
        check_spaces(dataset_id, env.observation_space, env.action_space)  # SB3 cannot vectorise all of them
    with vectorised(env, n_envs) as vec_env:
        bare = innermost(vec_env)
        spec, name = bare.envs[0].spec, algorithm_name or ("random" if model is None else type(model).__name__)
        how = "" if model is None else f", {deterministic=}, {noise=}"
        summary = f"{name} on {spec.id if spec else bare.envs[0]}{how}, {seed=}"
        about = About(spec, name, author, description or summary, describe_wrappers(bare.envs[0]))
        with write_minari(dataset_id, bare.observation_space, bare.action_space, about, append, force) as writer:
            # Appended episodes differ from the earlier ones, also with the same seed.
            player = Player(model, vec_env, noise, deterministic, np.random.default_rng([seed, writer.n_before]))
            enough = n_episodes, n_timesteps, progress
            if processes > 1 and make is not None:
                job = Job(make, noise, deterministic, seed, writer.n_before, min(processes, amount))
                with playing(job) as episodes:
                    write(episodes, writer, *enough)
            else:
                with interrupted(model, bare), recorded(bare, Recording(seed, writer.n_before)) as recording:
                    write(player.episodes(recording), writer, *enough)
    return load_dataset(dataset_id)


def _amount(n_episodes: int | None, n_timesteps: int | None) -> int:
    amounts = [amount for amount in (n_episodes, n_timesteps) if amount is not None]
    if len(amounts) != 1 or not is_whole(amounts[0], 1):
        raise ValueError(
            f"n_episodes is {n_episodes!r} and n_timesteps is {n_timesteps!r}; give one of them, at least 1, as "
            "a whole number."
        )
    return int(amounts[0])
