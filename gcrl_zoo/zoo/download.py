"""Download agents from the Hugging Face Hub and check them before they are loaded."""

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
#: Files that RL Zoo pushes with the agent and needs to run it.
SETTINGS = ("args.yml", "config.yml", "env_kwargs.yml")
#: Connection errors of the client's HTTP library.
UNREACHABLE: tuple[type[Any], ...] = (HfHubHTTPError.__mro__[1], OfflineModeIsEnabled)


class NotOnHub(ValueError):
    """The repository or file does not exist, or you have no access."""


def is_set(name: str) -> bool:
    """
    Whether an environment variable is switched on, by RL Zoo's rules.

    :param name: name of the variable
    """
    return os.environ.get(name, "").lower() in ("y", "yes", "t", "true", "on", "1")


def algorithm_of(filename: str) -> str | None:
    """
    Return the algorithm of an agent's file name.

    :param filename: ``ALGO-ENVIRONMENT.zip``
    :return: the algorithm, or None if the name does not have this form
    """
    names = [name for name in ALGOS if filename.startswith(f"{name}-") and filename.endswith(".zip")]
    return max(names, key=len, default=None)


def fetch(repo_id: str, filename: str, revision: str | None = None, token: str | None = None) -> Path:
    """
    Download a file and check it, unless ``TRUST_REMOTE_CODE`` is set.

    :param repo_id: id of the repository
    :param filename: name of the file in the repository
    :param revision: branch, tag or commit; None for the latest
    :param token: token of your account; None for the one that you are signed in with
    :return: path of the downloaded file
    :raises NotOnHub: the repository or file does not exist, or you have no access
    :raises Untrusted: the file differs from what the Hub announced, or loading it could run code
    """
    with _one_sentence(repo_id, filename):
        metadata = get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision), token=token)
        if (metadata.size or 0) > MAX_BYTES:
            refuse(f"{repo_id}/{filename}", f"has {metadata.size} bytes, which exceeds the limit of {MAX_BYTES}")
        path = Path(hf_hub_download(repo_id, filename, revision=revision, token=token, library_name="gcrl_zoo"))
    _check_content(path, metadata.etag, f"{repo_id}/{filename}")
    if not is_set(TRUST):
        try:
            check_file(path, algorithm_of(filename) or "")  # only the check of agents uses it
        except Untrusted as refusal:  # its message has the path in the cache, which the user does not know
            raise Untrusted(str(refusal).replace(str(path), f"{repo_id}/{filename}")) from None
    return path


@contextmanager
def _one_sentence(repo_id: str, filename: str) -> Iterator[None]:
    """Convert errors of the client to one sentence."""
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
    """
    Return the message of the Hub on one line, without a full stop.

    :param error: error of the client
    """
    return one_line(error.server_message or error)


def unreachable() -> str:
    """Return the message for a missing connection."""
    return f"{constants.ENDPOINT} cannot be reached; check the network, HF_ENDPOINT and HF_HUB_OFFLINE."


def _check_content(path: Path, announced: str | None, name: str) -> None:
    """Compare the hash of a file with the announced one (SHA-256, or git's for small files); the client does not."""
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
    Download a file for RL Zoo's scripts, which call this as ``load_from_hub``, first for the agent.

    :param repo_id: id of the repository
    :param filename: name of the file in the repository
    :param upstream: function that downloads agents of other algorithms
    :raises HTTPError: the repository has no statistics; the scripts expect this error
    """
    algo = algorithm_of(filename)
    checked = algo is None or algo in discover() or is_set(CHECK)
    if not checked and not is_set(TRUST):
        return upstream(repo_id, filename)  # which refuses it
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
    Load a pretrained agent and its environment, with all wrappers, from a repository in RL Zoo's format.

    :param repo_id: id of the repository
    :param revision: branch, tag or commit; None for the latest
    :param token: token of your account; None for the one that you are signed in with
    :param n_envs: number of parallel environments
    :param env_kwargs: additional arguments of the environment's constructor
    :param seed: seed of the agent
    :param device: device of the agent
    :raises NotOnHub: there is no such repository, or no agent in it
    :raises Untrusted: loading the files could run code, and ``TRUST_REMOTE_CODE`` is not set
    :raises WriteError: the disk is full, ...
    """
    config = fetch(repo_id, "config.yml", revision, token)  # fails first if there is no such repository
    with _one_sentence(repo_id, "list of files"):
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
    """Check the environment id in the arguments, since Gymnasium imports the part before a colon."""
    if not is_id(env_id) and not is_set(TRUST):
        refuse(
            f"{repo_id}/args.yml",
            f"has the environment {shown(env_id)}, which {NO_ID}",
        )
    if EnvironmentName(env_id) != env_name:
        raise NotOnHub(f"{repo_id}/args.yml has the environment {shown(env_id)}, but the agent is for {env_name}.")
