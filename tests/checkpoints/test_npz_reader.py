"""Arrays of `.npz` files: every dtype, order and writer, and headers that lie."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.npz_reader import looks_like_npz, read_npz
from gradcli.errors import WeightsError
from tests.checkpoints.damage import cuts, read_all, with_flipped_bits

NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)
# fmt: off
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64",
          "float16", "float32", "float64"]
# fmt: on


def npy(header: str | None, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A `.npy` file with this text as header."""
    encoded = (header or "").encode("latin-1")
    length = len(encoded).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + encoded + data


def header(shape: Any = (2, 3), descr: Any = "<f4", fortran: Any = False) -> str:
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n"


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_order_and_layout(tmp_path: Path, save: Any, dtype: str) -> None:
    base = (NUMBERS % 7).astype(dtype)
    arrays = {
        "plain": base,
        "fortran": np.asfortranarray(base),
        "other byte order": base.astype(base.dtype.newbyteorder()),
        "four/axes": np.asfortranarray(base.reshape(2, 2, 3, 2)),
        "scalar": base[1, 2],
        "empty": base[:, :0],
        "résumé.npy": base[:1],
    }
    save(tmp_path / "w.npz", **arrays)
    checkpoint = read_npz(tmp_path / "w.npz")
    assert list(checkpoint.tensors) == list(arrays)
    assert (checkpoint.container, checkpoint.metadata, checkpoint.ignored) == ("npz", {}, ())
    for name, expected in arrays.items():
        loaded = checkpoint.tensors[name]
        assert (loaded.dtype, loaded.shape) == (np.dtype(dtype), expected.shape)
        assert loaded.tobytes() == expected.astype(dtype).tobytes()
        assert loaded.flags.c_contiguous
        assert loaded.flags.aligned
        assert loaded.flags.writeable
        assert checkpoint.dtypes[name] == dtype


def test_bits_that_are_no_numbers_stay(tmp_path: Path) -> None:
    bits = np.array([0x7FC00001, 0xFF800123, 0x80000000, 0x7F800000, 1], np.uint32)
    np.savez(tmp_path / "w.npz", w=bits.view(np.float32))
    np.testing.assert_array_equal(read_npz(tmp_path / "w.npz").tensors["w"].view(np.uint32), bits)


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, w=NUMBERS)
    before = path.read_bytes()
    read_npz(path).tensors["w"][:] = 5
    assert path.read_bytes() == before


def test_newer_headers_and_those_of_python_2_are_read(tmp_path: Path) -> None:
    data = NUMBERS[:2, :3].tobytes()
    path = write(
        tmp_path / "w.npz",
        {"two.npy": npy(header(), data, (2, 0)), "old.npy": npy(header().replace("2, 3", "2L, 3L"), data)},
    )
    tensors = read_npz(path).tensors
    np.testing.assert_array_equal(tensors["two"], NUMBERS[:2, :3])
    np.testing.assert_array_equal(tensors["old"], NUMBERS[:2, :3])


def test_it_is_told_by_its_first_member(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", w=NUMBERS)
    assert looks_like_npz((tmp_path / "w.npz").read_bytes()[:512])
    other = write(tmp_path / "other.zip", {"a/data.pkl": b".npy"})
    assert not looks_like_npz(other.read_bytes()[:512])
    assert not looks_like_npz(b"\x93NUMPY")
    assert load_checkpoint(tmp_path / "w.npz").container == "npz"


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([{"a": 1}, None], object), "object"),
        (np.array(["text"]), "str"),
        (np.array([b"text"]), "bytes"),
        (np.zeros(2, np.complex64), "complex64"),
        (np.zeros(2, "datetime64[s]"), "datetime64"),
        (np.zeros(2, [("a", "f4"), ("b", "O")]), "void"),
        (np.zeros(2, "V2"), "void16"),
    ],
)
def test_other_dtypes_are_refused_by_name(tmp_path: Path, array: np.ndarray, dtype: str) -> None:
    np.savez(tmp_path / "w.npz", **{"fine": NUMBERS, "odd one": array})
    with pytest.raises(WeightsError, match=rf"array 'odd one' has the dtype {dtype}.*; supported are bool") as caught:
        read_npz(tmp_path / "w.npz")
    assert "\n" not in str(caught.value)


MALFORMED = {
    "no .npy": (b"P6 1 1", "corrupt .npy header"),
    "empty": (b"", "corrupt .npy header"),
    "cut header": (npy(header())[:20], "corrupt .npy header"),
    "header beyond the end": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{}", "corrupt .npy header"),
    "long header": (npy(header() + " " * 5000), "corrupt .npy header"),
    "version 3": (npy(header(), bytes(24), (3, 0)), "is in version 3.0 of the .npy format"),
    "version 9": (npy(header(), bytes(24), (9, 0)), "is in version 9.0 of the .npy format"),
    "no dictionary": (npy("__import__('os').abort()"), "corrupt .npy header"),
    "deep": (npy("-" * 4000 + "1"), "corrupt .npy header"),
    "unclosed": (npy("(" * 4000), "corrupt .npy header"),
    "other keys": (npy("{'descr': '<f4'}"), "corrupt .npy header"),
    "unknown dtype": (npy(header(descr="<q9")), "corrupt .npy header"),
    "dtype of endless size": (npy(header(descr="|V99999999999")), "corrupt .npy header|has the dtype"),
    "too short": (npy(header(), bytes(23)), "declares 24 bytes, 23 follow it"),
    "too long": (npy(header(), bytes(25)), "declares 24 bytes, 25 follow it"),
    "huge": (npy(header((2**60, 2**60)), bytes(24)), "declares over 18446744073709551616 bytes, 24 follow it"),
    "endless": (npy(header((10**3000,)), bytes(24)), "declares over"),
    "negative": (npy(header((-2, -3)), bytes(24)), "no sizes of an array"),
    "bool as a size": (npy(header((True, 6)), bytes(24)), "no sizes of an array"),
    "float as a size": (npy(header((6.0,)), bytes(24)), "corrupt .npy header"),
    "many dimensions": (npy(header((1,) * 65), bytes(4)), "no sizes of an array"),
    "empty beyond NumPy": (npy(header((0, 2**62, 2**62))), "sizes are too large together"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_arrays_are_one_line_weights_errors(tmp_path: Path, case: str) -> None:
    content, message = MALFORMED[case]
    path = write(tmp_path / "w.npz", {"fine.npy": npy(header(), bytes(24)), "w.npy": content})
    with pytest.raises(WeightsError, match=message) as caught:
        read_npz(path)
    assert str(caught.value).startswith(f"{path}: array 'w' ")
    assert "\n" not in str(caught.value)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "w.npz", {"w.npy": npy(header(), bytes(24)), "notes.txt": b""})
    with pytest.raises(WeightsError, match=re.escape("is no .npz file: its member 'notes.txt' is no .npy file")):
        read_npz(path)


def test_every_cut_is_said_to_be_one(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, a=NUMBERS, b=NUMBERS)
    whole = stream.getvalue()
    path = tmp_path / "cut.npz"
    for length in cuts(whole)[1:]:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=f"cut short after {length:,} bytes"):
            read_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_bits_never_change_a_value_or_raise_anything_else(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "w.npz"
    save(path, a=NUMBERS, b=np.asfortranarray(NUMBERS))
    loaded, refused = read_all(read_npz, path, with_flipped_bits(path.read_bytes(), 300))
    assert refused > 200
    for checkpoint in loaded:
        assert [array.tobytes() for array in checkpoint.tensors.values()] == [NUMBERS.tobytes()] * 2


def test_the_headers_of_all_arrays_together_are_limited(tmp_path: Path) -> None:
    # NumPy parses each as a Python literal, which takes a second for some thousands.
    long = npy(header((0,)).rstrip() + " " * 4000 + "\n")
    path = write(tmp_path / "many.npz", {f"{number}.npy": long for number in range(600)})
    with pytest.raises(WeightsError, match="holds 600 arrays, whose headers take more than 2097152 bytes; refused"):
        load_checkpoint(path)
