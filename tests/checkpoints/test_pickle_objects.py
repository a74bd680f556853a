"""What training scripts keep beside their weights comes out of a pickle as plain values, or as records of a name."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints.pickle_objects import Record
from gradcli.checkpoints.torch_pickle import read_torch_pickle
from gradcli.errors import WeightsError

ORDERED = b"\x80\x02ccollections\nOrderedDict\n"


def read(opcodes: bytes) -> Any:
    value, end = read_torch_pickle(opcodes, "file.pth")
    assert end == len(opcodes)
    return value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (collections.OrderedDict(a=1, b=2), {"a": 1, "b": 2}),
        (collections.defaultdict(list, {1: [2]}), {1: [2]}),
        (collections.defaultdict(None, {1: 2}), {1: 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.deque([1, 2]), [1, 2]),
        (collections.deque([1, 2], maxlen=3), [1, 2]),
        ({1}, [1]),
        (set(), []),
        (frozenset([2]), [2]),
        (b"", b""),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"\x00\xff"), b"\x00\xff"),
        (1.5 - 2j, 1.5 - 2j),
        (np.float64(2.5), 2.5),
        (np.float32(-0.5), -0.5),
        (np.float16(0.5), 0.5),
        (np.dtype(">i4").type(7), 7),
        (np.int64(-3), -3),
        (np.uint8(255), 255),
        (np.bool_(True), True),
    ],
    ids=repr,
)
def test_plain_values_of_the_standard_library_and_numpy(value: Any, expected: Any, protocol: int) -> None:
    found = read(pickle.dumps(value, protocol=protocol))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (slice(1, 2), "slice"),
        (range(3), "range"),
        (datetime.datetime(2020, 1, 2), "datetime.datetime"),
        (datetime.timedelta(1), "datetime.timedelta"),
        (datetime.UTC, "datetime.timezone"),
        (pathlib.PurePosixPath("/a/b"), "pathlib.PurePosixPath"),
        (pathlib.PureWindowsPath("a"), "pathlib.PureWindowsPath"),
        (np.arange(3), "numpy.ndarray"),
        (np.array(["text"]), "numpy.ndarray"),
        (np.complex64(1), "numpy.generic"),
        (np.dtype("float32"), "numpy.dtype"),
    ],
    ids=repr,
)
def test_other_values_are_records_that_do_nothing(value: Any, name: str, protocol: int) -> None:
    found = read(pickle.dumps(value, protocol=protocol))
    assert isinstance(found, Record)
    assert found.name.replace("pathlib._local", "pathlib").replace("xrange", "range") == name


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_namespace_keeps_its_settings(protocol: int) -> None:
    found = read(pickle.dumps(argparse.Namespace(lr=0.1, name="run"), protocol=protocol))
    assert (found.name, found.state) == ("argparse.Namespace", {"lr": 0.1, "name": "run"})


def test_names_of_types_are_only_names() -> None:
    assert repr(read(b"cbuiltins\nlist\n.")) == "Name(name='list')"


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_numbers_of_either_byte_order(core: str, order: str) -> None:
    opcodes = pickle.dumps(np.float64(2.5), protocol=3).replace(b"numpy._core", f"numpy.{core}".encode())
    stored = np.array(2.5, f"{order}f8").tobytes()
    opcodes = opcodes.replace(b"X\x01\x00\x00\x00<", f"X\x01\0\0\0{order}".encode())
    opcodes = opcodes.replace(np.array(2.5, "<f8").tobytes(), stored)
    assert read(opcodes) == 2.5


def test_a_numpy_number_of_the_wrong_length_is_refused() -> None:
    opcodes = pickle.dumps(np.float64(2.5), protocol=3).replace(b"f8", b"f4")
    with pytest.raises(WeightsError, match="a NumPy number of 4 bytes has 8"):
        read(opcodes)


def test_python_2_writes_ordered_dictionaries_as_lists_of_pairs() -> None:
    assert read(ORDERED + b"](](U\x01aK\x01e](U\x01bK\x02ee\x85R.") == {
        "a": 1,
        "b": 2,
    }


def test_attributes_set_on_a_dictionary_are_dropped() -> None:
    # BUILD with {'items': 0}: an attribute that shadows the method would break whoever reads the dictionary
    content = read(ORDERED + b")RX\x01\x00\x00\x00aK\x01s}X\x05\x00\x00\x00itemsK\x00sb.")
    assert dict(content.items()) == {"a": 1}
