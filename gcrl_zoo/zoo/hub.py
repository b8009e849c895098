"""Patches of RL Zoo's Hugging Face scripts."""

import os
from types import ModuleType
from typing import Any

#: Names the organisation in which ``rl_zoo3.enjoy`` looks for our agents that are not on disk.
ORGANIZATION = "GCRL_ZOO_ORGANIZATION"
DEFAULT_ORGANIZATION = "gcrl-zoo"


def patch(push_to_hub: ModuleType) -> None:
    """
    Restore ``generate_metadata`` for ``rl_zoo3.push_to_hub``, which expects it to return a dict.

    sb3-team-hf-integration calls it ``_generate_metadata`` since 3.2.

    :param push_to_hub: the module ``huggingface_sb3.push_to_hub`` (the package attribute of this name is a function)
    """
    if not hasattr(push_to_hub, "generate_metadata"):

        def generate_metadata(*args: Any, **kwargs: Any) -> dict[str, Any]:
            return push_to_hub._generate_metadata(*args, **kwargs).to_dict()

        vars(push_to_hub)["generate_metadata"] = generate_metadata


def patch_package(huggingface_sb3: ModuleType) -> None:
    """
    Check downloads of our agents instead of refusing them.

    Agents of other algorithms are left to upstream, which refuses them unless ``TRUST_REMOTE_CODE`` is set.
    ``GCRL_ZOO_CHECK=1`` checks them, too.

    :param huggingface_sb3: the package from which RL Zoo imports ``load_from_hub``
    """
    upstream = huggingface_sb3.load_from_hub

    def load_from_hub(repo_id: str, filename: str) -> str:
        from gcrl_zoo.zoo.download import fetch_for_scripts

        return fetch_for_scripts(repo_id, filename, upstream)

    vars(huggingface_sb3)["load_from_hub"] = load_from_hub


def patch_downloads(module: ModuleType) -> None:
    """
    Let ``rl_zoo3.enjoy`` download our agents from another organisation than ``sb3``.

    :param module: ``rl_zoo3.load_from_hub``, as a module and not as a script
    """
    upstream = module.download_from_hub

    def download_from_hub(algo: str, *args: Any, organization: str, **kwargs: Any) -> None:
        from gcrl_zoo.registry import discover

        if algo in discover() and organization == "sb3":
            organization = os.environ.get(ORGANIZATION, DEFAULT_ORGANIZATION)
            print(f"Looking for agents of gcrl_zoo in {organization} (set {ORGANIZATION} for another organisation)")
        upstream(algo, *args, organization=organization, **kwargs)

    vars(module)["download_from_hub"] = download_from_hub
