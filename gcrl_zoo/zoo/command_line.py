"""What the commands of ours share; loads nothing heavy, since ``-h`` should not wait for RL Zoo."""

import argparse
from typing import NoReturn


def count(text: str) -> int:
    """
    :param text: of an argument
    :raises ArgumentTypeError: it is no whole number of at least 1
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def fail(parser: argparse.ArgumentParser, error: Exception) -> NoReturn:
    """
    Exit with status 2 and an error on a single line; spaces of Gymnasium, for example, break lines.

    :param parser: of the command
    :param error: to print
    """
    parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")
