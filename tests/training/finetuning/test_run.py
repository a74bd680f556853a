"""What a run leaves in its folder, whatever becomes of it: weights, checkpoints, summary and receipt."""

from __future__ import annotations

import json
import signal
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning_runs import HEAD_ONLY, assert_same, content, resume, run_whole
from labelled_images import write_folder, write_npz

from gradcli.checkpoints import load_checkpoint
from gradcli.errors import CheckError, DataError, DivergedError, RunFolderError
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.models import load_model
from gradcli.training.finetuning import run as finetuning_run
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.freezing import FreezeRule


def test_a_run_that_diverges_keeps_its_best_epoch_and_says_so(settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = Finetuning(replace(settings, checkpoint_every="1"))
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    expected = finetuning.model.fc.weight.array.copy()
    next(records)
    best = RunFolder(tmp_path / "run")
    finetuning.model.fc.weight.array[0] = np.inf
    with pytest.raises(DivergedError, match=r"in epoch 3, batch 1, .*, first in the output of fc; try a smaller --lr"):
        next(records)
    summary = best.summary()
    assert summary is not None
    assert (summary["status"], summary["epochs"]) == ("diverged", 2)
    assert "in epoch 3, batch 1" in summary["error"]
    if summary["best_epoch"] == 1:
        np.testing.assert_array_equal(load_model(tmp_path / "run").model.fc.weight.array, expected)
    assert np.isfinite(load_model(tmp_path / "run").model.fc.weight.array).all()
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_a_full_disk_leaves_the_checkpoint_of_before(
    settings: FinetuneSettings, whole_run: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    settings = replace(settings, checkpoint_every="1")
    finetuning = Finetuning(settings)
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    before = RunFolder(tmp_path / "run").state_file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(DataError, match=r"state\.safetensors: cannot be written: File too large"):
            next(records)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert RunFolder(tmp_path / "run").state_file.read_bytes() == before
    resume(tmp_path / "run")
    found, expected = content(tmp_path / "run"), content(whole_run)
    assert found["metrics"] == expected["metrics"]
    assert found["momenta"] == expected["momenta"]
    weights = [load_model(path).model.fc.weight.array for path in (tmp_path / "run", whole_run)]
    np.testing.assert_array_equal(*weights)


def test_a_run_that_fails_later_keeps_what_it_has(settings: FinetuneSettings, tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    settings = replace(settings, data=str(photos), strict=True, augment="light", epochs=2)
    finetuning = Finetuning(settings)
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    hidden = photos / "class0" / "00.png"
    hidden.rename(tmp_path / "hidden.png")
    with pytest.raises(DataError, match=r"00\.png"):
        next(records)
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert (summary["status"], summary["epochs"]) == ("failed", 1)
    (tmp_path / "hidden.png").rename(hidden)
    _, records_after = resume(tmp_path / "run")
    assert [record.epoch for record in records_after] == [2]
    run_whole(settings, tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("name", ["layer4.1.conv2.weight", "bn1.running_mean"])
def test_a_frozen_tensor_that_moves_fails_the_run(name: str, settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = Finetuning(settings)
    array = finetuning.model.state_dict()[name].array

    def move(_: object) -> None:
        array[0] = np.nextafter(array[0], np.inf)

    with pytest.raises(CheckError, match=rf"{name} moved although frozen: SHA-256 \w+ before the run, \w+ after it"):
        list(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config(), on_batch=move))
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert (summary["status"], summary["frozen"]["moved"], summary["frozen"]["held"]) == ("failed", [name], False)
    with pytest.raises(RunFolderError, match="run: a tensor moved in this run although frozen; start it anew"):
        resume(tmp_path / "run")


def test_the_summary_tells_what_the_run_was(settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = run_whole(settings, tmp_path / "run")
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert (summary["schema"], summary["status"], summary["epochs"]) == ("gradcli.run/1", "finished", 3)
    assert summary["records"][summary["best_epoch"] - 1] == summary["best"]
    assert summary["best"]["val_accuracy"] == max(record["val_accuracy"] for record in summary["records"])
    assert sum(summary["data"]["classes"]["0"].values()) == 7
    assert summary["weights"]["new_head"] is True
    assert len(summary["weights"]["sha256"]) == 64
    frozen = summary["frozen"]
    assert frozen["held"] is True
    assert set(frozen["tensors"]) == set(finetuning.model.state_dict()) - {"fc.weight", "fc.bias"}
    assert frozen["moving_statistics"] == []
    entries = load_checkpoint(tmp_path / "run" / "model.safetensors").metadata
    config = RunFolder(tmp_path / "run").config()
    shown = tomllib.loads(entries["gradcli.config"])
    assert (config["data"], config["weights"]) == (settings.data, settings.weights)
    assert shown == {**config, "data": "bands.npz", "weights": "ten.safetensors"}
    assert json.loads(entries["gradcli.data"]) == {
        "fingerprint": summary["data"]["fingerprint"],
        "validation_split": 0.2,
        "seed": 0,
    }
    assert entries["gradcli.epoch"] == str(summary["best_epoch"])


def test_in_train_mode_the_receipt_lists_the_statistics_that_move(settings: FinetuneSettings, tmp_path: Path) -> None:
    run_whole(replace(settings, mode="train", epochs=1), tmp_path / "run")
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert "layer1.0.bn1.running_mean" in summary["frozen"]["moving_statistics"]
    assert "layer1.0.bn1.weight" in summary["frozen"]["tensors"]
    assert "layer1.0.bn1.running_mean" not in summary["frozen"]["tensors"]


def test_checkpoints_come_as_often_as_asked(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []
    save = finetuning_run.save_run_state

    def note(path: Path, state: Any) -> None:
        saved.append((state.epoch, state.steps))
        save(path, state)

    monkeypatch.setattr(finetuning_run, "save_run_state", note)
    data = write_npz(tmp_path / "fifty.npz", 50)  # 40 to train with, 10 batches
    settings = replace(settings, data=str(data), epochs=2)
    run_whole(replace(settings, checkpoint_every="4"), tmp_path / "steps")
    assert saved == [(1, 4), (1, 8), (2, 2), (2, 6), (2, 10), (3, 0)]
    saved.clear()
    run_whole(replace(settings, checkpoint_every="1h"), tmp_path / "hours")
    assert saved == [(3, 0)]


def test_the_weights_so_far_are_there_while_the_run_goes_on(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning_run, "SECONDS_BETWEEN_WEIGHTS", 0.0)
    finetuning = Finetuning(replace(settings, checkpoint_every="1"))
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    weight = load_model(tmp_path / "run").model.fc.weight.array
    np.testing.assert_array_equal(weight, finetuning.model.fc.weight.array)
    assert len(list(records)) == 2


def test_a_stop_while_features_are_computed(settings: FinetuneSettings, whole_run: Path, tmp_path: Path) -> None:
    finetuning, seen = Finetuning(replace(settings, feature_cache=False)), []
    run = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run"))
    records = run.records(
        Finetuning(settings).config(),
        on_features=lambda done, total: seen.append(done),
        should_stop=lambda: bool(seen),
    )
    assert list(records) == []
    assert run.stopped == 1
    np.testing.assert_array_equal(load_model(tmp_path / "run").model.fc.weight.array, finetuning.model.fc.weight.array)
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole_run)


@pytest.mark.parametrize("freeze", [HEAD_ONLY, []], ids=["head", "everything"])
def test_the_number_of_threads_changes_no_bit(
    freeze: list[FreezeRule], settings: FinetuneSettings, tmp_path: Path
) -> None:
    settings = replace(settings, freeze=freeze, epochs=1, batch_size=8, feature_cache=False)
    before = get_num_threads()
    try:
        for count in (1, 2):
            set_num_threads(count)
            run_whole(settings, tmp_path / str(count))
    finally:
        set_num_threads(before)
    found, expected = content(tmp_path / "1"), content(tmp_path / "2")
    assert {found["summary"].pop("threads"), expected["summary"].pop("threads")} == {1, 2}
    assert [name for name in expected if found[name] != expected[name]] == []
