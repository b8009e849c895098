"""What the commands of ours share; loads nothing heavy, since ``-h`` should not wait for RL Zoo."""

import argparse


def count(text: str) -> int:
    """
    :param text: of an argument
    :raises ArgumentTypeError: it is no whole number of at least 1
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number
