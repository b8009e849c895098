"""Read YAML without Python objects, within limits. RL Zoo's own loader creates any object."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import yaml

from gcrl_zoo.zoo.trust.allowed import CLASSES
from gcrl_zoo.zoo.trust.refusal import BROKEN, Offence, Untrusted, described, read, refuse, shown

MAX_TEXT = 2**16  # bytes
MAX_NODES = 10_000
MAX_DEPTH = 32
MAX_ALIASES = 8  # RL Zoo writes one if two settings are the same object
YAML_TAG = "tag:yaml.org,2002:"


class PlainLoader(yaml.SafeLoader):
    """Constructs no Python objects except those that RL Zoo writes itself."""

    aliases = nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Count values, aliases and depth: aliases of aliases can expand to values of exponential size."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise Offence(f"has more than {MAX_ALIASES} aliases")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Offence(f"has more than {MAX_NODES} values")
        if self.depth > MAX_DEPTH:
            raise Offence(f"has values nested more than {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_ordered(self, node: yaml.Node) -> dict[Any, Any]:
        """``OrderedDict(pairs)``, the root of the files that RL Zoo writes."""
        if not isinstance(node, yaml.SequenceNode) or len(node.value) != 1:
            self.construct_unknown(node)
        return dict(self.construct_sequence(node, deep=True)[0])

    def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        """A tuple given on the command line."""
        return tuple(self.construct_sequence(node, deep=True))

    def construct_class(self, node: yaml.Node) -> str:
        """The name of a class that was given on the command line."""
        return node.tag.removeprefix(f"{YAML_TAG}python/name:")

    def construct_unknown(self, node: yaml.Node) -> NoReturn:
        """Refuse any other tag."""
        tag = shown(node.tag.replace(YAML_TAG, "!!"))
        raise Offence(f"has the tag {tag} in line {node.start_mark.line + 1}")


for _tag in ("binary", "set", "omap", "pairs", "timestamp"):  # bytes can be paths
    PlainLoader.add_constructor(f"{YAML_TAG}{_tag}", PlainLoader.construct_unknown)
PlainLoader.add_constructor(f"{YAML_TAG}python/object/apply:collections.OrderedDict", PlainLoader.construct_ordered)
PlainLoader.add_constructor(f"{YAML_TAG}python/tuple", PlainLoader.construct_tuple)
PlainLoader.add_constructor(None, PlainLoader.construct_unknown)
for _module, _name in CLASSES:
    PlainLoader.add_constructor(f"{YAML_TAG}python/name:{_module}.{_name}", PlainLoader.construct_class)


def check_yaml(path: Path) -> dict[Any, Any]:
    """
    Read a YAML file of settings.

    :param path: of an ``args.yml``, ``env_kwargs.yml`` or the like
    :return: its settings
    :raises Untrusted: a tag creates a Python object, the file is too large or too deeply nested, or it is not a mapping
    """
    try:
        # RL Zoo uses the encoding of the machine. What is a comment in one encoding may be a tag in another.
        settings = yaml.load(read(path, MAX_TEXT).decode("ascii"), Loader=PlainLoader)
    except Offence as offence:
        refuse(str(path), f"{offence}, which is not allowed")
    except Untrusted:
        raise
    except Exception as error:
        refuse(str(path), f"is not readable YAML ({described(error)})", BROKEN)
    if not isinstance(settings, dict):
        refuse(str(path), f"holds {shown(settings)}, but must map names to values", BROKEN)
    return settings
