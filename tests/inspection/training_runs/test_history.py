"""What is read of a run's folder while it grows, is resumed, replaced, and ends."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gradcli.errors import DataError
from gradcli.hub.file_lock import acquire, is_held, release
from gradcli.inspection.training_runs.history import RunFollower, RunStatus, as_number, read_history
from gradcli.training.finetuning.run_folder import RunFolder


def epoch(number: int) -> dict[str, Any]:
    return {"epoch": number, "train_loss": 1 / number, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25}


def gradients(number: int, step: int, norm: Any = 2.0) -> dict[str, Any]:
    layers = [{"name": name, "grad_norm": norm, "update_ratio": None} for name in ("conv1", "fc")]
    return {
        "kind": "gradients",
        "epoch": number,
        "step": step,
        "lr": 0.1,
        "grad_norm": norm,
        "update_ratio": 0.5,
        "layers": layers,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text('data = "digits"\nepochs = 3\n')
    return tmp_path / "run"


def append(folder: Path, *records: dict[str, Any], end: str = "") -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records) + end)


def test_records_come_once_as_whole_lines(folder: Path) -> None:
    follower = RunFollower(folder)
    assert follower.new_records() == []
    append(folder, gradients(1, 1), end='{"epoch": 1, "train_loss"')
    assert follower.new_records() == [gradients(1, 1)]
    assert follower.new_records() == []
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(': 1.0, "train_accuracy": 0.5, "val_loss": "nan", "val_accuracy": 0.25}\n')
    (record,) = follower.new_records()
    assert record["kind"] == "epoch"
    assert math.isnan(as_number(record["val_loss"]) or 0)
    assert follower.history.epochs == [record]


def test_what_is_no_record_is_passed_over(folder: Path) -> None:
    bad = [
        {"kind": "other", "epoch": 1},
        {"epoch": 1},
        {"kind": "gradients", "epoch": 1, "step": 2},
        gradients(1, 3, norm="much"),
        gradients(1, 3, norm=10**400),
        {**gradients(1, 3), "lr": None},
        {**gradients(1, 3), "loss": "low"},
        {**gradients(1, 4), "layers": [3]},
    ]
    append(folder, *bad, epoch(1), end="null\n[1]\n{broken\n")
    assert read_history(folder).epochs == [{"kind": "epoch", **epoch(1)}]
    assert read_history(folder).gradients == []


def test_lines_that_a_resumed_run_writes_again_are_not_new(folder: Path) -> None:
    follower = RunFollower(folder)
    append(folder, gradients(1, 1), gradients(1, 2))
    assert len(follower.new_records()) == 2
    RunFolder(folder).rewrite_metrics([gradients(1, 1)])
    append(folder, gradients(1, 2), epoch(1))
    assert follower.new_records() == [{"kind": "epoch", **epoch(1)}]


def test_a_run_that_replaces_it_is_another_one(folder: Path) -> None:
    follower = RunFollower(folder)
    append(folder, epoch(1))
    follower.new_records()
    (folder / "metrics.jsonl").unlink()
    (folder / "config.toml").unlink()
    (folder / "config.toml").write_text('data = "digits"\nepochs = 4\n')
    append(folder, epoch(1))
    assert len(follower.new_records()) == 1
    assert len(follower.history.epochs) == 1
    assert follower.history.config["epochs"] == 4


def test_series_of_layers_have_none_where_a_record_lacks_them(folder: Path) -> None:
    late = gradients(2, 2, norm="inf")
    del late["layers"][0]
    append(folder, gradients(1, 1), late)
    assert read_history(folder).layer_series("grad_norm") == {"conv1": [2.0, None], "fc": [2.0, math.inf]}
    assert read_history(folder).layer_series("update_ratio")["fc"] == [None, None]


def test_the_lock_tells_whether_the_run_goes_on(folder: Path) -> None:
    follower, lock = RunFollower(folder), folder / ".lock"
    assert str(follower.status()) == "ended without a summary"
    assert not is_held(lock)
    descriptor = acquire(lock)
    assert descriptor is not None
    assert follower.status() == RunStatus(True)
    release(lock, descriptor)
    RunFolder(folder).save_summary({"status": "diverged", "error": "the loss is nan"})
    assert str(follower.status()) == "diverged: the loss is nan"
    lock.touch()  # as a kill leaves it
    assert not is_held(lock)


def test_a_folder_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no config\.toml; expected the folder of a run that began"):
        RunFollower(tmp_path)
