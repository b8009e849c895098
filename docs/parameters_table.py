"""Write the tables of parameters in the pages, from signatures and docstrings: `make readme`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gcrl_zoo.common.actions import BOX_HEADS
from gcrl_zoo.common.arguments import arguments
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.policy_arguments import FROM_SB3
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.common.wording import in_words
from gcrl_zoo.registry import HYPERPARAMS, Method, discover

DOCS = Path(__file__).parent
BEGIN, END = "<!-- parameters: written by `make readme` -->", "<!-- end of parameters -->"
HEADER = "| parameter | default | allowed | meaning |\n|---|---|---|---|\n"


def described(cls: type, base: type | None = None) -> dict[str, str]:
    """
    What docstrings say on each parameter.

    :param cls: class to construct
    :param base: its ancestor from which on docstrings are not read; None for all
    :return: text by name, in Markdown, those of the class before those of its ancestors
    """
    found: dict[str, str] = {}
    for each in cls.__mro__:
        if each is base:
            break
        if "__init__" in vars(each) or each is cls:
            for name, text in re.findall(r"^:param (\w+): (.*?)(?=^:|\Z)", inspect.getdoc(each) or "", re.M | re.S):
                found.setdefault(name, in_markdown(text))
    return found


def in_markdown(text: str) -> str:
    """:param text: reStructuredText of one parameter"""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    text = re.sub(r"`([^`<]+) <(\S+)>`_", r"[\1](\2)", text)
    return text.replace("``", "`").replace("|", r"\|")


def as_written(default: Any) -> str:
    """:param default: of a parameter; as YAML writes it"""
    if default is inspect.Parameter.empty:
        return ""
    if isinstance(default, type):
        return f"`{default.__name__}`"
    if default is None or isinstance(default, bool):
        return "null" if default is None else str(default).lower()
    if isinstance(default, (list, tuple)):
        return f"[{', '.join(map(as_written, default))}]"
    if isinstance(default, str):
        return repr(default)
    return f"{default:,}" if isinstance(default, int) else f"{default}"


def rows(cls: type, texts: Mapping[str, str], given: set[str]) -> Iterator[str]:
    """
    :param cls: class to construct
    :param texts: what each parameter means, by its name; others get no row
    :param given: parameters that no user gives
    """
    for name, argument in arguments(cls).items():
        if name in texts and name not in given:
            allowed = in_words(argument.annotation).replace("|", r"\|")
            yield f"| `{name}` | {as_written(argument.default)} | {allowed} | {texts[name]} |\n"


def table(cls: type, base: type | None = None, given: set[str] = frozenset()) -> str:  # type: ignore[assignment]
    """
    :param cls: class to construct
    :param base: its ancestor whose parameters have a table elsewhere
    :param given: parameters that no user gives
    """
    body = "".join(rows(cls, described(cls, base), given | {"kwargs"}))
    return HEADER + body if body else ""


def of_method(method: Method) -> str:
    """:param method: whose page to write"""
    algorithm = method.algorithm
    policy = algorithm.policy_aliases["MlpPolicy"]
    if issubclass(algorithm, TrajectoryAlgorithm):
        base, policy_base = TrajectoryAlgorithm, ConditionedPolicy
        shared = "[those that all methods have](../parameters.md#arguments-of-all-methods)"
        of_policies = "[those that all policies have](../parameters.md#arguments-of-all-policies)"
    else:
        base, policy_base = of_sb3(algorithm), of_sb3(policy)
        shared, of_policies = (f"those of Stable-Baselines3's `{each.__name__}`" for each in (base, policy_base))
    own = table(algorithm, base, {"policy", "env"})
    nets = table(policy, policy_base, FROM_SB3)
    text = f"`{algorithm.__name__}` takes {shared}" + (f", and these:\n\n{own}" if own else ".\n")
    return f"{text}\n`policy_kwargs` may hold {of_policies}" + (f", and these:\n\n{nets}" if nets else ".\n")


def of_sb3(cls: type) -> type:
    """:param cls: an algorithm or a policy; the first of its base classes that SB3 or its contrib package defines"""
    return next(each for each in cls.__mro__ if each.__module__.startswith(("stable_baselines3.", "sb3_contrib.")))


def of_all() -> str:
    """The page on what methods share."""
    parts = [
        "## Arguments of all methods\n\n" + table(TrajectoryAlgorithm, None, {"policy", "env"}),
        "## Arguments of all policies\n\nEntries of `policy_kwargs`.\n\n" + table(ConditionedPolicy, None, FROM_SB3),
        "## Options of action heads\n\nEntries of `action_head_kwargs`, by `action_head`; `categorical` has none.\n",
    ]
    for kind, head in BOX_HEADS.items():
        parts.append(f"`{kind}`:\n\n" + table(head, None, {"features_dim", "low", "high"}))
    return "\n".join(parts)


def pages() -> Iterator[tuple[Path, str]]:
    """Each page, and what belongs between its markers."""
    yield DOCS / "parameters.md", of_all()
    for method in discover().values():
        if method.hyperparams == HYPERPARAMS:
            yield DOCS / "methods" / f"{method.name}.md", of_method(method)


def updated(page: Path, text: str) -> str:
    """
    :param page: with the two markers
    :param text: to put between them
    :return: the whole page
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} lacks the lines '{BEGIN}' and '{END}'; add them where the tables belong.")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


if __name__ == "__main__":
    for page, text in pages():
        page.write_text(updated(page, text), encoding="utf-8")
