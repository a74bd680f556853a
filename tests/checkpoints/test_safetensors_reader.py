"""Reading safetensors: bfloat16 by hand-made bytes, and files that are cut, corrupt or unsupported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import WeightsError
from tests.checkpoints.damage import cuts, refusal_of


def safetensors_bytes(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    # 1, -2, 3.140625, the smallest subnormal, infinity and a NaN with a payload, upper halves of float32
    words = np.array([0x3F80, 0xC000, 0x4049, 0x0001, 0x7F80, 0x7FC1], "<u2")
    header = {"half": entry("F16", [1], 12, 14), "brain": entry("BF16", [2, 3], 0, 12)}
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes(header, words.tobytes() + np.float16(1.5).tobytes()))
    checkpoint = load_checkpoint(path)
    brain = checkpoint.tensors["brain"]
    assert (brain.dtype, brain.shape) == (np.float32, (2, 3))
    np.testing.assert_array_equal(brain.view(np.uint32).reshape(-1), words.astype(np.uint32) << 16)
    np.testing.assert_array_equal(brain[0], np.float32([1.0, -2.0, 3.140625]))
    assert checkpoint.tensors["half"].dtype == np.float16
    assert checkpoint.dtypes == {"half": "float16", "brain": "bfloat16"}
    assert list(checkpoint.tensors) == ["half", "brain"]


def test_bool_bytes_other_than_0_and_1_are_true(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes({"b": entry("BOOL", [3], 0, 3)}, b"\x00\x01\x02"))
    assert load_checkpoint(path).tensors["b"].tolist() == [False, True, True]


def test_what_is_written_to_an_array_stays_out_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(3.0), "b": np.zeros(2)})
    before = path.read_bytes()
    tensors = load_checkpoint(path).tensors
    tensors["a"][...] = -1
    assert tensors["b"].tolist() == [0, 0]
    assert path.read_bytes() == before
    assert load_checkpoint(path).tensors["a"].tolist() == [0, 1, 2]


def test_the_arrays_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(3.0)})
    array = load_checkpoint(path).tensors["a"]
    save_safetensors(path, {"a": np.zeros(3)})
    path.unlink()
    assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize("padding", range(4))
def test_arrays_are_aligned_whatever_the_length_of_the_header(padding: int, tmp_path: Path) -> None:
    text = json.dumps({"a": entry("F32", [2], 0, 8)}).encode() + b" " * padding
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes(text, np.float32([1.5, -2]).tobytes()))
    array = load_checkpoint(path).tensors["a"]
    assert array.tolist() == [1.5, -2]
    assert array.flags.aligned
    assert array.flags.writeable


def test_the_container_is_told_by_content(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "w.pth", {"w": np.ones(2)})
    assert load_checkpoint(tmp_path / "w.pth").container == "safetensors"


def test_every_cut_is_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(6.0), "b": np.zeros((2, 2), np.float32)}, {"k": "v"})
    whole = path.read_bytes()
    for length in cuts(whole):
        path.write_bytes(whole[:length])
        refusal_of(load_checkpoint, path)


def test_a_cut_file_says_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(6.0)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(WeightsError, match=f"cut short after {len(whole) - 5:,} of {len(whole):,} bytes"):
        load_checkpoint(path)
    path.write_bytes(whole[:20])
    with pytest.raises(WeightsError, match="cut short after 20 bytes, inside its header"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{not json", b"", "not a valid safetensors file: .* invalid JSON"),
        (b'{"a": [1, 2]}', b"", "not a valid safetensors file: .* invalid JSON"),
        (b'{"a": {"data_offsets": [0, Infinity]}}', b"", "not a valid safetensors file: .* invalid JSON"),
        (b"{" + b'"a":{' * 5000, b"", "not a valid safetensors file: .* invalid JSON"),
        ({"a": entry("F32", [1], 0, 4)}, b"12345", "not a valid safetensors file"),
        ({"a": entry("F32", [2], 0, 4)}, b"1234", "not a valid safetensors file"),
        ({"a": entry("F32", [-1], 0, 4)}, b"1234", "not a valid safetensors file"),
        ({"a": entry("F32", [1], 4, 8)}, b"12345678", "not a valid safetensors file"),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, b"123456", "not a valid safetensors"),
        ({"__metadata__": {"a": 1}, "a": entry("F32", [1], 0, 4)}, b"1234", "not a valid safetensors file"),
        (
            b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},'
            b'"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
            b"1",
            "the name 'a' occurs twice",
        ),
        (b'{"__metadata__":{"k":"1","k":"2"}}', b"", "the name 'k' occurs twice"),
        ({"a": entry("F32", [1], 0, 4)}, b"1234 and more", "it has 9 bytes after its last tensor"),
        ({"a": entry("F32", [2**40, 2**40], 0, 4)}, b"1234", "not a valid safetensors file"),
        ({"a": entry("F32", [1], 2**63, 2**63 + 4)}, b"1234", "not a valid safetensors file|cut short"),
        ({"a": entry("I8", [1] * 65, 0, 1)}, b"1", "tensor 'a' has a shape that NumPy does not take"),
        (
            {"a": entry("F8_E4M3", [4], 0, 4)},
            b"1234",
            r"'a' has the dtype F8_E4M3 \(float8_e4m3fn\); supported are BOOL",
        ),
        ({"a": entry("F8_E5M2", [4], 0, 4)}, b"1234", r"'a' has the dtype F8_E5M2 \(float8_e5m2\); supported are"),
        ({"a": entry("F8_E8M0", [4], 0, 4)}, b"1234", r"'a' has the dtype F8_E8M0 \(float8_e8m0fnu\); supported are"),
        ({"a": entry("F4", [8], 0, 4)}, b"1234", r"'a' has the dtype F4 \(4-bit floats, packed\); supported are"),
        ({"a": entry("C64", [1], 0, 8)}, b"12345678", r"'a' has the dtype C64 \(complex64\); supported are"),
        ({"a": entry("F99", [1], 0, 8)}, b"12345678", "unknown variant `F99`"),
    ],
)
def test_a_corrupt_or_unsupported_file_is_refused(tmp_path: Path, header: object, data: bytes, message: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes(header, data))
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_in_the_header_never_raise_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(6.0), "b": np.zeros((2, 2), np.float32)}, {"k": "v"})
    whole = path.read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[generator.integers(header_end)] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except WeightsError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 10_000_001])
def test_a_header_of_absurd_length_is_refused_by_its_length(tmp_path: Path, length: int) -> None:
    text = json.dumps({"a": entry("F32", [1], 0, 4)}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text + b"1234")
    with pytest.raises(WeightsError, match=f"its header would be {length} bytes long, more than 10000000"):
        load_checkpoint(path)


def test_an_empty_tensor_of_a_shape_beyond_numpy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes({"a": entry("F32", [0, 2**63], 0, 0)}, b""))
    with pytest.raises(WeightsError, match="tensor 'a' has a shape that NumPy does not take"):
        load_checkpoint(path)


def test_the_tensors_are_views_of_one_map(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.arange(6.0), "b": np.arange(4, dtype=np.float32)})
    tensors = load_checkpoint(path).tensors
    a_address, b_address = (tensors[name].__array_interface__["data"][0] for name in ("a", "b"))
    assert b_address - a_address == 48


def test_names_and_metadata_beyond_ascii(tmp_path: Path) -> None:
    header = {"__metadata__": {"autor": "Zoë \U0001f40d", "": "\u0000"}, "größe": entry("F32", [1], 0, 4)}
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes(header, np.float32(1.5).tobytes()))
    checkpoint = load_checkpoint(path)
    assert checkpoint.metadata == {"autor": "Zoë \U0001f40d", "": "\u0000"}
    assert list(checkpoint.tensors) == ["größe"]
