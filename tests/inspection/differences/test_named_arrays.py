"""What either side of a comparison may be: files of every kind, folders, runs, names, standard input."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradcli.checkpoints import save_safetensors
from gradcli.errors import DataError, WeightsError
from gradcli.inspection.differences.named_arrays import read_named_arrays

ARRAYS = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fc.bias": np.array([0.5, -1.5]),
    "steps": np.array(7),
}


def write_files(folder: Path) -> dict[str, Path]:
    """The arrays as each container has them."""
    save_safetensors(folder / "g.safetensors", ARRAYS)
    np.savez(folder / "g.npz", **ARRAYS)
    (folder / "arrays").mkdir()
    for name, array in ARRAYS.items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    (folder / "run").mkdir()
    save_safetensors(folder / "run" / "model.safetensors", ARRAYS)
    np.save(folder / "run" / "other.npy", np.zeros(3))
    return {
        "safetensors": folder / "g.safetensors",
        "npz": folder / "g.npz",
        "npy-folder": folder / "arrays",
        "run": folder / "run",
    }


@pytest.mark.parametrize("kind", ["safetensors", "npz", "npy-folder", "run"])
def test_every_kind_of_source_has_the_same_arrays(kind: str, tmp_path: Path) -> None:
    path = write_files(tmp_path)[kind]
    found = read_named_arrays(str(path))
    assert (found.source, found.container) == (str(path), "safetensors" if kind == "run" else kind)
    assert found.dtypes == {"fc.weight": "float32", "fc.bias": "float64", "steps": "int64"}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        found.release(name)
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert not found.is_unnamed


@pytest.mark.parametrize("array", [np.arange(3.0), np.arange(3, dtype=">f4"), np.array(2.5), np.zeros((0, 2))])
def test_one_array_goes_by_its_files_name(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "fc.bias.npy", array)
    found = read_named_arrays(str(tmp_path / "fc.bias.npy"))
    assert (found.container, found.is_unnamed, list(found.arrays)) == ("npy", True, ["fc.bias"])
    np.testing.assert_array_equal(found.arrays["fc.bias"], array)
    assert found.arrays["fc.bias"].dtype.isnative
    found.release("fc.bias")


def test_random_weights_are_those_of_a_model() -> None:
    found = read_named_arrays("random:3")
    assert (found.container, len(found.arrays)) == ("random", 122)
    before = found.arrays["conv1.weight"].copy()
    found.release("conv1.weight")
    np.testing.assert_array_equal(found.arrays["conv1.weight"], before)


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes, terminal: bool = False) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal))


def test_standard_input_may_be_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_files(tmp_path)
    for content in (files["npz"].read_bytes(), files["safetensors"].read_bytes()):
        standard_input(monkeypatch, content)
        found = read_named_arrays("-")
        assert found.source == "standard input"
        np.testing.assert_array_equal(found.arrays["fc.weight"], ARRAYS["fc.weight"])
    standard_input(monkeypatch, (files["npy-folder"] / "fc.bias.npy").read_bytes())
    assert read_named_arrays("-").is_unnamed


@pytest.mark.parametrize(
    ("content", "terminal", "message"),
    [
        (b"", False, r"^standard input: is empty; "),
        (b"hello", False, r"^standard input: is a text file "),
        (b"\x93NUMPY\x01\x00", False, r"^standard input: corrupt"),
        (b"", True, r"^standard input: a terminal; expected a file of tensors"),
    ],
)
def test_standard_input_that_is_no_file_of_tensors(
    content: bytes, terminal: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard_input(monkeypatch, content, terminal)
    with pytest.raises((WeightsError, DataError), match=message):
        read_named_arrays("-")


def test_what_is_refused(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "empty.safetensors", {})
    np.save(tmp_path / "complex.npy", np.zeros(2, complex))
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    (tmp_path / "nothing").mkdir()
    for name, message in {
        "empty.safetensors": "holds no tensors; expected a dump of gradients",
        "complex.npy": "has the dtype complex128; supported are bool",
        "objects.npy": "corrupt, or no such file format",
        "nothing": "a folder without model.safetensors",
        "missing.npz": "no such file",
    }.items():
        with pytest.raises((WeightsError, DataError), match=message) as caught:
            read_named_arrays(str(tmp_path / name))
        assert str(caught.value).startswith(str(tmp_path / name))
