"""Weights in several files, and the index that holds them together."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import WeightsError
from tests.checkpoints.damage import cuts, refusal_of

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two files and their index."""
    save_safetensors(tmp_path / ONE, {"a": np.arange(3.0), "b": np.ones(2, np.float16)}, {"format": "pt", "part": "1"})
    brain = {"c": np.float32([[1.5, -2.0]])}
    save_safetensors(tmp_path / TWO, brain, {"format": "pt", "part": "2"}, {"c": "bfloat16"})
    return write_index(tmp_path, {"c": TWO, "a": ONE, "b": ONE})


def write_index(folder: Path, weight_map: Any, **entries: Any) -> Path:
    path = folder / "model.safetensors.index.json"
    metadata = {"total_size": 36, "author": "Zoë", "epoch": 3}
    path.write_text(json.dumps({"metadata": metadata, "weight_map": weight_map, **entries}, indent=2))
    return path


def test_the_parts_become_one_checkpoint(index: Path) -> None:
    checkpoint = load_checkpoint(index)
    assert (checkpoint.container, checkpoint.path) == ("safetensors-sharded", index)
    assert {name: array.tolist() for name, array in checkpoint.tensors.items()} == {
        "c": [[1.5, -2.0]],
        "a": [0, 1, 2],
        "b": [1, 1],
    }
    assert list(checkpoint.tensors) == ["c", "a", "b"]
    assert checkpoint.dtypes == {"c": "bfloat16", "a": "float64", "b": "float16"}
    assert checkpoint.metadata == {"author": "Zoë", "epoch": "3", "format": "pt"}
    assert checkpoint.ignored == ("metadata 'part'",)
    assert set(checkpoint.shards) == {index.parent / ONE, index.parent / TWO}


def test_an_index_on_one_line_with_a_byte_order_mark(index: Path) -> None:
    index.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(index.read_text())).encode())
    assert len(load_checkpoint(index).tensors) == 3


def test_the_parts_may_be_links(index: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (index.parent / ONE).rename(blobs / "123")
    (index.parent / ONE).symlink_to(blobs / "123")
    assert load_checkpoint(index).tensors["a"].tolist() == [0, 1, 2]


def test_tensors_that_the_index_does_not_name_are_ignored(index: Path) -> None:
    checkpoint = load_checkpoint(write_index(index.parent, {"a": ONE, "c": TWO}))
    assert list(checkpoint.tensors) == ["a", "c"]
    assert checkpoint.ignored == ("b", "metadata 'part'")


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({}, "its weight_map is empty"),
        ([ONE], "JSON text without a weight_map"),
        ({"a": 1}, "its weight_map puts 'a' into '1', which is not the name of a file beside it"),
        ({"a": "../secret.safetensors"}, "puts 'a' into '../secret.safetensors', which is not the name of a file"),
        ({"a": "/etc/passwd"}, "which is not the name of a file beside it"),
        ({"a": "..\\secret.safetensors"}, "which is not the name of a file beside it"),
        ({"a": "C:secret.safetensors"}, "which is not the name of a file beside it"),
        ({"a": ".."}, "which is not the name of a file beside it"),
        ({"a": ""}, "which is not the name of a file beside it"),
        ({"a": "nul\0byte"}, "which is not the name of a file beside it"),
        ({"a": "two\nlines"}, "which is not the name of a file beside it"),
        ({"a": "\x1b[31mred"}, "which is not the name of a file beside it"),
        ({"c": ONE}, f"its weight_map puts 'c' into {ONE}, which does not hold it"),
        (
            {"a": "model-00003-of-00003.safetensors"},
            r"model-00003-of-00003\.safetensors: no such file; did you mean .* \(a part of model\.safetensors\.index",
        ),
        ({"a": "folder"}, r"folder: is a directory.* \(a part of"),
        ({"a": "pipe"}, r"pipe: is a device or a pipe.* \(a part of"),
        ({"a": "text"}, r"text: is not a safetensors file \(a part of"),
        ({"a": "cut"}, r"cut: cut short after 100 bytes, inside its header.* \(a part of"),
        ({"a": "model.safetensors.index.json"}, "is not a safetensors file"),
    ],
)
def test_an_index_that_does_not_hold_is_refused(index: Path, weight_map: Any, message: str) -> None:
    folder = index.parent
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "text").write_text("hello")
    (folder / "cut").write_bytes((folder / ONE).read_bytes()[:100])
    write_index(folder, weight_map)
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(index)
    assert "\n" not in str(caught.value)
    assert "model.safetensors.index.json" in str(caught.value)


def test_a_tensor_in_two_parts_is_refused(index: Path) -> None:
    save_safetensors(index.parent / TWO, {"c": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(WeightsError, match=f"the tensor 'b' is in {TWO} and {ONE}; which one is meant is not said"):
        load_checkpoint(index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"weight_map": {"a": "x", "a": "y"}}', "the name 'a' occurs twice"),
        ('{"weight_map": {}, "weight_map": {"a": "x"}}', "the name 'weight_map' occurs twice"),
        ('{"error": "not found"}', "is JSON text without a weight_map, so neither weights nor the index of any"),
        ("{" * 100_000, "looks like JSON text but is not valid"),
        ('{"a":' * 100_000, "looks like JSON text but is not valid"),
        ('{"weight_map": {"a":', "looks like JSON text but is not valid"),
        ('{"weight_map": {"a": ' + "9" * 5000 + "}}", "looks like JSON text but is not valid"),
    ],
)
def test_json_that_is_no_index_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_every_cut_of_an_index_is_a_weights_error(index: Path) -> None:
    whole = index.read_bytes()
    for length in cuts(whole):
        index.write_bytes(whole[:length])
        refusal_of(load_checkpoint, index)


def test_half_a_surrogate_pair_in_metadata_is_replaced(index: Path) -> None:
    index.write_text(index.read_text().replace('"Zo\\u00eb"', '"Zo\\ud800"'))
    checkpoint = load_checkpoint(index)
    assert checkpoint.metadata["author"] == "Zo\N{REPLACEMENT CHARACTER}"
    save_safetensors(index.parent / "all.safetensors", checkpoint.tensors, checkpoint.metadata)
