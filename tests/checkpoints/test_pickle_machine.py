"""The interpreter of pickles: every opcode, every limit, and nothing else."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import pickle_limits, pickle_machine
from gradcli.checkpoints.pickle_machine import read_pickle
from gradcli.checkpoints.pickle_objects import Constructor, Entries, Name, Record
from gradcli.errors import WeightsError


def pair(*arguments: Any) -> tuple[Any, ...]:
    return ("made", *arguments)


GLOBALS = {
    ("kit", "pair"): Constructor("pair", pair),
    ("kit", "entries"): Constructor("entries", lambda pairs: Entries(pairs)),
    ("kit", "record"): Constructor("record", lambda *arguments: Record("record", arguments)),
    ("kit", "name"): Name("name"),
}
PAIR, RECORD, NAME = b"ckit\npair\n", b"ckit\nrecord\n", b"ckit\nname\n"
ENTRIES = b"ckit\nentries\n"


def read(opcodes: bytes, persistent_load: Any = None) -> Any:
    value, end = read_pickle(opcodes, 0, path="file.pth", globals=GLOBALS, persistent_load=persistent_load)
    assert end == len(opcodes)
    return value


def refusal(opcodes: bytes, persistent_load: Any = None) -> str:
    """The one line that says why these opcodes are refused."""
    with pytest.raises(WeightsError) as caught:
        read(opcodes, persistent_load)
    message = str(caught.value)
    assert message.startswith("file.pth: ")
    assert "\n" not in message
    return message


OPCODES = {
    "PROTO": (b"\x80\x05N.", None),
    "FRAME": (b"\x95" + struct.pack("<Q", 2) + b"N.", None),
    "POP": (b"K\x01K\x020.", 1),
    "POP of a mark": (b"K\x01(0.", 1),
    "POP_MARK": (b"K\x01(K\x02K\x031.", 1),
    "BINPUT and BINGET": (b"K\x01q\x05K\x02h\x05\x87.", (1, 2, 1)),
    "LONG_BINPUT and LONG_BINGET": (b"K\x07r\x00\x01\x00\x000j\x00\x01\x00\x00.", 7),
    "MEMOIZE": (b"K\x07\x94K\x08\x94h\x00.", 7),
    "NONE": (b"N.", None),
    "NEWTRUE": (b"\x88.", True),
    "NEWFALSE": (b"\x89.", False),
    "BININT": (b"J\xfe\xff\xff\xff.", -2),
    "BININT1": (b"K\xff.", 255),
    "BININT2": (b"M\xff\xff.", 65535),
    "LONG1": (b"\x8a\x05\x00\x00\x00\x00\x80.", -(2**39)),
    "LONG1 of nothing": (b"\x8a\x00.", 0),
    "LONG4": (b"\x8b\x02\x00\x00\x00\xff\x7f.", 2**15 - 1),
    "BINFLOAT": (b"G" + struct.pack(">d", -2.5) + b".", -2.5),
    "SHORT_BINSTRING": (b"U\x02\xc3\xa9.", "é"),
    "SHORT_BINSTRING that is no UTF-8": (b"U\x02\xff\xfe.", b"\xff\xfe"),
    "BINSTRING": (b"T\x01\x00\x00\x00a.", "a"),
    "BINSTRING that is no UTF-8": (b"T\x01\x00\x00\x00\x80.", b"\x80"),
    "SHORT_BINUNICODE": (b"\x8c\x02\xc3\xa9.", "é"),
    "BINUNICODE": (b"X\x01\x00\x00\x00a.", "a"),
    "BINUNICODE of half a pair": (b"X\x04\x00\x00\x00a\xed\xa0\x80.", "a\ufffd"),
    "BINUNICODE8": (b"\x8d" + struct.pack("<Q", 1) + b"a.", "a"),
    "SHORT_BINBYTES": (b"C\x02\xff\x00.", b"\xff\x00"),
    "BINBYTES": (b"B\x01\x00\x00\x00a.", b"a"),
    "BINBYTES8": (b"\x8e" + struct.pack("<Q", 1) + b"a.", b"a"),
    "BYTEARRAY8": (b"\x96" + struct.pack("<Q", 1) + b"a.", b"a"),
    "EMPTY_TUPLE": (b").", ()),
    "TUPLE1": (b"N\x85.", (None,)),
    "TUPLE2": (b"NK\x01\x86.", (None, 1)),
    "TUPLE3": (b"NK\x01K\x02\x87.", (None, 1, 2)),
    "TUPLE": (b"(K\x01K\x02K\x03K\x04t.", (1, 2, 3, 4)),
    "EMPTY_LIST": (b"].", []),
    "LIST": (b"(K\x01K\x02l.", [1, 2]),
    "APPEND": (b"]K\x01a.", [1]),
    "APPENDS": (b"](K\x01K\x02e.", [1, 2]),
    "EMPTY_SET": (b"\x8f.", []),
    "ADDITEMS": (b"\x8f(K\x01K\x02\x90.", [1, 2]),
    "FROZENSET": (b"(K\x01K\x02\x91.", [1, 2]),
    "EMPTY_DICT": (b"}.", {}),
    "DICT": (b"(K\x01K\x02d.", {1: 2}),
    "SETITEM": (b"}K\x01K\x02s.", {1: 2}),
    "SETITEMS": (b"}(K\x01K\x02K\x03K\x04u.", {1: 2, 3: 4}),
    "GLOBAL and REDUCE": (PAIR + b"K\x01\x85R.", ("made", 1)),
    "STACK_GLOBAL": (b"\x8c\x03kit\x8c\x04pair\x93)R.", ("made",)),
    "NEWOBJ": (PAIR + b"K\x01\x85\x81.", ("made", 1)),
    "NEWOBJ_EX": (PAIR + b"K\x01\x85}\x92.", ("made", 1)),
    "REDUCE that makes a dictionary": (ENTRIES + b"]K\x01K\x02\x86a\x85R.", {1: 2}),
    "BUILD on a dictionary": (b"}X\x01\x00\x00\x00aK\x01s}X\x05\x00\x00\x00itemsK\x00sb.", {"a": 1}),
    "BUILD on a list": (b"]}b.", []),
}


@pytest.mark.parametrize("case", OPCODES)
def test_every_opcode(case: str) -> None:
    opcodes, expected = OPCODES[case]
    value = read(opcodes)
    assert value == expected
    assert type(value) is type(expected)


def test_the_table_of_opcodes_is_covered() -> None:
    covered = {opcodes[i : i + 1] for opcodes, _ in OPCODES.values() for i in range(len(opcodes))} | {b"Q"}
    assert set(pickle_machine._OPCODES) <= covered


def test_persistent_ids_are_given_to_the_caller() -> None:
    assert read(b"K\x01K\x02\x86Q.", lambda identifier: ["loaded", identifier]) == ["loaded", (1, 2)]


def test_records_keep_arguments_and_state() -> None:
    value = read(RECORD + b"K\x01\x85\x81}X\x01\x00\x00\x00aK\x02sb.")
    assert (value.name, value.arguments, value.state, repr(value)) == ("record", (1,), {"a": 2}, "<record>")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_of_every_protocol_are_read(protocol: int) -> None:
    content = {"a": [1, -2.5, True, None, "é", 2**70, -(2**70)], "b": (2**40, {"c": ()}), "long": "x" * 70_000}
    content |= {"many": list(range(3000)), ("a", 1): (1, 2, 3, 4), 7: 1e300, "same": content["a"]}
    value = read(pickle.dumps(content, protocol=protocol))
    assert value == content
    assert value["same"] is value["a"]


def test_a_pickle_in_the_middle_of_a_mapped_file_ends_where_it_ends() -> None:
    data = np.frombuffer(b"before" + b"\x80\x02K\x05." + b"after", np.uint8)
    assert read_pickle(data, 6, path="file.pth", globals={}) == (5, 11)


REFUSED = {
    "INT": (b"I1\n.", "the opcode INT"),
    "STRING": (b"S'a'\n.", "the opcode STRING"),
    "DUP": (b"N2.", "the opcode DUP"),
    "INST": (b"(ios\nsystem\n.", "the opcode INST"),
    "OBJ": (b"(" + PAIR + b"o.", "the opcode OBJ"),
    "PERSID": (b"P0\n.", "the opcode PERSID"),
    "extension registry": (b"\x80\x02\x82\x01.", "at byte 2 .the opcode EXT1"),
    "buffer kept elsewhere": (b"\x97.", "the opcode NEXT_BUFFER"),
    "no opcode": (b"\xff.", "the opcode 0xff"),
    "protocol of the future": (b"\x80\x06N.", "pickle protocol 6"),
    "stack underflow": (b"\x80\x02R.", "its stack is empty"),
    "underflow through a mark": (b"K\x01(\x85.", "its stack is empty"),
    "nothing to return": (b".", "its stack is empty"),
    "no mark": (b"K\x01t.", "its stack is empty"),
    "empty memo": (b"h\x05.", "memo index 5 is empty"),
    "empty memo, long": (b"j\x05\x00\x00\x00.", "memo index 5 is empty"),
    "memo index of gigabytes": (b"Nr\x00\x00\x00\x80.", "memo index 2147483648; refused"),
    "memo of nothing": (b"q\x00.", "its stack is empty"),
    "text that is no UTF-8": (b"X\x02\x00\x00\x00\xff\xfe.", "can't decode"),
    "text of gigabytes": (b"X\xff\xff\xff\xff.", "text of 4294967295 bytes"),
    "bytes of exabytes": (b"\x8e" + b"\xff" * 8, "a piece of 18446744073709551615 bytes"),
    "long integer": (b"\x8b\x00\x01\x00\x00" + b"\x01" * 256 + b".", "an integer of 256 bytes"),
    "integer of negative length": (b"\x8b\xff\xff\xff\xff.", "an integer of 4294967295 bytes"),
    "appending to a dictionary": (b"}K\x01a.", "added to a dict, which is no list"),
    "appending to a tuple": (b")(K\x01e.", "added to a tuple, which is no list"),
    "appending to a record": (RECORD + b")RK\x01a.", "added to a Record"),
    "items set on a number": (b"K\x00K\x01K\x02s.", "set on a int, which is no dictionary"),
    "items set on a list": (b"]K\x00K\x01s.", "set on a list, which is no dictionary"),
    "items set on a constructor": (PAIR + b"K\x01K\x02s.", "set on a Constructor"),
    "items set on a record": (RECORD + b")R(K\x01K\x02u.", "set on a Record"),
    "key without a value": (b"}(K\x01u.", "a key without a value"),
    "unhashable key": (b"}}K\x01s.", "a dict is the key of a dictionary"),
    "list in a key": (b"}]\x85K\x01s.", "a tuple is the key of a dictionary"),
    "long tuple as key": (b"}(" + b"N" * 17 + b"tK\x01s.", "a tuple is the key of a dictionary"),
    "result of a call as key": (b"}" + PAIR + b")R\x85K\x01s.", "a tuple is the key of a dictionary"),
    "key whose hash is another's": (b"}\x8a\x08" + b"\xff" * 7 + b"\x1fNs.", "an integer of more than 60 bits"),
    "call of a name": (NAME + b")R.", "a call of a Name, which is nothing to call"),
    "call of a dictionary": (b"})R.", "a call of a dict"),
    "call of a record": (RECORD + b")R)R.", "a call of a Record"),
    "call with a list": (PAIR + b"]R.", "arguments are no tuple"),
    "call with names": (PAIR + b")}X\x01\x00\x00\x00aNs\x92.", "arguments by name"),
    "call with too few arguments": (ENTRIES + b")R.", "missing 1 required"),
    "state of a number": (b"K\x00}b.", "state is set on a int"),
    "state of a constructor": (PAIR + b"}b.", "state is set on a Constructor"),
    "state of a tuple": (b")}b.", "state is set on a tuple"),
    "persistent id": (b"NQ.", "a persistent id where there can be none"),
    "global of numbers": (b"K\x01K\x02\x93.", "whose module and name are no short texts"),
    "global of endless names": (b"c" + b"x" * 2000 + b"\nname\n.", "a name of more than 1000 bytes"),
    "frame in a frame": (b"\x95\x0b" + b"\0" * 7 + b"\x95\x02" + b"\0" * 7 + b"N.", "a frame begins inside another"),
    "unknown name": (b"ckit\nother\n.", "refuses to run 'kit.other', which its pickle asks for at byte 0: only"),
    "list in itself": (b"]q\x00h\x00a.", "a list contains itself"),
    "tuple in itself": (b"]q\x00h\x00\x85a.", "contains itself"),
    "dictionary in itself": (b"}q\x00K\x01h\x00s.", "a dict contains itself"),
    "list in a record in itself": (b"]q\x00" + RECORD + b"h\x00\x85Ra.", "a list contains itself"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused(case: str) -> None:
    opcodes, reason = REFUSED[case]
    with pytest.raises(WeightsError, match=reason):
        read(opcodes)
    refusal(opcodes)


@pytest.mark.parametrize("rest", [b"", b".", b"\0" * 9 + b".", b"\xff" * 9 + b"."])
def test_an_opcode_alone_is_a_value_or_a_weights_error(rest: bytes) -> None:
    refused = 0
    for opcode in range(256):
        try:
            read_pickle(bytes((opcode,)) + rest, 0, path="file.pth", globals=GLOBALS)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert 200 < refused <= 256


WHOLE = pickle.dumps({"a": [1, 2.5, "text", b"bytes", 2**90], "b": {("x", 1): None}, "c": {1, 2}}, protocol=4)


def test_a_cut_anywhere_is_seen() -> None:
    for length in range(len(WHOLE)):
        assert refusal(WHOLE[:length]).startswith("file.pth: its pickle is cut short: it is not over after"), length


@pytest.mark.parametrize("length", [2, 3, 2**62])
def test_a_frame_longer_than_the_bytes_is_a_cut(length: int) -> None:
    assert "cut short" in refusal(b"\x95" + struct.pack("<Q", length) + b".")


def test_a_start_beyond_the_end_is_a_cut() -> None:
    with pytest.raises(WeightsError, match="cut short"):
        read_pickle(b"N.", 9, path="file.pth", globals={})


def test_the_reason_for_a_refusal_is_the_callers() -> None:
    with pytest.raises(WeightsError, match=r"refuses to run 'a\.b', .* at byte 2: because a"):
        read_pickle(b"\x80\x02ca\nb\n.", 0, path="x", globals={}, why_refused=lambda module, name: f"because {module}")


# Bombs: small or plain pickles that would take a careless reader much time or memory


def test_steps_are_limited() -> None:
    assert f"more than {pickle_limits.MOST_STEPS} steps" in refusal(b"N0" * (pickle_limits.MOST_STEPS // 2) + b"N.")


@pytest.mark.parametrize(
    "opcodes",
    [
        b"(" * 101 + b"N" + b"t" * 101 + b".",  # marks
        b"N" + b"\x85" * 100_000 + b".",  # tuples around a tuple
        b"]" * 102 + b"a" * 101 + b".",  # lists in lists
        (RECORD + b"N\x85R") + b"q\x00" + (RECORD + b"h\x00\x85Rq\x00") * 2000 + b".",  # records
        b"]q\x00" + b"]h\x00aq\x00" * 2000 + b".",  # lists in lists, from the inside
    ],
)
def test_nesting_is_limited(opcodes: bytes) -> None:
    assert f"nested deeper than {pickle_limits.DEEPEST_NESTING} levels" in refusal(opcodes)


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = pickle_limits.DEEPEST_NESTING
    value = read(b"]" * depth + b"a" * (depth - 1) + b".")
    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    "laugh",
    [b"h\x00h\x00\x86q\x000", b"](h\x00h\x00eq\x000", b"}(K\x01h\x00K\x02h\x00uq\x000"],
    ids=["tuple", "list", "dict"],
)
def test_a_billion_laughs_are_refused(laugh: bytes) -> None:
    assert "it repeats its parts to more than" in refusal(b")q\x000" + laugh * 40 + b"h\x00.")


def test_text_that_is_repeated_endlessly_is_refused() -> None:
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x000"
    assert "it repeats its parts" in refusal(text + b"](" + b"h\x00" * 1000 + b"e.")


def test_parts_that_are_repeated_a_little_are_read() -> None:
    value = read(b")q\x000" + b"h\x00h\x00\x86q\x000" * 10 + b"h\x00.")
    assert value[0] is value[1]


def test_a_tuple_of_tuples_is_no_key_however_deep() -> None:
    # t = (t, t) forty times over: its hash would take 2**40 steps
    assert "a tuple is the key" in refusal(b"}" + b")q\x000" + b"h\x00h\x00\x86q\x000" * 40 + b"h\x00K\x01s.")


@pytest.mark.parametrize(
    "argument",
    [
        b"](" + b"N" * 5000 + b"e",
        b"(" + b"N" * 5000 + b"t",
        b"X" + struct.pack("<I", 80_000) + b"a" * 80_000,
        b"B" + struct.pack("<I", 80_000) + b"a" * 80_000,
    ],
    ids=["list", "tuple", "text", "bytes"],
)
def test_one_long_argument_is_not_given_to_many_calls(argument: bytes) -> None:
    calls = argument + b"\x85q\x000" + PAIR + b"q\x010" + b"h\x01h\x00R0" * 1000
    assert f"are given more than {pickle_limits.MOST_ELEMENTS_GIVEN} elements" in refusal(calls + b"N.")


def test_keys_that_are_numbers_are_counted() -> None:
    def numbers(count: int) -> bytes:
        return b"}(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(count)) + b"u."

    assert len(read(numbers(pickle_limits.MOST_NUMBER_KEYS))) == pickle_limits.MOST_NUMBER_KEYS
    assert "keys that are no text" in refusal(numbers(pickle_limits.MOST_NUMBER_KEYS + 1))


@pytest.mark.parametrize("key", [None, True, 3, -3, 2.5, "text", b"bytes", ("a", 1), (None, b"b", 2.0)])
def test_plain_keys(key: Any) -> None:
    assert read(pickle.dumps({key: 1}, protocol=4)) == {key: 1}


def test_a_record_is_a_key_by_its_identity() -> None:
    ((key, value),) = read(b"}" + RECORD + b")RK\x01s.").items()
    assert (key.name, value) == ("record", 1)


def test_a_class_that_is_only_named_may_be_a_key() -> None:
    ((key, value),) = read(b"}" + NAME + b"K\x01s.").items()
    assert (key.name, value) == ("name", 1)


def test_a_record_may_lead_back_to_itself() -> None:
    record = read(RECORD + b")Rq\x00}X\x06\x00\x00\x00parenth\x00sb.")
    assert record.state["parent"] is record


def test_tuples_count_more_among_the_keys_that_are_no_text() -> None:
    # Their hash knows no secret: a file can choose thousands that have the same, and each is compared with all others.
    tuples = b"".join(
        b"J" + struct.pack("<i", i) + b"K\x01\x86N" for i in range(pickle_limits.MOST_NUMBER_KEYS // 16 + 1)
    )
    assert "keys that are no text" in refusal(b"}(" + tuples + b"u.")


@pytest.mark.parametrize("opcode", [b"X", b"T"], ids=["BINUNICODE", "BINSTRING"])
def test_the_memory_of_texts_is_limited(opcode: bytes) -> None:
    # One character beyond the others makes Python keep every character of a text in four bytes.
    text = b"a" * (pickle_limits.LONGEST_TEXT - 4) + "\N{GRINNING FACE}".encode()
    pieces = opcode + struct.pack("<I", len(text)) + text
    count = pickle_limits.MOST_TEXT // len(text) + 1
    opcodes = b"]" + (pieces + b"a") * count + b"."
    if opcode == b"X":
        assert "text in many pieces" in refusal(opcodes)
    else:  # Python 2's text may be an array's bytes
        assert [type(piece) for piece in read(opcodes)] == [str] * (count - 1) + [bytes]
