"""Check weights and the states of optimizers as torch saves them."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from typing import Any

import torch as th

from gcrl_zoo.zoo.trust.allowed import STORAGES, WEIGHTS
from gcrl_zoo.zoo.trust.archives import members
from gcrl_zoo.zoo.trust.pickles import Budget, check_pickle
from gcrl_zoo.zoo.trust.refusal import BROKEN, described, refuse, shown
from gcrl_zoo.zoo.trust.stand_ins import is_a, parts_of

TORCH_MEMBERS = re.compile(
    r"(\w+)/(data\.pkl|data/\d+|byteorder|version|\.data/serialization_id|\.format_version|\.storage_alignment)"
)
TENSOR = "torch._utils._rebuild_tensor_v2"
# Names of attributes, and indices in a list of modules. A name that begins with two underscores belongs to Python.
NAME = re.compile(r"(?!__)\w{1,100}(\.(?!__)\w{1,100}){0,15}", re.ASCII)
VARIABLES = "pytorch_variables"
OPTIMIZER = re.compile(r"(.*[._])?optimizer")
PLAIN = (type(None), bool, int, float, str)


def check_torch(
    data: bytes, where: str, name: str = "policy", variables: Collection[str] = (), budget: Budget | None = None
) -> Any:
    """
    Check a file that ``torch.save`` wrote. Stable-Baselines3 loads weights with ``weights_only=True``, so torch checks
    them as well; this check also covers other ways to load them. It also checks the names in ``pytorch_variables``: SB3
    resolves these from the agent on, dot by dot, and assigns to the attributes that it finds.

    :param data: of a ``.pth`` file
    :param where: for messages: the file, and the place in it
    :param name: of the file. It determines what the file should hold: the state of an optimizer, variables of the
        agent, or the weights of a module
    :param variables: names of the variables that the agent declares
    :param budget: of the file that holds it; None if it is the file
    :return: its value, with stand-ins for tensors
    :raises Untrusted: it is not an archive of tensors, or holds something else as well
    """
    if not data.startswith(b"PK\x03\x04"):
        refuse(where, "is not an archive of torch.save")
    folders = {info.filename.partition("/")[0] for info, _ in members(data, where, TORCH_MEMBERS, False, keep=0)}
    try:
        reader = th._C.PyTorchFileReader(io.BytesIO(data))
        pickled = reader.get_record("data.pkl")
        records = set(reader.get_all_records())
    except RuntimeError as error:
        refuse(where, f"cannot be read by torch ({described(error)})", BROKEN)
    if len(folders) > 1:
        refuse(where, f"holds {len(folders)} archives in one")
    sizes: dict[str, int] = {}

    def storage(kind: str, key: str) -> int | None:
        if key not in sizes:
            known = re.fullmatch(r"\d{1,9}", key, re.ASCII) and f"data/{key}" in records
            sizes[key] = len(reader.get_record(f"data/{key}")) if known else 0
        return sizes[key] // STORAGES[kind.removesuffix("Storage")]

    value = check_pickle(pickled, WEIGHTS, f"{where}/data.pkl", budget, storage)
    if name == VARIABLES:
        _check_variables(value, where, variables)
    elif OPTIMIZER.fullmatch(name):
        _check_optimizer(value, where)
    else:
        _check_weights(value, where)
    return value


def entries_of(value: Any, where: str) -> dict[Any, Any]:
    """Return the entries of a dict or an ``OrderedDict``."""
    if is_a(value, "collections.OrderedDict"):
        return dict(value.entries)
    if not isinstance(value, dict):
        refuse(where, f"holds {shown(value)}, but must map names to tensors")
    return value


def _check_weights(value: Any, where: str) -> None:
    for name, tensor in entries_of(value, where).items():
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            refuse(where, f"has the key {shown(name)}, which is not the name of a parameter")
        if not is_a(tensor, TENSOR):
            refuse(where, f"has {shown(tensor)} for {name}, which is not a tensor")


def _check_variables(value: Any, where: str, declared: Collection[str]) -> None:
    for name, tensor in entries_of({} if value is None else value, where).items():
        if name not in declared:
            known = f"only {' and '.join(sorted(declared))}" if declared else "none"
            refuse(where, f"has the key {shown(name)}, but the agent declares {known}")
        if tensor is not None and not is_a(tensor, TENSOR):
            refuse(where, f"has {shown(tensor)} for {name}, which is not a tensor")


def _check_optimizer(value: Any, where: str) -> None:
    state = entries_of(value, where)
    if state.keys() != {"state", "param_groups"}:
        refuse(where, f"has the keys {shown([*state])}, which are not those of an optimizer")
    for part in parts_of(state):
        if is_a(part, TENSOR):
            continue
        if not isinstance(part, (*PLAIN, dict, list, tuple)) and not is_a(part, "collections.OrderedDict"):
            refuse(where, f"has {shown(part)}, which is not part of the state of an optimizer")
        for name in part if isinstance(part, dict) else ():
            if not (isinstance(name, int) or (isinstance(name, str) and NAME.fullmatch(name))):
                refuse(where, f"has the key {shown(name)}, which an optimizer does not have")
