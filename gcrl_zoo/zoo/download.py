"""Agents from the Hugging Face Hub, checked before anything of them is loaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import HFValidationError
from huggingface_sb3 import EnvironmentName
from requests.exceptions import HTTPError
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.data.disk import writing
from gcrl_zoo.data.formats.containers import one_line
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.agents import Run, load_run
from gcrl_zoo.zoo.trust import Untrusted, check_file
from gcrl_zoo.zoo.trust.refusal import MAX_BYTES, refuse, shown
from gcrl_zoo.zoo.trust.settings import NO_ID, is_id

CHECK = "GCRL_ZOO_CHECK"
TRUST = "TRUST_REMOTE_CODE"
STATISTICS = "vec_normalize.pkl"
#: What RL Zoo pushes beside the agent and needs to play it.
SETTINGS = ("args.yml", "config.yml", "env_kwargs.yml")
#: Of the client's own HTTP library, whichever that is.
UNREACHABLE: tuple[type[Any], ...] = (HfHubHTTPError.__mro__[1], OfflineModeIsEnabled)


class NotOnHub(ValueError):
    """What was asked for is not there, or not for you."""


def is_set(name: str) -> bool:
    """:param name: of an environment variable that is a switch, read as RL Zoo reads its own"""
    return os.environ.get(name, "").lower() in ("y", "yes", "t", "true", "on", "1")


def algorithm_of(filename: str) -> str | None:
    """
    :param filename: of an agent, ``ALGO-ENVIRONMENT.zip``
    :return: the algorithm; None where the name is not of this form
    """
    names = [name for name in ALGOS if filename.startswith(f"{name}-") and filename.endswith(".zip")]
    return max(names, key=len, default=None)


def fetch(repo_id: str, filename: str, revision: str | None = None, token: str | None = None) -> Path:
    """
    Download a file, and check what arrived, unless ``TRUST_REMOTE_CODE`` is set.

    :param repo_id: of the repository
    :param filename: in it
    :param revision: branch, tag or commit; None for the newest
    :param token: of your account; None for the one that you are signed in with
    :return: where it is now
    :raises NotOnHub: there is no such repository or file, or not for you
    :raises Untrusted: it is not what the Hub announced, or loading it would run code
    """
    with _told(repo_id, filename):
        metadata = get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision), token=token)
        if (metadata.size or 0) > MAX_BYTES:
            refuse(f"{repo_id}/{filename}", f"has {metadata.size} bytes, which exceeds the limit of {MAX_BYTES}")
        path = Path(hf_hub_download(repo_id, filename, revision=revision, token=token, library_name="gcrl_zoo"))
    _check_content(path, metadata.etag, f"{repo_id}/{filename}")
    if not is_set(TRUST):
        try:
            check_file(path, algorithm_of(filename) or "")  # which only agents are asked for
        except Untrusted as refusal:  # names the file in the cache, where its user does not know it
            raise Untrusted(str(refusal).replace(str(path), f"{repo_id}/{filename}")) from None
    return path


@contextmanager
def _told(repo_id: str, filename: str) -> Iterator[None]:
    """Errors of the client, in one sentence."""
    try:
        yield
    except HFValidationError:
        raise NotOnHub(f"'{repo_id}' is not the name of a repository; give ORGANISATION/NAME.") from None
    except RepositoryNotFoundError:
        raise NotOnHub(
            f"There is no repository {repo_id} on {constants.ENDPOINT}, or it is private and not yours: check the "
            "name, and sign in by `hf auth login`."
        ) from None
    except LocalEntryNotFoundError:
        raise NotOnHub(unreachable()) from None
    except EntryNotFoundError:
        raise NotOnHub(f"The repository {repo_id} has no file {filename}; push the agent again.") from None
    except HfHubHTTPError as error:
        raise NotOnHub(f"{filename} of {repo_id} was not downloaded: {answer(error)}.") from None
    except UNREACHABLE:
        raise NotOnHub(unreachable()) from None


def answer(error: HfHubHTTPError) -> str:
    """:param error: of the Hub; what it said, in a line and without an end"""
    return one_line(error.server_message or error)


def unreachable() -> str:
    """What to do without a network."""
    return f"{constants.ENDPOINT} cannot be reached; check the network, HF_ENDPOINT and HF_HUB_OFFLINE."


def _check_content(path: Path, announced: str | None, name: str) -> None:
    """The Hub names large files by their SHA-256 and small ones as git does. The client compares sizes only."""
    digest = hashlib.sha256()
    if len(announced or "") != 2 * digest.digest_size:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    if announced != digest.hexdigest():
        refuse(name, f"is not the file that the Hub announced ({announced})", f"delete {path} and try again")


def fetch_for_scripts(repo_id: str, filename: str, upstream: Callable[[str, str], str]) -> str:
    """
    ``load_from_hub`` as RL Zoo's scripts call it, agent first.

    :param repo_id: of the repository
    :param filename: in it
    :param upstream: what downloads agents that are not ours
    :raises HTTPError: there are no statistics, which is how the scripts are told so
    """
    algo = algorithm_of(filename)
    checked = algo is None or algo in discover() or is_set(CHECK)
    if not checked and not is_set(TRUST):
        return upstream(repo_id, filename)  # which refuses it in a few words
    try:
        return str(fetch(repo_id, filename))
    except NotOnHub as error:
        if filename == STATISTICS:
            raise HTTPError(str(error)) from None
        raise


def load_from_hub(
    repo_id: str,
    revision: str | None = None,
    token: str | None = None,
    n_envs: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> tuple[BaseAlgorithm, VecEnv]:
    """
    A pretrained agent and its environment, with all wrappers, from a repository that RL Zoo pushed.

    :param repo_id: of the repository
    :param revision: branch, tag or commit; None for the newest
    :param token: of your account; None for the one that you are signed in with
    :param n_envs: how many environments play side by side
    :param env_kwargs: for the environment's constructor, beyond those of the run
    :param seed: of the agent
    :param device: of the agent
    :raises NotOnHub: there is no such repository, or no agent in it
    :raises Untrusted: loading what arrived would run code, and ``TRUST_REMOTE_CODE`` is not set
    :raises WriteError: the disk is full, ...
    """
    config = fetch(repo_id, "config.yml", revision, token)  # also tells that the repository is there
    with _told(repo_id, "list of files"):
        files = HfApi(token=token).list_repo_files(repo_id, revision=revision)
    agents = {name: algo for name in files if "/" not in name and (algo := algorithm_of(name))}
    if len(agents) != 1:
        found = " and ".join(map(shown, sorted(agents))) or "none"
        raise NotOnHub(f"The repository {repo_id} should hold one agent ALGO-ENVIRONMENT.zip; it has {found}.")
    ((filename, algo),) = agents.items()
    env_name = filename.removeprefix(f"{algo}-").removesuffix(".zip")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, algo, f"{env_name}_1")
        settings = run / env_name
        fetched = {
            settings / "config.yml": config,
            run / f"{env_name}.zip": fetch(repo_id, filename, revision, token),
            **{settings / name: fetch(repo_id, name, revision, token) for name in SETTINGS},
        }
        if STATISTICS in files:
            fetched[settings / "vecnormalize.pkl"] = fetch(repo_id, STATISTICS, revision, token)
        with writing(run):
            settings.mkdir(parents=True)
            for target, source in fetched.items():
                shutil.copy(source, target)
        env_id = str(yaml.load((settings / "args.yml").read_text(), Loader=yaml.UnsafeLoader)["env"])  # checked above
        _check_environment(env_id, env_name, repo_id)
        return load_run(algo, env_id, Run(folder), n_envs, env_kwargs, seed, device)


def _check_environment(env_id: str, env_name: str, repo_id: str) -> None:
    """The arguments name the environment, and Gymnasium imports what stands before a colon."""
    if not is_id(env_id) and not is_set(TRUST):
        refuse(
            f"{repo_id}/args.yml",
            f"has the environment {shown(env_id)}, which {NO_ID}",
        )
    if EnvironmentName(env_id) != env_name:
        raise NotOnHub(f"{repo_id}/args.yml has the environment {shown(env_id)}, but the agent is for {env_name}.")
