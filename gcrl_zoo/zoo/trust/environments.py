"""Ids and arguments of environments. Gymnasium imports what stands before the colon of an id."""

from __future__ import annotations

import inspect
import re
from typing import Any

from gcrl_zoo.zoo.trust.refusal import refuse, shown
from gcrl_zoo.zoo.trust.stand_ins import parts_of
from gcrl_zoo.zoo.trust.values import MAX_PARTS, plain_number
from gcrl_zoo.zoo.wrapped import bare

ID = re.compile(r"([\w-]{1,100}/)?[\w.-]{1,100}", re.ASCII)
# Words; a dot would make a module of them, but for the file that describes a robot.
TEXT = re.compile(r"[\w +,=-]{0,100}|([\w -]{1,100}/){0,8}[\w-]{1,100}\.xml", re.ASCII)
NAME = re.compile(r"[a-z_A-Z]\w{0,99}", re.ASCII)
MAX_NUMBER = 10**6
MAX_STEPS = 10**9
#: Arguments by which our ids say what is inside; nobody else gives them.
RESERVED = {name for name, each in inspect.signature(bare).parameters.items() if each.kind is not each.VAR_KEYWORD}


def is_id(text: Any) -> bool:
    """:param text: anything; True for the id of a registered environment, without a module before it"""
    return isinstance(text, str) and ID.fullmatch(text) is not None and ".." not in text


def check_env_kwargs(arguments: Any, where: str) -> None:
    """
    :param arguments: of the constructor of an environment; None for none
    :param where: for messages: the file, and the place in it
    :raises Untrusted: one is more than plain words and numbers
    """
    if not isinstance(arguments, dict | None):
        refuse(where, f"has {shown(arguments)} for env_kwargs, where names and values should be")
    for name, value in (arguments or {}).items():
        if not (isinstance(name, str) and NAME.fullmatch(name)) or name.startswith("__") or name in RESERVED:
            refuse(where, f"has {shown(name)} in env_kwargs, which no honest one gives to an environment")
        for count, part in enumerate(parts_of(value)):
            if count > MAX_PARTS or not _is_plain(part, MAX_STEPS if name.endswith("steps") else MAX_NUMBER):
                refuse(where, f"has {shown(part)} for {name} in env_kwargs, which is no plain word or number")


def _is_plain(part: Any, most: int) -> bool:
    if isinstance(part, str):
        return TEXT.fullmatch(part) is not None
    if part is None or isinstance(part, bool | float | list | tuple):
        return True
    if isinstance(part, dict):
        return all(isinstance(key, str | int) for key in part)
    number = plain_number(part)
    return number is not None and abs(number) <= most
