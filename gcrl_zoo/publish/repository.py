"""From a run in the log folder to a repository on the Hub, in the form that RL Zoo's scripts read."""

from __future__ import annotations

import datetime
import json
import shutil
import zipfile
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import yaml
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_sb3 import ModelName, ModelRepoId

from gcrl_zoo.publish.evaluation import SEED, Scores
from gcrl_zoo.publish.trainings import PRIVATE, Training
from gcrl_zoo.zoo.download import STATISTICS, UNREACHABLE, answer, unreachable
from gcrl_zoo.zoo.trust import check_folder

CARD, VIDEO = "README.md", "replay.mp4"


class NotPublished(ValueError):
    """The Hub did not take it."""


def stage(training: Training, folder: Path) -> None:
    """
    :param training: to be published
    :param folder: an empty one, which gets all files but card, video and results
    :raises Untrusted: nobody could load it
    """
    name = training.env_name
    settings = training.folder / name
    agent = folder / ModelName(training.algo, name).filename
    shutil.copy(training.folder / f"{name}.zip", agent)
    shutil.copy(settings / "config.yml", folder / "config.yml")
    # RL Zoo's scripts know of the environment's arguments from here only.
    arguments = {**training.arguments, **dict.fromkeys(PRIVATE), "env_kwargs": training.env_kwargs or None}
    (folder / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    (folder / "env_kwargs.yml").write_text(yaml.dump(training.env_kwargs))
    if (settings / "vecnormalize.pkl").is_file():
        shutil.copy(settings / "vecnormalize.pkl", folder / STATISTICS)
    with zipfile.ZipFile(folder / "train_eval_metrics.zip", "w") as archive:
        for path in sorted([*training.folder.glob("evaluations.npz"), *training.folder.glob("*.monitor.csv")]):
            archive.write(path, path.name)
    check_folder(folder, training.algo)
    with zipfile.ZipFile(agent) as archive:
        archive.extractall(folder / agent.stem)  # the Hub's pages show what is inside


def write_results(folder: Path, scores: Scores, deterministic: bool) -> None:
    """
    :param folder: of the repository
    :param scores: of its agent
    :param deterministic: whether it played its most likely actions
    """
    results = {
        # as RL Zoo's own push has them
        "mean_reward": scores.mean,
        "std_reward": scores.std,
        "is_deterministic": deterministic,
        "n_eval_episodes": len(scores.returns),
        "eval_datetime": datetime.datetime.now().isoformat(),
        "eval_seed": SEED,
        **asdict(scores),
    }
    (folder / "results.json").write_text(json.dumps(results))


def check_account(organization: str) -> None:
    """
    :param organization: or person, to whom agents should belong
    :raises NotPublished: you are not signed in, or may not write there
    """
    if get_token() is None:
        raise NotPublished("You are not signed in to the Hub; sign in by `hf auth login`, with a token that may write.")
    try:
        you = HfApi().whoami()
    except HfHubHTTPError as error:
        raise NotPublished(f"The Hub does not know you ({answer(error)}); sign in by `hf auth login`.") from None
    except UNREACHABLE:
        raise NotPublished(unreachable()) from None
    yours = [you["name"], *(each["name"] for each in you.get("orgs", ()))]
    if organization not in yours:
        raise NotPublished(f"You are {you['name']}, and no member of {organization}; choose from {', '.join(yours)}.")


def repository_of(organization: str, training: Training) -> str:
    """The name under which RL Zoo looks for it."""
    return str(ModelRepoId(organization, ModelName(training.algo, training.env_name)))


def push(folder: Path, repo_id: str, private: bool, message: str) -> str:
    """
    Create the repository or update it. Files that we do not write stay as they are.

    :param folder: with all files
    :param repo_id: of the repository
    :param private: whether only the owner may see it
    :param message: of the commit
    :return: address of the repository
    :raises NotPublished: the Hub refuses, or the repository is there and not private as it should be
    """
    api = HfApi(library_name="gcrl_zoo")
    try:
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.repo_info(repo_id).private:
            raise NotPublished(
                f"The repository {repo_id} is public already; make it private there, or leave out --private."
            )
        gone = [VIDEO, STATISTICS, f"{repo_id.split('/')[1]}/*"]  # of an earlier push, where this one has none
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, delete_patterns=gone)
    except HfHubHTTPError as error:
        raise NotPublished(f"{repo_id} was not pushed: {answer(error)}.") from None
    except UNREACHABLE:
        raise NotPublished(f"{repo_id} was not pushed: {unreachable()}") from None
    return str(url)
