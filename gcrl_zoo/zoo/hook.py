"""Placeholder until the hook lands."""


def install() -> None:
    """Do nothing yet."""
