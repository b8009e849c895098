"""Push a run of the log folder to a repository on the Hub, in the format of RL Zoo's scripts."""

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
    """The agent could not be pushed to the Hub."""


def stage(training: Training, folder: Path) -> None:
    """
    Write the files of a repository, except card, video and results.

    :param training: training to publish
    :param folder: an empty folder
    :raises Untrusted: the check of downloads would refuse the agent
    """
    name = training.env_name
    settings = training.folder / name
    agent = folder / ModelName(training.algo, name).filename
    shutil.copy(training.folder / f"{name}.zip", agent)
    shutil.copy(settings / "config.yml", folder / "config.yml")
    # RL Zoo's scripts read the environment's arguments only from this file.
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
        archive.extractall(folder / agent.stem)  # the Hub shows the extracted files on its pages


def write_results(folder: Path, scores: Scores, deterministic: bool) -> None:
    """
    Write ``results.json``.

    :param folder: folder of the repository
    :param scores: evaluation of its agent
    :param deterministic: whether the evaluation used the most likely actions
    """
    results = {
        # the keys of RL Zoo's own push
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
    Check that you may publish.

    :param organization: organisation or user that should own the agents
    :raises NotPublished: you are not signed in, or are not a member
    """
    if get_token() is None:
        raise NotPublished("You are not signed in to the Hub; sign in by `hf auth login`, with a token that may write.")
    try:
        you = HfApi().whoami()
    except HfHubHTTPError as error:
        raise NotPublished(f"The Hub rejected your token ({answer(error)}); sign in by `hf auth login`.") from None
    except UNREACHABLE:
        raise NotPublished(unreachable()) from None
    yours = [you["name"], *(each["name"] for each in you.get("orgs", ()))]
    if organization not in yours:
        raise NotPublished(
            f"You are {you['name']}, who is not a member of {organization}; choose from {', '.join(yours)}."
        )


def repository_of(organization: str, training: Training) -> str:
    """Return the repository id that RL Zoo expects."""
    return str(ModelRepoId(organization, ModelName(training.algo, training.env_name)))


def push(folder: Path, repo_id: str, private: bool, message: str) -> str:
    """
    Create or update a repository. Its other files are kept.

    :param folder: folder with all files
    :param repo_id: id of the repository
    :param private: whether the repository must be private
    :param message: commit message
    :return: address of the repository
    :raises NotPublished: the Hub refuses, or the existing repository is public although it should be private
    """
    api = HfApi(library_name="gcrl_zoo")
    try:
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.repo_info(repo_id).private:
            raise NotPublished(
                f"The repository {repo_id} already exists and is public; make it private on the Hub, or omit --private."
            )
        gone = [VIDEO, STATISTICS, f"{repo_id.split('/')[1]}/*"]  # files of an earlier push that this one may lack
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, delete_patterns=gone)
    except HfHubHTTPError as error:
        raise NotPublished(f"{repo_id} was not pushed: {answer(error)}.") from None
    except UNREACHABLE:
        raise NotPublished(f"{repo_id} was not pushed: {unreachable()}") from None
    return str(url)
