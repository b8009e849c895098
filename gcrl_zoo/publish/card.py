"""Write the card of an agent, and the table of all agents."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gcrl_zoo.data.whole_file import whole_file
from gcrl_zoo.publish.evaluation import SEED, Scores
from gcrl_zoo.publish.trainings import Training
from gcrl_zoo.registry import Method

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, keep_trailing_newline=True
)
PACKAGES = ("gcrl_zoo", "stable-baselines3", "rl_zoo3", "gymnasium", "torch", "numpy")


@dataclass(frozen=True)
class Evaluated:
    """
    An evaluated agent.

    :param training: its training
    :param scores: its evaluation
    :param steps: number of timesteps of its training
    :param target: its target (goal or return) when acting, in words; empty if it has none
    """

    training: Training
    scores: Scores
    steps: int
    target: str


@dataclass(frozen=True)
class Entry:
    """
    The agents of a method in an environment.

    :param method: the method
    :param agents: agents that differ only in the training seed
    :param repo_id: repository of the published agent; None if it is not published
    :param url: address of the repository
    """

    method: Method
    agents: Sequence[Evaluated]
    repo_id: str | None = None
    url: str | None = None

    @property
    def published(self) -> Evaluated:
        """The agent of the median training seed (of two, the lower one)."""
        return sorted(self.agents, key=lambda each: each.scores.rank)[(len(self.agents) - 1) // 2]

    @property
    def success(self) -> float | None:
        """Mean success rate of the seeds; None if the environment does not report success."""
        rates = [each.scores.success for each in self.agents if each.scores.success is not None]
        return float(np.mean(rates)) if rates else None

    @property
    def total(self) -> str:
        """Mean and standard deviation over seeds; only the mean for a single seed."""
        means = [each.scores.mean for each in self.agents]
        return spread(np.mean(means), np.std(means)) if len(means) > 1 else f"{means[0]:.2f}"

    @property
    def data(self) -> str:
        """Training data, in words."""
        return training_data(self.published.training.hyperparams)


def spread(mean: Any, std: Any) -> str:
    """Format a mean with its standard deviation."""
    return f"{mean:.2f} ± {std:.2f}"


def training_data(hyperparams: dict[str, Any]) -> str:
    """Describe the training data given by the hyperparameters of a training."""
    found = [f"`{hyperparams['stream']}` without actions"] if hyperparams.get("stream") else []
    if hyperparams.get("dataset"):
        found.append(f"`{hyperparams['dataset']}`")
    if not hyperparams.get("dataset") or hyperparams.get("own_play"):
        found.append("online interaction")
    return ", ".join(found)


def fraction(value: float | None) -> str:
    """Format a rate; empty for None."""
    return "" if value is None else f"{value:.2f}"


def facts(entry: Entry) -> dict[str, str]:
    """Return the table at the top of the card."""
    agent = entry.published
    environment = agent.training.env_kwargs
    found = {
        "environment arguments": f"`{environment}`" if environment else "",
        "wrappers": wrappers(agent.training.hyperparams),
        "training data": entry.data,
        "steps": f"{agent.steps:,}",
        "target": agent.target,
    }
    return {name: value for name, value in found.items() if value}


def wrappers(hyperparams: dict[str, Any]) -> str:
    """
    List the environment wrappers of a training.

    :param hyperparams: hyperparameters with ``env_wrapper``: a name, a mapping from it to arguments, or a list of these
    """
    given = hyperparams.get("env_wrapper") or []
    return ", ".join(f"`{each}`" for each in (given if isinstance(given, list) else [given]))


def make_card(entry: Entry, n_episodes: int, deterministic: bool) -> ModelCard:
    """
    Make the card of the published agent.

    :param entry: the agents and the repository
    :param n_episodes: number of evaluation episodes of each agent
    :param deterministic: whether the evaluation used the most likely actions
    """
    agent, repo_id = entry.published, str(entry.repo_id)
    training, scores, algo = agent.training, agent.scores, entry.method.name
    data = ModelCardData(
        model_name=algo,
        library_name="stable-baselines3",
        tags=[training.env_id, algo, "gcrl_zoo", "deep-reinforcement-learning", "reinforcement-learning"],
        eval_results=[
            EvalResult(
                task_type="reinforcement-learning",
                task_name="reinforcement-learning",
                dataset_type=training.env_id,
                dataset_name=training.env_id,
                metric_type="mean_reward",
                metric_name="mean_reward",
                metric_value=f"{scores.mean:.2f} +/- {scores.std:.2f}",  # the format of the Hub's leaderboards
            )
        ],
    )
    rows = [
        {
            "seed": each.training.seed,
            "return": spread(each.scores.mean, each.scores.std),
            "length": f"{np.mean(each.scores.lengths):.0f}",
            "success": fraction(each.scores.success),
        }
        for each in entry.agents
    ]
    text = TEMPLATES.get_template("card.md").render(
        card_data=data.to_yaml(),
        algo=algo,
        method=summary(entry.method),
        env_id=training.env_id,
        facts=facts(entry),
        n_episodes=n_episodes,
        eval_seed=SEED,
        deterministic=deterministic,
        rows=rows,
        seed=training.seed,
        total=entry.total,
        success=None if entry.success is None else fraction(entry.success),
        organization=repo_id.split("/")[0],
        repo_id=repo_id,
        command=training.command,
        packages=" ".join(training.arguments.get("gym_packages") or ()),
        hyperparams=yaml.safe_dump(plain(training.trained_with), sort_keys=False).strip(),
        versions={package: version(package) for package in PACKAGES},
        year=datetime.date.today().year,
    )
    return ModelCard(text)


def summary(method: Method) -> str:
    """Return the first paragraph of the docstring of the method's module."""
    doc = (sys.modules[method.algorithm.__module__].__doc__ or method.algorithm.__doc__ or method.name).strip()
    return " ".join(doc.split("\n\n")[0].split())


def plain(value: Any) -> Any:
    """Convert a value to types that YAML writes without tags."""
    match value:
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case str() | int() | float() | bool() | None:
            return value
    return repr(value)


def write_benchmark(path: Path, entries: Sequence[Entry], failures: Sequence[str], n_episodes: int) -> None:
    """
    Write the table of all agents.

    :param path: path of the table
    :param entries: its rows
    :param failures: one sentence per failure
    :param n_episodes: number of evaluation episodes of each agent
    """
    rows = [
        {
            "algo": entry.method.name,
            "env_id": entry.published.training.env_id,
            "data": entry.data,
            "steps": f"{entry.published.steps:,}",
            "each": " ".join(f"{each.scores.mean:.2f}" for each in entry.agents),
            "total": entry.total,
            "success": fraction(entry.success),
            "link": f"[{entry.repo_id}]({entry.url})" if entry.url else "none",
            "published": spread(entry.published.scores.mean, entry.published.scores.std),
        }
        for entry in entries
    ]
    template = TEMPLATES.get_template("benchmark.md")
    with whole_file(path) as file:
        file.write(template.render(rows=rows, failures=failures, n_episodes=n_episodes, eval_seed=SEED).encode())
