"""Run folders: which are taken, what is written, and that a configuration reads back."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.errors import DataError, RunFolderError, UsageError
from gradcli.training.finetuning.run_folder import RunFolder, to_toml


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
    (tmp_path / "config.toml").touch()
    with pytest.raises(RunFolderError, match="with --run, go on with its run with --resume, or replace that with --fo"):
        RunFolder.check(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"the run folder is not empty; name another one with --run$"):
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


def finished_run(path: Path, *, others: bool = False) -> RunFolder:
    """A folder as a run leaves it, with what is somebody else's if asked for."""
    folder = RunFolder.check(path)
    folder.create({"lr": 0.5})
    folder.add_metrics({"epoch": 1})
    folder.save_weights("model.safetensors", {"a": np.zeros(3, np.float32)}, {})
    folder.save_summary({"status": "stopped"})
    folder.state_file.parent.mkdir()
    folder.state_file.write_bytes(b"state")
    (path / "events.out.tfevents.1.host").touch()
    if others:
        (path / "notes.txt").touch()
    folder.release()
    return folder


def test_force_removes_an_earlier_run_when_the_new_one_begins(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    with pytest.raises(RunFolderError, match="the run folder is not empty; name another one with --run"):
        RunFolder.check(tmp_path / "run")
    folder = RunFolder.check(tmp_path / "run", force=True)
    assert (tmp_path / "run" / "model.safetensors").exists()  # the settings may still be refused
    folder.create({"lr": 0.25})
    folder.release()
    assert os.listdir(tmp_path / "run") == ["config.toml"]
    assert folder.config() == {"lr": 0.25}


def test_force_removes_nothing_of_anybody_else(tmp_path: Path) -> None:
    finished_run(tmp_path / "run", others=True)
    with pytest.raises(
        RunFolderError, match=r"--force doesn't remove .*: it holds notes\.txt, which no run wrote; name"
    ):
        RunFolder.check(tmp_path / "run", force=True)
    (finished_run(tmp_path / "second").path / "checkpoint" / "best.pt").touch()
    with pytest.raises(RunFolderError, match=r"--force doesn't remove .*: it holds checkpoint/best\.pt, which no run"):
        RunFolder.check(tmp_path / "second", force=True)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").touch()
    with pytest.raises(RunFolderError, match=r"--force doesn't remove .*: it has no config\.toml, so it is no run's"):
        RunFolder.check(tmp_path / "weights", force=True)
    assert (tmp_path / "weights" / "model.safetensors").exists()
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_metrics_that_meet_the_end_of_the_disk_keep_their_whole_lines(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = finished_run(tmp_path / "run")
    before = (folder.path / "metrics.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
        with pytest.raises(DataError, match=r"metrics\.jsonl: cannot be written: File too large"):
            folder.add_metrics({"epoch": 2, "val_loss": 0.25})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder.path / "metrics.jsonl").read_bytes() == before


def test_what_a_killed_run_left_before_its_configuration_is_nothing(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.toml.0123abcd.tmp").touch()
    folder = RunFolder.check(tmp_path)
    folder.create({})
    folder.release()
    assert os.listdir(tmp_path) == ["config.toml"]


def test_an_existing_run_is_locked_and_tidied(tmp_path: Path) -> None:
    first = finished_run(tmp_path / "run")
    for name in (".model.safetensors.0123abcd.tmp", "checkpoint/.state.safetensors.00ff00ff.tmp"):
        (tmp_path / "run" / name).touch()
    folder = RunFolder.existing(tmp_path / "run")
    assert folder.is_resumed
    assert not list((tmp_path / "run").rglob("*.tmp"))
    with pytest.raises(RunFolderError, match="another run is using this folder; wait for its end, or stop it"):
        RunFolder.existing(tmp_path / "run")
    with pytest.raises(RunFolderError, match="another run is using this folder"):
        RunFolder.check(tmp_path / "run", force=True).create({})
    folder.remove_unless_saved()
    assert folder.summary() == {"status": "stopped"}
    assert first.state_file.read_bytes() == b"state"
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_folder_without_configuration_is_no_existing_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"has no config\.toml; expected the folder of a run that was stopped"):
        RunFolder.existing(tmp_path)


def test_metrics_are_written_anew(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run")
    folder.rewrite_metrics([{"epoch": 1, "val_loss": 0.1}])
    folder.add_metrics({"epoch": 2, "val_loss": 0.3})
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1, "val_loss": 0.1}, {"epoch": 2, "val_loss": 0.3}]


@pytest.mark.parametrize(("text", "message"), [("[", "cannot be read"), ("[]", "is no summary of a run")])
def test_a_summary_that_is_none(text: str, message: str, tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run")
    (folder.path / "summary.json").write_text(text)
    with pytest.raises(RunFolderError, match=rf"summary\.json: {message}"):
        folder.summary()


def test_a_configuration_that_is_no_toml(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run")
    (folder.path / "config.toml").write_text("lr = ")
    with pytest.raises(UsageError, match=r"config\.toml: not valid TOML"):
        folder.config()
