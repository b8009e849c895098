"""The local variables that callbacks find in ``self.locals``."""

from __future__ import annotations

from typing import Any


class MissingLocal(KeyError):
    """A callback reads a local variable that this kind of training does not have."""

    def __str__(self) -> str:  # KeyError would show the sentence in quotes
        return str(self.args[0])


class CallbackLocals(dict[str, Any]):
    """
    The local variables of ``learn``, to which SB3's callbacks add those of each step.

    Reading a variable that this kind of training does not have raises an error that says so. ``get`` and ``in`` work
    as in any dictionary.

    :param variables: of ``learn``
    :param plays: whether training steps the environment
    """

    def __init__(self, variables: dict[str, Any], plays: bool) -> None:
        super().__init__(variables)
        self._plays = plays

    def __missing__(self, name: str) -> Any:
        why = (
            "own play does not have" if self._plays else "training from a dataset, which plays no steps, does not have"
        )
        raise MissingLocal(
            f"A callback reads locals['{name}'], which {why}: it has {', '.join(sorted(self))}. "
            f"Read locals.get('{name}') instead, or leave the callback out."
        )
