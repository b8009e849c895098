"""Check the arguments of our wrappers in ``env_wrapper`` before RL Zoo creates an environment."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from gcrl_zoo.common.arguments import arguments, refuse_unknown
from gcrl_zoo.common.wording import suggestion

OURS = "gcrl_zoo.wrappers"  # imported by name, as RL Zoo does
#: Example values of required arguments, for messages.
EXAMPLES = {"goal": [0.45], "threshold": 0.05, "low": [-1.0], "high": [1.0], "dataset": "cartpole/ppo-v0"}


def check_wrappers(given: Any) -> None:
    """
    Refuse unknown wrappers of ours, and missing or unknown arguments. Other wrappers are not checked.

    :param given: ``env_wrapper``: the name of a class, a mapping from it to its arguments, or a list of these
    :raises ValueError: what is wrong, with an example
    """
    for each in given if isinstance(given, list | tuple) else [given]:
        entries = each.items() if isinstance(each, Mapping) else [(each, {})]
        for name, options in entries:
            module, _, wrapper = str(name).rpartition(".")
            if module == OURS and isinstance(options or {}, Mapping):
                _check_wrapper(wrapper, options or {})


def _check_wrapper(name: str, options: Mapping[str, Any]) -> None:
    wrappers = importlib.import_module(OURS)
    if name not in wrappers.__all__:
        raise ValueError(f"env_wrapper: {OURS} has no wrapper {name!r}; {suggestion(name, wrappers.__all__)}")
    cls = getattr(wrappers, name)
    known = {each: argument for each, argument in arguments(cls).items() if each != "env"}
    by_class: frozenset[str] = getattr(cls, "task_arguments", frozenset())
    needed = [
        each for each, argument in known.items() if argument.default is inspect.Parameter.empty and each not in by_class
    ]
    example = _example(name, needed, "indices" in known)
    try:
        refuse_unknown(options, cls, f"env_wrapper: {OURS}.{name} has no argument", given=("env",))
    except TypeError as error:
        raise ValueError(f"{str(error).rstrip('.')} (for example {example}).") from None
    missing = [each for each in needed if each not in options]
    if missing:
        names = " and ".join(f"'{each}'" for each in missing)
        raise ValueError(f"env_wrapper: {OURS}.{name} needs {names}; give it, for example {example}.")


def _example(name: str, needed: list[str], has_indices: bool) -> str:
    """Return an example for the command line, quoted for the shell."""
    if not needed:
        return f"-params \"env_wrapper:'{OURS}.{name}'\""
    options = {each: EXAMPLES[each] for each in needed} | ({"indices": [0]} if has_indices else {})
    text = repr({f"{OURS}.{name}": options}).replace(" ", "")
    return f'-params "env_wrapper:{text}"'
