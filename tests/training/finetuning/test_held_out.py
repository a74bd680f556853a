"""The entry in the metadata of weights from which the images kept for validation are found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled_images import write_npz

from gradcli.data.dataset import Dataset
from gradcli.data.sources import open_dataset, split
from gradcli.training.finetuning.data import data_fingerprint
from gradcli.training.finetuning.held_out import METADATA_KEY, parts_of_run, split_entry


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Twenty images."""
    return open_dataset(str(write_npz(tmp_path / "bands.npz")))


def entry_of(data: Dataset) -> dict[str, str]:
    return split_entry(data_fingerprint(*split(data, 0.25, 7)), 0.25, 7)


def test_the_parts_are_found_again(data: Dataset) -> None:
    parts = parts_of_run(data, {"format": "pt", **entry_of(data)})
    train, validation = split(data, 0.25, 7)
    assert list(parts) == ["train", "validation"]
    assert parts["train"].fingerprint() == train.fingerprint()
    assert parts["validation"].fingerprint() == validation.fingerprint()
    assert (len(parts["train"]), len(parts["validation"])) == (15, 5)


def test_of_other_data_there_are_none(data: Dataset, tmp_path: Path) -> None:
    other = open_dataset(str(write_npz(tmp_path / "other.npz", count=21)))
    renamed = data.with_classes(["0", "1", "2", "3"])
    for changed in (other, renamed):
        assert parts_of_run(changed, entry_of(data)) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": None},
        {"fingerprint": "0" * 128},
        {"validation_split": "a"},
        {"validation_split": 5.0},
        {"validation_split": float("nan")},
        {"seed": None},
        {"seed": 8},
        {"seed": -1},
    ],
)
def test_an_entry_that_tells_nothing_is_none(change: dict[str, Any], data: Dataset) -> None:
    entry = {**json.loads(entry_of(data)[METADATA_KEY]), **change}
    assert parts_of_run(data, {METADATA_KEY: json.dumps(entry)}) == {}


@pytest.mark.parametrize("text", ["", "[]", "7", "no JSON", "[" * 100_000])
def test_something_else_in_its_place_is_none(text: str, data: Dataset) -> None:
    assert parts_of_run(data, {METADATA_KEY: text}) == {}
    assert parts_of_run(data, {}) == {}
