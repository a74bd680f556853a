"""Data and weights of a run: paths that hold from any folder, names that stay, and what weights passed on tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gradcli.training.finetuning.locations import with_absolute_paths, without_folders
from gradcli.training.finetuning.settings import FinetuneSettings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an empty folder and an empty file in it."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.safetensors").touch()
    (tmp_path / "digits").mkdir()
    (tmp_path / "random").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "weights", "found_data", "found_weights"),
    [
        ("photos", "mine.safetensors", "{}/photos", "{}/mine.safetensors"),
        ("./photos/", "./mine.safetensors", "{}/photos", "{}/mine.safetensors"),
        ("digits", "random", "digits", "random"),
        ("./digits", "random:3", "{}/digits", "random:3"),
        ("cifar10", "imagenet1k-v1", "cifar10", "imagenet1k-v1"),
        ("nowhere", "nothing.pth", "nowhere", "nothing.pth"),
        ("/nowhere", "./random", "/nowhere", "{}/random"),
    ],
)
def test_paths_become_absolute_and_names_stay(
    data: str, weights: str, found_data: str, found_weights: str, folder: Path
) -> None:
    settings = FinetuneSettings(data=data, weights=weights, seed=3)
    found = with_absolute_paths(settings)
    assert (found.data, found.weights) == (found_data.format(folder), found_weights.format(folder))
    assert replace(found, data=data, weights=weights) == settings


def test_weights_that_are_passed_on_tell_no_folder() -> None:
    options = {"data": "/home/someone/photos", "weights": "/home/someone/runs/first", "epochs": 3}
    assert without_folders(options) == {"data": "photos", "weights": "first", "epochs": 3}
    names = {"data": "digits", "weights": "random:0"}
    assert without_folders(names) == names
