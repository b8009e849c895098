"""What RL Zoo's Hugging Face scripts need to start with the packages that they install today."""

from types import ModuleType


def patch(push_to_hub: ModuleType) -> None:
    """
    ``rl_zoo3.push_to_hub`` imports ``generate_metadata``, which sb3-team-hf-integration calls ``_generate_metadata``
    since 3.2.

    :param push_to_hub: the module ``huggingface_sb3.push_to_hub`` (the package attribute of this name is a function)
    """
    if not hasattr(push_to_hub, "generate_metadata"):
        vars(push_to_hub)["generate_metadata"] = push_to_hub._generate_metadata
