"""Helpers of our commands. Imports nothing heavy, so that ``-h`` does not wait for RL Zoo."""

import argparse
from typing import NoReturn


def count(text: str) -> int:
    """
    Parse an argument that is a count.

    :param text: text of the argument
    :raises ArgumentTypeError: it is not a whole number of at least 1
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def fail(parser: argparse.ArgumentParser, error: Exception) -> NoReturn:
    """
    Print an error on a single line and exit with status 2. (The text of a Gymnasium space may contain line breaks.)

    :param parser: parser of the command
    :param error: error to print
    """
    parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")
