"""Run folders: which are taken, what is written, and that a configuration reads back."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.errors import DataError, RunFolderError
from gradcli.training.run_folder import RunFolder, to_toml


def test_a_folder_is_written_step_by_step(tmp_path: Path) -> None:
    folder = RunFolder.check(tmp_path / "runs" / "first")
    assert list(tmp_path.iterdir()) == []
    folder.create({"lr": 0.5})
    assert (folder.path / "config.toml").read_text() == "lr = 0.5\n"
    for epoch in (1, 2):
        path = folder.save_weights("model.safetensors", {"a": np.full(3, epoch, np.float32)}, {"gradcli.classes": "[]"})
        folder.add_metrics({"epoch": epoch, "val_loss": 0.25})
    assert path == folder.path / "model.safetensors"
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    folder.remove_unless_saved()
    assert sorted(os.listdir(folder.path)) == ["config.toml", "metrics.jsonl", "model.safetensors"]
    assert path.exists()


def test_a_run_without_weights_is_undone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("runs/deep/first", "mine"):
        folder = RunFolder.check(tmp_path / name)
        folder.create({})
        folder.remove_unless_saved()
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_an_empty_folder_may_be_used_and_a_full_one_not(tmp_path: Path) -> None:
    assert RunFolder.check(tmp_path).path == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="the run folder is not empty; name another one with --run"):
        RunFolder.check(tmp_path)
    with pytest.raises(RunFolderError, match="there is a file of this name"):
        RunFolder.check(tmp_path / "file")
    with pytest.raises(DataError, match="the run folder can't be made"):
        RunFolder.check(tmp_path / "file" / "run")


def test_the_next_free_name(tmp_path: Path) -> None:
    assert RunFolder.next_free(tmp_path, "digits").path == tmp_path / "digits"
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits-2").mkdir()
    assert RunFolder.next_free(tmp_path, "digits").path == tmp_path / "digits-3"


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -3,
        0.1,
        1e-300,
        1e22,
        "plain",
        'quote " backslash \\ tab \t line \n bell \x07 delete \x7f umlaut ü 数',
        ["a.*", "b"],
        [1, 3, 64, 64],
        [],
    ],
    ids=repr,
)
def test_values_read_back_from_toml(value: Any) -> None:
    assert tomllib.loads(to_toml({"key": value, "label-smoothing": 0.0})) == {"key": value, "label-smoothing": 0.0}


def test_none_is_left_out_of_toml() -> None:
    assert to_toml({"mode": None, "lr": 0.01}) == "lr = 0.01\n"


def test_of_two_runs_that_start_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    first, second = RunFolder.check(tmp_path / "run"), RunFolder.check(tmp_path / "run")
    first.create({"seed": 1})
    with pytest.raises(RunFolderError, match="another run is using this folder"):
        second.create({"seed": 2})
    second.remove_unless_saved()
    assert (tmp_path / "run" / "config.toml").read_text() == "seed = 1\n"
