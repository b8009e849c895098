"""What RL Zoo's Hugging Face scripts need to work with the packages that they install today."""

import os
from types import ModuleType
from typing import Any

#: Where ``rl_zoo3.enjoy`` looks for agents of ours that are not on disk.
ORGANIZATION = "GCRL_ZOO_ORGANIZATION"
DEFAULT_ORGANIZATION = "gcrl-zoo"


def patch(push_to_hub: ModuleType) -> None:
    """
    ``rl_zoo3.push_to_hub`` imports ``generate_metadata``, which sb3-team-hf-integration calls ``_generate_metadata``
    since 3.2, and writes what it returns to a card, which takes a dict.

    :param push_to_hub: the module ``huggingface_sb3.push_to_hub`` (the package attribute of this name is a function)
    """
    if not hasattr(push_to_hub, "generate_metadata"):

        def generate_metadata(*args: Any, **kwargs: Any) -> dict[str, Any]:
            return push_to_hub._generate_metadata(*args, **kwargs).to_dict()

        vars(push_to_hub)["generate_metadata"] = generate_metadata


def patch_package(huggingface_sb3: ModuleType) -> None:
    """
    What ``rl_zoo3.load_from_hub`` downloads by is checked instead of refused, for agents of ours; those of others are
    left to upstream, which refuses them unless ``TRUST_REMOTE_CODE`` is set. ``GCRL_ZOO_CHECK=1`` checks them, too.

    :param huggingface_sb3: the package, of which RL Zoo takes ``load_from_hub``
    """
    upstream = huggingface_sb3.load_from_hub

    def load_from_hub(repo_id: str, filename: str) -> str:
        from gcrl_zoo.zoo.download import fetch_for_scripts

        return fetch_for_scripts(repo_id, filename, upstream)

    vars(huggingface_sb3)["load_from_hub"] = load_from_hub


def patch_downloads(module: ModuleType) -> None:
    """
    ``rl_zoo3.enjoy`` asks the organisation ``sb3`` for every agent that it does not find; ours are elsewhere.

    :param module: ``rl_zoo3.load_from_hub``, as a module and not as a script
    """
    upstream = module.download_from_hub

    def download_from_hub(algo: str, *args: Any, organization: str, **kwargs: Any) -> None:
        from gcrl_zoo.registry import discover

        if algo in discover() and organization == "sb3":
            organization = os.environ.get(ORGANIZATION, DEFAULT_ORGANIZATION)
            print(f"Agents of gcrl_zoo are looked for in {organization} ({ORGANIZATION} names another organisation)")
        upstream(algo, *args, organization=organization, **kwargs)

    vars(module)["download_from_hub"] = download_from_hub
