"""
Push agents to the Hugging Face Hub with cards and videos, and write a table of all of them::

    python -m gcrl_zoo.publish --organization ORGANISATION -f logs

Unlike ``rl_zoo3.push_to_hub``, it publishes all agents of a log folder. The cards contain the scores of all seeds, the
data, the target, and the commands to train and run the agent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.data.disk import writing
from gcrl_zoo.publish.card import Entry, Evaluated, make_card, write_benchmark
from gcrl_zoo.publish.evaluation import SEED, evaluate, film, headless
from gcrl_zoo.publish.repository import CARD, VIDEO, check_account, push, repository_of, stage, write_results
from gcrl_zoo.publish.trainings import (
    Training,
    by_environment,
    find_trainings,
    import_packages,
    train,
    tuned_environments,
)
from gcrl_zoo.registry import Method, discover
from gcrl_zoo.zoo.agents import Run, load_run, samples_by_default


@dataclass(frozen=True)
class Publisher:
    """
    Evaluates and publishes agents with common settings.

    :param organization: organisation or user that owns the repositories; None to push nothing
    :param folder: RL Zoo's log folder
    :param n_episodes: number of evaluation episodes of each agent
    :param video_steps: length of the videos; 0 for none
    :param private: create private repositories
    :param device: device of the agents
    """

    organization: str | None
    folder: Path
    n_episodes: int = 20
    video_steps: int = 1000
    private: bool = False
    device: str = "auto"

    def load(self, training: Training, **env_kwargs: str) -> tuple[BaseAlgorithm, VecEnv]:
        """Load an agent and its evaluation environment."""
        run = Run(str(self.folder), training.number)
        return load_run(training.algo, training.env_id, run, env_kwargs=env_kwargs, seed=SEED, device=self.device)

    def evaluate(self, training: Training) -> Evaluated:
        """Evaluate the agent of a training."""
        agent, env = self.load(training)
        try:
            scores = evaluate(agent, env, self.n_episodes, not samples_by_default(training.env_id))
        finally:
            env.close()
        target = getattr(agent.policy, "target_description", "")
        return Evaluated(training, scores, agent.num_timesteps, target)

    def film(self, training: Training, path: Path) -> None:
        """Record a video, or print why the environment cannot be rendered."""
        headless()
        try:
            agent, env = self.load(training, render_mode="rgb_array")
            film(agent, env, path, self.video_steps, not samples_by_default(training.env_id))
        except Exception as error:  # of any graphics library
            print(
                f"No video: {training.env_id} cannot be rendered here ({type(error).__name__}: {error}); "
                "without a display, MuJoCo needs MUJOCO_GL=egl or osmesa."
            )

    def publish(self, entry: Entry) -> Entry:
        """Push the published agent of an entry, and return the entry with its repository."""
        assert self.organization is not None
        training, scores = entry.published.training, entry.published.scores
        deterministic = not samples_by_default(training.env_id)
        entry = replace(entry, repo_id=repository_of(self.organization, training))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with writing(folder):
                stage(training, folder)
                write_results(folder, scores, deterministic)
            if self.video_steps:
                self.film(training, folder / VIDEO)
            with writing(folder):
                make_card(entry, self.n_episodes, deterministic).save(folder / CARD)
            message = f"{training.algo} on {training.env_id}: {scores.mean:.2f} +/- {scores.std:.2f}"
            return replace(entry, url=push(folder, str(entry.repo_id), self.private, message))


def publish(
    publisher: Publisher,
    algos: Sequence[str] = (),
    env_ids: Sequence[str] = (),
    train_seeds: Sequence[int] = (),
    train_arguments: Sequence[str] = (),
    table: Path = Path("benchmark.md"),
) -> list[str]:
    """
    Evaluate and push the agents of all methods in all environments. If one fails, the others are still published.

    :param publisher: common settings
    :param algos: only these methods
    :param env_ids: only these environments
    :param train_seeds: first train missing agents: each method in each environment that its YAML file has a block for
        (or in ``env_ids``), with each of these seeds
    :param train_arguments: arguments of ``rl_zoo3.train``
    :param table: path of the table, which is written after each agent
    :return: one sentence per failure
    :raises ValueError: there is no such method, nothing to publish, or you are not allowed to publish
    :raises WriteError: the table cannot be written
    """
    methods = discover()
    for algo in algos:
        if algo not in methods:
            raise ValueError(f"'{algo}' is not a method of gcrl_zoo; choose from {', '.join(sorted(methods))}.")
    if publisher.organization is not None:
        check_account(publisher.organization)
    entries: list[Entry] = []
    failures: list[str] = []
    for algo in algos or sorted(methods):
        method = methods[algo]
        if train_seeds:
            failures += _train(publisher.folder, method, env_ids, train_seeds, train_arguments)
        found, broken = find_trainings(publisher.folder, algo)
        failures += broken
        for env_id, trainings in by_environment(found, env_ids).items():
            try:
                import_packages(trainings)
                print(f"{algo} on {env_id}, seeds {', '.join(str(each.seed) for each in trainings)}", flush=True)
                entry = Entry(method, [publisher.evaluate(each) for each in trainings])
                entries.append(entry)
                if publisher.organization is not None:
                    entries[-1] = publisher.publish(entry)
            except Exception as error:  # of any environment
                failures.append(f"{algo} on {env_id}: {' '.join(str(error).split())}")
                print(failures[-1], flush=True)
            write_benchmark(table, entries, failures, publisher.n_episodes)
    if not entries and not failures:
        raise ValueError(f"There is no matching agent in {publisher.folder}; train one, or pass --train.")
    write_benchmark(table, entries, failures, publisher.n_episodes)  # written also if only trainings failed
    return failures


def _train(
    folder: Path, method: Method, env_ids: Sequence[str], seeds: Sequence[int], arguments: Sequence[str]
) -> list[str]:
    """Train the missing agents, and return one sentence per failure."""
    failures = []
    for env_id in env_ids or tuned_environments(method):
        try:
            # Twice: only after the first training it is known whether earlier seeds have the same settings.
            for seed in (*seeds, *seeds):
                done = by_environment(find_trainings(folder, method.name)[0], [env_id]).get(env_id, ())
                if seed not in {each.seed for each in done}:
                    train(folder, method.name, env_id, seed, arguments)
        except ValueError as error:
            failures.append(str(error))  # other seeds would fail too
    return failures
