"""Writing weights: every layout and dtype comes back bit for bit; a failure leaves the old file."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from gradcli.checkpoints import load_checkpoint, safetensors_writer, save_safetensors
from gradcli.errors import DataError, WeightsError

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]
BASE = np.arange(24).reshape(4, 6)
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda base: base,
    "transposed": lambda base: base.T,
    "column slice": lambda base: base[:, 1:4],
    "row slice": lambda base: base[1:3],
    "every second": lambda base: base[::2, ::3],
    "reversed": lambda base: base[::-1, ::-1],
    "channels last": lambda base: base.reshape(1, 2, 3, 4).transpose(0, 3, 1, 2),
    "broadcast": lambda base: np.broadcast_to(base[0], (3, 6)),
    "fortran": np.asfortranarray,
    "0-d": lambda base: base[2, 3].reshape(()),
    "empty": lambda base: base[:0],
    "empty inside": lambda base: base[:, :0].reshape(2, 0, 2),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_keeps_every_value(tmp_path: Path, layout: str, dtype: str) -> None:
    array = LAYOUTS[layout](BASE.astype(dtype))
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, {"weight": array})
    loaded = load_checkpoint(path).tensors["weight"]
    assert loaded.dtype == np.dtype(dtype)
    assert loaded.shape == array.shape
    assert loaded.flags.c_contiguous
    assert loaded.flags.writeable
    np.testing.assert_array_equal(loaded, array)


def test_big_endian_arrays_are_written_as_values(tmp_path: Path) -> None:
    array = np.array([1.5, -2.0], dtype=">f4")
    save_safetensors(tmp_path / "w.safetensors", {"w": array})
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "w.safetensors").tensors["w"], array)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_payloads_infinities_and_signed_zeros_survive(tmp_path: Path, dtype: str) -> None:
    array = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan], dtype=dtype)
    bits = array.view(f"u{array.itemsize}")
    bits[4] |= 5
    save_safetensors(tmp_path / "w.safetensors", {"w": array})
    loaded = load_checkpoint(tmp_path / "w.safetensors").tensors["w"]
    np.testing.assert_array_equal(loaded.view(bits.dtype), bits)


def test_names_metadata_and_dtypes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {"layer1.0.weight": np.ones((2, 2), np.float32), "ünïcode": np.zeros(3, np.int64)}
    save_safetensors(path, tensors, {"frozen": "layer1.*", "note": "é\n"})
    checkpoint = load_checkpoint(path)
    assert set(checkpoint.tensors) == set(tensors)
    assert checkpoint.metadata == {"frozen": "layer1.*", "note": "é\n"}
    assert checkpoint.dtypes == {"layer1.0.weight": "float32", "ünïcode": "int64"}
    assert (checkpoint.container, checkpoint.path, checkpoint.ignored) == ("safetensors", path, ())


def test_no_tensors_is_a_file_too(tmp_path: Path) -> None:
    for metadata in ({"a": "b"}, {}):
        save_safetensors(tmp_path / "w.safetensors", {}, metadata)
        checkpoint = load_checkpoint(tmp_path / "w.safetensors")
        assert (checkpoint.tensors, checkpoint.metadata) == ({}, metadata)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_mode_is_what_the_umask_says(tmp_path: Path, mask: int, mode: int) -> None:
    path = tmp_path / "w.safetensors"
    previous = os.umask(mask)
    try:
        save_safetensors(path, {"w": np.zeros(1)})
        save_safetensors(path, {"w": np.ones(1)})
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": np.zeros(2, np.complex64)}, "tensor 'w' has the dtype complex64"),
        ({"w": np.array(["a"])}, "tensor 'w' has the dtype <U1"),
        ({"w": np.array([None])}, "tensor 'w' has the dtype object"),
        ({"__metadata__": np.zeros(2)}, "'__metadata__' cannot be the name"),
        ({"\ud800": np.zeros(2)}, "no valid text"),
    ],
)
def test_what_the_format_does_not_take_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(WeightsError, match=message) as caught:
        save_safetensors(path, tensors)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_target_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing does not exist"):
        save_safetensors(tmp_path / "missing" / "w.safetensors", {"w": np.zeros(1)})
    with pytest.raises(DataError, match="is a directory"):
        save_safetensors(tmp_path, {"w": np.zeros(1)})


def test_names_keep_their_order_and_elements_are_aligned(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {"z": np.zeros(3, np.int8), "b": np.ones(2), "a": np.ones((3, 1), np.float32)}
    save_safetensors(path, tensors)
    assert list(load_checkpoint(path).tensors) == ["z", "b", "a"]
    data = path.read_bytes()
    header_length = int.from_bytes(data[:8], "little")
    assert header_length % 8 == 0
    entries = json.loads(data[8 : 8 + header_length])
    for name, array in tensors.items():
        assert entries[name]["data_offsets"][0] % array.itemsize == 0


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    tensors = {"b": BASE.T, "a": BASE.astype(np.float32)}
    metadata = {f"key {i}": str(i) for i in range(20)}
    contents = set()
    for i in range(5):
        save_safetensors(tmp_path / f"{i}.safetensors", tensors, metadata)
        contents.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert len(contents) == 1


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {name: layout(BASE) for name, layout in LAYOUTS.items()}
    save_safetensors(path, tensors)
    loaded = safetensors.numpy.load_file(path)
    assert set(loaded) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded[name], array)


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", [-1, -24, 8, 12, 20, 30])
def test_a_file_that_reads_back_differently_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    honest = safetensors_writer._first_difference

    def on_a_bad_disk(file: Path, *arguments: Any) -> str | None:
        damage(file, position)
        return honest(file, *arguments)

    monkeypatch.setattr(safetensors_writer, "_first_difference", on_a_bad_disk)
    with pytest.raises(DataError, match=r"w\.safetensors: what was read back differs \(") as caught:
        save_safetensors(path, {"w": np.array([1.0, 2.0, 3.0])}, {"k": "v"})
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("read", "given", "same"),
    [
        (np.zeros(2), np.zeros(2), True),
        (np.zeros(2), np.zeros(2, np.float32), False),
        (np.zeros(2), np.zeros((2, 1)), False),
        (np.zeros(2), -np.zeros(2), False),
        (np.full(2, np.nan), np.full(2, np.nan), True),
        (np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2).T, False),
        (np.ones(2), np.ones(2, ">f8"), True),
    ],
)
def test_comparison_is_of_bits(read: np.ndarray, given: np.ndarray, same: bool) -> None:
    assert safetensors_writer._same_bits(read, given) is same


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(3)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError, match=r"w\.safetensors: cannot be written: File too large"):
            save_safetensors(path, {"w": np.ones(10**6)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], np.zeros(3))
    assert list(tmp_path.iterdir()) == [path]


BFLOAT16_WORDS = np.array([0x0000, 0x8000, 0x3F80, 0x0001, 0x7F80, 0xFF80, 0x7FC1, 0xFF81, 0x7F7F], np.uint16)


def test_bfloat16_is_written_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    brain = (BFLOAT16_WORDS.astype(np.uint32) << 16).view(np.float32)
    tensors = {"n": np.arange(3), "brain": brain.reshape(3, 3).T, "scalar": brain[2].reshape(()), "empty": brain[:0]}
    dtypes = {"brain": "bfloat16", "scalar": "bfloat16", "empty": "bfloat16", "n": "int64"}
    save_safetensors(path, tensors, dtypes=dtypes)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    offsets = json.loads(data[8 : 8 + length])["brain"]["data_offsets"]
    words = np.frombuffer(data[8 + length :][slice(*offsets)], "<u2")
    np.testing.assert_array_equal(words.reshape(3, 3), BFLOAT16_WORDS.reshape(3, 3).T)
    checkpoint = load_checkpoint(path)
    assert checkpoint.dtypes == dtypes
    for name, array in tensors.items():
        assert safetensors_writer._same_bits(checkpoint.tensors[name], array)
    save_safetensors(tmp_path / "again.safetensors", checkpoint.tensors, dtypes=checkpoint.dtypes)
    assert (tmp_path / "again.safetensors").read_bytes() == data


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.float32([1, 1 + 2**-8]), "bfloat16", "tensor 'w' has values that are no bfloat16"),
        (np.uint32([0x7F800001]).view(np.float32), "bfloat16", "tensor 'w' has values that are no bfloat16"),
        (np.zeros(2), "bfloat16", "tensor 'w' is float64 and is not written as bfloat16"),
        (np.zeros(2), "float32", "tensor 'w' is float64 and is not written as float32"),
    ],
)
def test_a_dtype_that_would_change_values_is_refused(
    tmp_path: Path, array: np.ndarray, dtype: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        save_safetensors(tmp_path / "w.safetensors", {"w": array}, dtypes={"w": dtype})
    assert list(tmp_path.iterdir()) == []
