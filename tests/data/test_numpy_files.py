"""NumPy files: what is read, what is refused, and which axis holds the channels."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from gradcli.data.numpy_files import (
    channels_last,
    check_finite,
    npz_names,
    read_npy,
    read_npy_from_standard_input,
    read_npz,
)
from gradcli.errors import DataError


class Unseekable(io.RawIOBase):
    """Standard input as a pipe gives it: bytes in order and no way back."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)
        self.buffer.seekable = lambda: False  # type: ignore[method-assign]

    def isatty(self) -> bool:
        return False


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_read_npy_returns_the_array(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; expected a .npy file of numbers"),
        (b"", "corrupt, or no such file format"),
        (b"plain text", "corrupt, or no such file format"),
        (npy_bytes(np.arange(1000.0))[:500], "corrupt, or no such file format"),
        ("objects", "corrupt, or no such file format .*[Oo]bject arrays"),
    ],
    ids=["missing", "empty", "text", "truncated", "pickle"],
)
def test_read_npy_names_the_file_in_one_line(tmp_path: Path, content: bytes | str | None, message: str) -> None:
    path = tmp_path / "a.npy"
    if content == "objects":
        np.save(path, np.array([{}, None], dtype=object), allow_pickle=True)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_npy(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_read_npy_of_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't be read .*directory"):
        read_npy(tmp_path)


def test_standard_input_is_read_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    monkeypatch.setattr(sys, "stdin", Unseekable(npy_bytes(array)))
    np.testing.assert_array_equal(read_npy_from_standard_input(), array)


def test_standard_input_that_is_no_npy_or_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Unseekable(b"hello")
    monkeypatch.setattr(sys, "stdin", stream)
    with pytest.raises(DataError, match=r"standard input: corrupt.* expected a .npy file"):
        read_npy_from_standard_input()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with pytest.raises(DataError, match=r"standard input: a terminal; expected a .npy file piped"):
        read_npy_from_standard_input()


def test_read_npz_reads_only_the_named_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), y=np.arange(4), other=np.array([None], dtype=object))
    assert npz_names(path) == ["x", "y", "other"]
    y, x = read_npz(path, ["y", "x"])
    assert (len(y), len(x)) == (4, 3)
    with pytest.raises(DataError, match=r"a\.npz: corrupt, or no such file format"):
        read_npz(path, ["other"])


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_broken_npz_names_the_file(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.npz: truncated or corrupt .*; expected a .npz file"):
        npz_names(path)


def test_npz_with_damaged_contents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(1000))
    data = bytearray(path.read_bytes())
    data[1000:1020] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz: truncated or corrupt|a\.npz: corrupt"):
        read_npz(path, ["x"])


def test_npz_without_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz")
    with pytest.raises(DataError, match="holds no arrays"):
        npz_names(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 9), (5, 8, 9)),
        ((5, 8, 9, 1), (5, 8, 9)),
        ((5, 1, 8, 9), (5, 8, 9)),
        ((5, 8, 9, 3), (5, 8, 9, 3)),
        ((5, 3, 8, 9), (5, 8, 9, 3)),
        ((5, 8, 9, 4), (5, 8, 9, 4)),
        ((5, 4, 8, 9), (5, 8, 9, 4)),
        ((5, 4, 8, 3), (5, 4, 8, 3)),
        ((5, 3, 8, 4), (5, 8, 4, 3)),
        ((5, 4, 8, 1), (5, 4, 8)),
    ],
)
def test_channels_last(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert channels_last(np.zeros(shape), "x").shape == expected


def test_channels_last_keeps_each_pixel() -> None:
    images = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert channels_last(images, "x")[1, 2, 4, 0] == images[1, 0, 2, 4]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3, 8, 3), r"x: shape \(5, 3, 8, 3\) could be \(N, C, H, W\) or \(N, H, W, C\)"),
        ((5, 1, 8, 3), "could be .* expected images more than 3 pixels high and wide"),
        ((5, 4, 8, 4), "could be .* expected images more than 4 pixels high and wide"),
        (
            (5, 2, 8, 9),
            r"no array of images; expected \(N, H, W\), \(N, H, W, C\) or \(N, C, H, W\) with C 1, 3 or 4",
        ),
        ((5, 64), "no array of images"),
        ((5, 3, 8, 9, 1), "no array of images"),
    ],
)
def test_channels_last_refuses_what_it_cannot_tell(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        channels_last(np.zeros(shape), "x")


def test_check_finite_counts_and_locates() -> None:
    array = np.zeros((2, 3))
    check_finite(array, "a.npy")
    array[1, 0], array[1, 2] = np.nan, -np.inf
    with pytest.raises(DataError, match=r"a\.npy: 2 NaN or infinite values, the first at \[1, 0\] \(nan\)"):
        check_finite(array, "a.npy")
