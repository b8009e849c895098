"""Patches of all RL Zoo scripts: their algorithms, and errors of ``-params KEY:VALUE``."""

import argparse
import functools
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from gcrl_zoo.zoo.register import add_algorithms

#: Python's constants by their names in YAML and other languages.
CONSTANTS = {"true": "True", "false": "False", "null": "None", "none": "None"}


def patch(utils: ModuleType) -> None:
    """
    Add our algorithms, and explain values that cannot be evaluated.

    :param utils: ``rl_zoo3.utils``, which all scripts import before they build their parsers
    """
    add_algorithms(utils)
    explain_values(utils.StoreDict)


def explain_values(action: type[argparse.Action]) -> None:
    """
    Replace the traceback of an invalid VALUE by one sentence that shows how to write it.

    RL Zoo evaluates each VALUE of ``-params``, ``--env-kwargs`` and ``--eval-env-kwargs`` as Python.

    :param action: ``rl_zoo3.utils.StoreDict``
    """
    stock = action.__call__

    @functools.wraps(stock)
    def store(
        self: argparse.Action,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        stored: dict[str, Any] = {}
        for value in values:
            single = argparse.Namespace()
            try:
                stock(self, parser, single, [value], option_string)
            except Exception as error:
                name = option_string or self.dest
                parser.exit(2, f"{parser.prog}: error: {name} got {value}{_problem(value, error)}.\n")
            stored |= getattr(single, self.dest)
        setattr(namespace, self.dest, stored)

    action.__call__ = store  # type: ignore[method-assign, assignment]


def _problem(given: str, error: Exception) -> str:
    key, colon, value = given.partition(":")
    if not colon or not value:
        return ", which has no value; write KEY:VALUE, such as learning_rate:1e-3"
    cause = f", whose value is not valid Python ({type(error).__name__}: {error})"
    if constant := CONSTANTS.get(value.strip().lower()):
        return f"{cause}; write it as Python does: {key}:{constant}"
    if re.fullmatch(r"[\w./\\:~@+ -]+", value):
        return f"{cause}; text needs quotes that the shell leaves there: {key}:\"'{value}'\""
    return f'{cause}; correct it, and put it in quotes for the shell: "{key}:VALUE"'
