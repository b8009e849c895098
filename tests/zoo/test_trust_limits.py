"""Checks have limits on opcodes, values and bytes, which bound their time and memory."""

import base64
import io
import json
import os
import pickle
import re
import zipfile
from unittest import mock

import numpy as np
import pytest
import yaml

from gcrl_zoo.zoo.trust import Untrusted, check_agent, check_file, check_pickle, check_yaml
from gcrl_zoo.zoo.trust.agents import fields_in
from gcrl_zoo.zoo.trust.archives import MAX_ENTRY, MAX_MEMBERS, members
from gcrl_zoo.zoo.trust.pickles import ALLOWED, MAX_INTEGER, MAX_OPCODES, MAX_TEXT, OPCODES, Budget, check_opcodes
from gcrl_zoo.zoo.trust.refusal import Offence, open_regular, shown
from gcrl_zoo.zoo.trust.yamls import MAX_DEPTH, MAX_NODES
from tests.support.hostile import AGENT
from tests.support.memory import MEGABYTE, within

# ------------------------------------------------------------------------------------------- pickles


def test_opcodes_are_counted_over_all_pickles_of_a_file():
    budget = Budget(10)
    for left in (6, 2):
        check_opcodes(b"\x80\x04NN.", budget)
        assert budget.left == left
    with pytest.raises(Offence, match="more than 10"):
        check_opcodes(b"\x80\x04NN.", budget)


def test_large_pickles_are_refused_after_so_many_opcodes():
    budget, steps = Budget(), 10**7
    with pytest.raises(Untrusted, match=rf"brings the file to more than {MAX_OPCODES} opcodes"):
        check_pickle(b"\x80\x04" + b"N" * steps + b".", fields_in("bc").allowed, "here", budget)
    assert budget.left == -1


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x8a\x21" + bytes(33), "has an integer of 33 bytes"),
        (b"\x8a\xff" + b"\x7f" * 255, "has an integer of 255 bytes"),
        (b"\x8b\x10\x27\x00\x00" + b"\x7f" * 10_000, "uses the opcode LONG4"),
        (b"I" + b"9" * 4000 + b"\n", "uses the opcode INT"),
        (b"L" + b"9" * 4000 + b"L\n", "uses the opcode LONG"),
        (b"X\x01\x00\x01\x00" + b"a" * (MAX_TEXT + 1), f"has a string of {MAX_TEXT + 1} bytes"),
        (b"Nr\xff\xff\xff\xff", f"reserves a memo of {2**32 - 1} entries"),
        (b"X\xff\xff\xff\xff", "BINUNICODE is longer than the file"),
        (b"\x8d" + b"\xff" * 8, "BINUNICODE8 is longer than the file"),
        (b"\x8e" + (2**62).to_bytes(8, "little"), "BINBYTES8 is longer than the file"),
        (b"\x96" + (2**40).to_bytes(8, "little"), "BYTEARRAY8 is longer than the file"),
        (b"c" + b"a" * 2 * MAX_TEXT + b"\na\n", "GLOBAL has no end"),
    ],
)  # fmt: skip
def test_arguments_of_opcodes_have_limits(pickled, message):
    copies = 20_000 if len(pickled) < 300 else 1
    with within(32 * MEGABYTE), pytest.raises(Untrusted, match=re.escape(message)):
        check_pickle(b"\x80\x04" + pickled * copies + b".", fields_in("bc").allowed, "here")


@pytest.mark.parametrize("opcode", sorted(OPCODES), ids=lambda opcode: OPCODES[opcode].name)
def test_other_opcodes_are_refused(opcode):
    """Each opcode of Python, after a value and a string as operands."""
    name = OPCODES[opcode].name
    if name in ALLOWED:
        return
    argument = {"FROZENSET": b"", "EMPTY_SET": b""}.get(name, b"1\n" * 2 + bytes(20))
    with pytest.raises(Untrusted, match=r"here (uses the opcode|is not a readable pickle|has data after|has an? )"):
        check_pickle(b"\x80\x04](NN" + opcode + argument + b".", fields_in("bc").allowed, "here")


def test_repeated_values_are_visited_once():
    """Thirty lists, each twice in the next one, have a billion leaves."""
    nested = b"\x80\x04]q\x00" + b"](h\x00h\x00eq\x00" * 30 + b"."
    value = check_pickle(nested, fields_in("bc").allowed, "here")
    assert len(shown(value)) < 200
    data = {"_left_out": {":serialized:": base64.b64encode(nested).decode()}}
    budget = Budget()
    with pytest.raises(Untrusted, match="_left_out"):
        fields_in("bc").check(json.dumps(data).encode(), "here", budget)
    assert budget.most - budget.left == 4 + 30 * 6


def test_integers_of_random_generators_fit():
    assert (2**128 - 1).bit_length() / 8 < MAX_INTEGER
    check_pickle(pickle.dumps(2**128 - 1), fields_in("bc").allowed, "here")


# ---------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": ' + "[" * 5000 + "]" * 5000 + "}", "does not hold the arguments of an agent"),
        ('{"seed": ' + "[" * 10**5 + "]" * 10**5 + "}", "values, which exceeds the limit of"),
        ('{"seed": ' + "9" * 5000 + "}", "does not hold the arguments of an agent"),
        ('{"seed": ' + "9" * 4000 + "}", "is .* but must be"),
        ('{"seed": "' + "a" * 2**26 + '"}', "bytes, which exceeds the limit of"),
        ("[]", "but must map names to values"),
    ],
    ids=["deep", "deeper", "endless number", "long number", "long", "no mapping"],
)
def test_json_has_limits(text, message):
    with within(8 * MEGABYTE + 5 * len(text)), pytest.raises(Untrusted, match=message):
        fields_in("bc").check(text.encode(), "here", Budget())


# ---------------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} deep"),
        ("a: [" + "0," * MAX_NODES + "]", f"has more than {MAX_NODES} values"),
        ("a: '" + "a" * 2**16 + "'", "bytes, which exceeds the limit of"),
        ("a: 0x" + "f" * 10_000, None),
        ("a: !!set {b}", "has the tag '!!set'"),
        ("a: 2020-01-01", "has the tag '!!timestamp'"),
        ("? [a]\n: b", "is not readable YAML"),
    ],
    ids=["deep", "values", "long", "number", "set", "date", "key"],
)
def test_yaml_has_limits(text, message, tmp_path):
    (tmp_path / "args.yml").write_text(text)
    composed = []
    compose = yaml.composer.Composer.compose_node
    with mock.patch.object(yaml.composer.Composer, "compose_node", lambda *each: composed.append(1) or compose(*each)):
        with pytest.raises(Untrusted, match=message or "not an option"):
            check_yaml(tmp_path / "args.yml") if message else check_file(tmp_path / "args.yml", "bc")
    assert len(composed) <= MAX_NODES


# ------------------------------------------------------------------------------------------ archives


def test_lists_of_members_are_measured_before_they_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"")
    content = (tmp_path / "a.zip").read_bytes()
    end, size = content.rindex(b"PK\x05\x06"), (MAX_MEMBERS * MAX_ENTRY + 1).to_bytes(4, "little")
    longer = content[: end + 12] + size + content[end + 16 :]
    message = pytest.raises(Untrusted, match="list of members of")
    with mock.patch("zipfile.ZipInfo", side_effect=AssertionError), message:
        list(members(longer, "here", re.compile(".*")))


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """Stored members cannot have more bytes together than the archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a", os.urandom(1000))
        twin = zipfile.ZipInfo("b")
        for name in ("CRC", "compress_size", "file_size", "header_offset"):
            setattr(twin, name, getattr(archive.filelist[0], name))
        archive.filelist.append(twin)
    with pytest.raises(Untrusted, match=r"would unpack to 2000|is not a complete zip archive"):
        list(members(content.getvalue(), "here", re.compile(".*"), packed=False))


@pytest.mark.parametrize("shape", [(3, 4), (0,), ()])
@pytest.mark.parametrize("dtype", ["f4", "i8", "U5", "?", "O", "i4,f4"])
def test_arrays_are_as_large_as_they_say(shape, dtype, tmp_path):
    path = tmp_path / "evaluations.npz"
    np.savez(path, a=np.zeros(shape, dtype))
    if dtype in ("O", "i4,f4"):
        with pytest.raises(Untrusted, match="is not an array of plain numbers"):
            check_file(path, "bc")
    else:
        check_file(path, "bc")


# --------------------------------------------------------------------------------- files that are none


NAMES = [AGENT.name, "config.yml", "args.yml", "vecnormalize.pkl", "evaluations.npz", "policy.pth", "data"]


@pytest.mark.parametrize("name", NAMES)
def test_checks_do_not_wait_for_a_fifo(name, tmp_path):
    """Each check, called directly."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(Untrusted, match="is a FIFO, not a file"):
        check_file(tmp_path / name, "bc")
    for check in (lambda path: check_agent(path, "bc"), check_yaml, open_regular):
        with pytest.raises(Untrusted, match="is a FIFO, not a file"):
            check(tmp_path / name)


def test_missing_files_are_refused(tmp_path):
    for check in (lambda path: check_agent(path, "bc"), check_yaml, open_regular):
        with pytest.raises(Untrusted, match=r"nowhere.yml cannot be opened \(FileNotFoundError"):
            check(tmp_path / "nowhere.yml")
