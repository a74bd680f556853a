"""Runs that were stopped, killed or cut off go on to the bits of the run that never was; others are refused by name."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder, write_npz

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import CheckError, DataError, DivergedError, RunFolderError, UsageError, WeightsError
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.models import load_model
from gradcli.ops.random import rand
from gradcli.training import finetune_run
from gradcli.training.finetune import EpochRecord, FinetuneSettings, Finetuning
from gradcli.training.finetune_data import training_batches
from gradcli.training.freezing import FreezeRule
from gradcli.training.optimizers import AdamWSettings, SGDSettings
from gradcli.training.run_folder import RunFolder
from gradcli.training.run_state import load_run_state, save_run_state
from gradcli.training.saving import save_model
from gradcli.training.schedules import ScheduleSettings

HEAD_ONLY: list[FreezeRule] = [("freeze-backbone", "")]
UP_TO_LAYER3: list[FreezeRule] = [("freeze", "conv1.*"), ("freeze", "bn1.*"), ("freeze", "layer[123].*")]


@pytest.fixture
def settings(model_file: Path, images_file: Path) -> FinetuneSettings:
    return FinetuneSettings(
        data=str(images_file),
        weights=str(model_file),
        epochs=3,
        batch_size=4,
        freeze=HEAD_ONLY,
        optimizer=SGDSettings(lr=0.05),
    )


def run(finetuning: Finetuning, folder: RunFolder, **options: Any) -> list[EpochRecord]:
    return list(finetuning.run(folder, finetuning.config(), **options))


def run_whole(settings: FinetuneSettings, path: Path) -> Finetuning:
    finetuning = Finetuning(settings)
    run(finetuning, RunFolder.check(path))
    return finetuning


class Batches:
    """Counts batches, and asks to stop after some."""

    def __init__(self, limit: int | None) -> None:
        self.count = 0
        self.limit = limit

    def options(self) -> dict[str, Any]:
        return {"on_batch": self.add, "should_stop": lambda: self.limit is not None and self.count >= self.limit}

    def add(self, _: object) -> None:
        self.count += 1


def start(settings: FinetuneSettings, path: Path, stop_after: int) -> Finetuning:
    """A run that is asked to stop after so many batches."""
    finetuning = Finetuning(settings)
    run(finetuning, RunFolder.check(path), **Batches(stop_after).options())
    return finetuning


def resume(path: Path, stop_after: int | None = None) -> tuple[Finetuning, list[EpochRecord]]:
    folder = RunFolder.existing(path)
    finetuning = Finetuning.resume(folder)
    return finetuning, run(finetuning, folder, **Batches(stop_after).options())


def content(path: Path) -> dict[str, Any]:
    """Everything in a run folder that another run of the same settings has too."""
    metrics = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    summary = RunFolder(path).summary()
    state = load_run_state(RunFolder(path).state_file)
    assert summary is not None
    assert state is not None
    for record in (*metrics, *summary["records"], summary["best"]):
        del record["seconds"]
    del summary["seconds"]
    return {
        "files": sorted(entry.name for entry in path.iterdir()),
        "config": (path / "config.toml").read_text(),
        "model": (path / "model.safetensors").read_bytes(),
        "last": (path / "last.safetensors").read_bytes(),
        "metrics": metrics,
        "summary": summary,
        "momenta": {name: array.tobytes() for name, array in state.optimizer_arrays.items()},
        "schedule": state.schedule,
    }


def assert_same(path: Path, other: Path) -> None:
    found, expected = content(path), content(other)
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


VARIANTS: list[tuple[dict[str, Any], int]] = [
    ({"epochs": 2}, 1),
    ({}, 3),
    ({"optimizer": AdamWSettings(), "accumulate": 3, "clip_norm": 0.5, "class_weights": "balanced"}, 1),
    ({"schedule": ScheduleSettings(name="cosine", warmup_epochs=0.5), "augment": "light", "views": 2}, 4),
    ({"schedule": ScheduleSettings(name="one-cycle"), "augment": "standard", "batch_size": 6, "epochs": 2}, 2),
    ({"freeze": UP_TO_LAYER3, "head_lr": 0.01, "ema": 0.8, "batch_size": 8, "epochs": 2}, 1),
    ({"freeze": [], "batch_size": 8, "epochs": 2, "schedule": ScheduleSettings(name="step", step_size=1)}, 1),
    ({"mode": "train", "batch_size": 8, "epochs": 2}, 1),
]


@pytest.mark.parametrize(("changes", "stop_after"), VARIANTS)
def test_a_run_stopped_again_and_again_ends_with_the_same_bits(
    changes: dict[str, Any], stop_after: int, settings: FinetuneSettings, tmp_path: Path
) -> None:
    settings = replace(settings, **changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_whole(settings, whole)
    finetuning = start(settings, parts, stop_after)
    records, stops = [], 0
    while finetuning.stopped is not None:
        stops += 1
        summary = RunFolder(parts).summary()
        assert summary is not None
        assert summary["status"] == "stopped"
        finetuning, some = resume(parts, stop_after)
        records += some
    assert stops >= 2
    assert_same(parts, whole)
    with pytest.raises(RunFolderError, match="parts: the run is finished; there is nothing to resume"):
        Finetuning.resume(RunFolder.existing(parts))


@pytest.mark.parametrize("changes", [{}, {"augment": "light", "freeze": UP_TO_LAYER3}], ids=["kept", "anew"])
def test_stops_beside_images_that_cannot_be_read(
    changes: dict[str, Any], settings: FinetuneSettings, tmp_path: Path
) -> None:
    photos = write_folder(tmp_path / "photos")
    finetuning = Finetuning(replace(settings, data=str(photos)))
    for data, position in ((finetuning.train_data, 0), (finetuning.train_data, 1), (finetuning.val_data, 0)):
        (photos / data.name(position)).write_bytes(b"broken")
    settings = replace(settings, data=str(photos), epochs=2, batch_size=2, **changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_whole(settings, whole)
    finetuning = start(settings, parts, 3)
    while finetuning.stopped is not None:
        finetuning, _ = resume(parts, 3)
    assert len(content(parts)["summary"]["data"]["skipped"]) == 3
    assert_same(parts, whole)


KILLED = """
import sys
from pathlib import Path
from gradcli.training.finetune import Finetuning
from gradcli.training.finetune_options import settings_of
from gradcli.training.run_folder import RunFolder
import tomllib

path = Path(sys.argv[1])
if (path / "config.toml").exists():
    folder = RunFolder.existing(path)
    finetuning = Finetuning.resume(folder)
else:
    folder = RunFolder.check(path)
    finetuning = Finetuning(settings_of(tomllib.loads(Path(sys.argv[2]).read_text()), sys.argv[2]))
print("ready", flush=True)
for record in finetuning.run(folder, finetuning.config(), on_batch=lambda progress: print("batch", flush=True)):
    pass
print("done", flush=True)
"""


def test_runs_killed_at_any_moment_end_with_the_same_bits(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, epochs=8, checkpoint_every="1", optimizer=AdamWSettings())
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_whole(settings, whole)
    # After how many lines of output to kill: before the first checkpoint, within an epoch, at its end,.
    for lines in (1, 2, 8, 9, None):
        command = [sys.executable, "-c", KILLED, str(parts), str(whole / "config.toml")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(lines or 0):
                assert process.stdout.readline() in ("ready\n", "batch\n")
            if lines is None:
                assert process.stdout.read().endswith("done\n")
            else:
                time.sleep(0.001 * lines)
                process.send_signal(signal.SIGKILL)
        assert process.returncode == (0 if lines is None else -signal.SIGKILL)
    assert_same(parts, whole)


def test_a_run_without_a_checkpoint_starts_at_its_beginning(settings: FinetuneSettings, tmp_path: Path) -> None:
    run_whole(settings, tmp_path / "whole")
    folder = RunFolder.check(tmp_path / "run")
    folder.create(Finetuning(settings).config())
    folder.add_metrics({"epoch": 1})
    folder.release()
    _, records = resume(tmp_path / "run")
    assert len(records) == settings.epochs
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_ended_between_its_last_checkpoint_and_its_summary(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    run_whole(settings, tmp_path / "whole")
    run_whole(settings, tmp_path / "run")
    for name in ("summary.json", "model.safetensors", "last.safetensors"):
        (tmp_path / "run" / name).unlink()
    _, records = resume(tmp_path / "run")
    assert records == []
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_early_stopping_counts_the_epochs_before_a_stop(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, epochs=30, patience=2, optimizer=SGDSettings(lr=0.0))
    run_whole(settings, tmp_path / "whole")
    assert len(content(tmp_path / "whole")["metrics"]) == 3  # nothing moves, so only the first one is progress
    start(settings, tmp_path / "run", stop_after=12)
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_the_generator_goes_on_where_it_was(settings: FinetuneSettings, tmp_path: Path) -> None:
    run_whole(settings, tmp_path / "whole")
    expected = rand(3).array
    start(settings, tmp_path / "run", stop_after=5)
    rand(100)
    resume(tmp_path / "run")
    np.testing.assert_array_equal(rand(3).array, expected)


def test_two_processes_cannot_use_one_folder(settings: FinetuneSettings, tmp_path: Path) -> None:
    start(settings, tmp_path / "run", stop_after=5)
    folder = RunFolder.existing(tmp_path / "run")
    records = Finetuning.resume(folder).run(folder, {})
    next(records)
    with pytest.raises(RunFolderError, match="run: another run is using this folder; wait for its end, or stop it"):
        RunFolder.existing(tmp_path / "run")
    records.close()  # type: ignore[attr-defined]
    resume(tmp_path / "run")


def test_data_that_changed_since_is_refused_by_name(settings: FinetuneSettings, tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    settings = replace(settings, data=str(photos))
    start(settings, tmp_path / "run", stop_after=5)
    os.utime(photos / "class1" / "01.png", (1, 1))
    with pytest.raises(DataError, match=r"photos: changed since the run in .*run began; expected the same images"):
        resume(tmp_path / "run")
    (photos / "class1" / "01.png").unlink()
    with pytest.raises(DataError, match=r"photos: changed since the run in .*run began"):
        resume(tmp_path / "run")


def test_other_start_weights_are_refused(settings: FinetuneSettings, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    save_model(weights, load_model(settings.weights))
    settings = replace(settings, weights=str(weights))
    start(settings, tmp_path / "run", stop_after=5)
    tensors = load_checkpoint(weights).tensors
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] += 1
    save_safetensors(weights, tensors)
    with pytest.raises(WeightsError, match=r"mine\.safetensors: not the weights that the run in .*run began with"):
        resume(tmp_path / "run")


def test_a_checkpoint_of_another_run_is_refused(settings: FinetuneSettings, tmp_path: Path) -> None:
    start(settings, tmp_path / "run", stop_after=5)
    start(replace(settings, optimizer=AdamWSettings(), freeze=UP_TO_LAYER3), tmp_path / "other", stop_after=5)
    state_file = RunFolder(tmp_path / "run").state_file
    state, other = load_run_state(state_file), load_run_state(RunFolder(tmp_path / "other").state_file)
    assert state is not None
    assert other is not None
    save_run_state(state_file, other)
    with pytest.raises(UsageError, match=r"config\.toml: betas is not given, but the run began with \[0\.9, 0\.999\]"):
        resume(tmp_path / "run")
    save_run_state(state_file, replace(other, options=state.options))
    with pytest.raises(RunFolderError, match=r"state\.safetensors: doesn't fit this run \(other tensors train"):
        resume(tmp_path / "run")


def test_options_that_changed_since_are_refused_unless_they_change_no_result(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    run_whole(replace(settings, checkpoint_every="2"), tmp_path / "whole")
    start(settings, tmp_path / "run", stop_after=5)
    config = tmp_path / "run" / "config.toml"
    text = config.read_text()
    for line, changed in (
        ("lr = 0.05", "lr = 0.5"),
        ("batch-size = 4", "batch-size = 8"),
        ("epochs = 3", "epochs = 9"),
    ):
        config.write_text(text.replace(line, changed))
        name, before = line.split(" = ")
        with pytest.raises(
            UsageError, match=rf"config\.toml: {name} is {changed.split()[-1]}, but the run began with {before}; put"
        ):
            resume(tmp_path / "run")
    config.write_text(text.replace('checkpoint-every = "60s"', 'checkpoint-every = "2"'))
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_failure_of_the_metrics_has_no_epoch_twice(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_whole(settings, tmp_path / "whole")
    add_metrics = RunFolder.add_metrics

    def fail_once(folder: RunFolder, record: Any) -> None:
        monkeypatch.setattr(RunFolder, "add_metrics", add_metrics)
        raise DataError(f"{folder.path / 'metrics.jsonl'}: cannot be written: No space left on device")

    monkeypatch.setattr(RunFolder, "add_metrics", fail_once)
    with pytest.raises(DataError, match=r"metrics\.jsonl: cannot be written"):
        start(settings, tmp_path / "run", stop_after=1000)
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_failure_between_the_batches_of_a_step_leaves_the_statistics_of_before(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    photos = write_folder(tmp_path / "photos")
    settings = replace(settings, data=str(photos), strict=True, mode="train", accumulate=2, batch_size=2, epochs=1)
    run_whole(settings, tmp_path / "whole")
    finetuning = Finetuning(replace(settings, checkpoint_every="1"))
    last = training_batches(finetuning.train_data, settings, 1)[3][0]  # the second batch of the second step
    broken = photos / finetuning.train_data.name(last)
    content_before, times = broken.read_bytes(), broken.stat()
    broken.write_bytes(b"broken")
    with pytest.raises(DataError, match=broken.name):
        run(finetuning, RunFolder.check(tmp_path / "run"))
    broken.write_bytes(content_before)
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    config = tmp_path / "run" / "config.toml"
    state = load_run_state(RunFolder(tmp_path / "run").state_file)
    assert state is not None
    # As if the file had been unreadable for a moment, with the data the same at the beginning and in the end.
    whole = load_run_state(RunFolder(tmp_path / "whole").state_file)
    assert whole is not None
    save_run_state(RunFolder(tmp_path / "run").state_file, replace(state, data=whole.data))
    assert state.steps == 1
    config.write_text((tmp_path / "whole" / "config.toml").read_text())
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_diverges_in_its_first_epoch_leaves_no_weights(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, freeze=[], batch_size=8, optimizer=SGDSettings(lr=1e30), checkpoint_every="1")
    finetuning = Finetuning(settings)
    with pytest.raises(DivergedError, match="in epoch 1, batch 2"):
        run(finetuning, RunFolder.check(tmp_path / "run"))
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoint", "config.toml", "summary.json"]


def test_other_versions_are_told(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start(settings, tmp_path / "run", stop_after=5)
    monkeypatch.setattr(finetune_run, "versions", lambda: {"gradcli": "99", "numpy": "98", "python": "97"})
    with caplog.at_level(logging.WARNING):
        resume(tmp_path / "run")
    assert "goes on with gradcli 99, numpy 98, python 97: the last bits of results may differ" in caplog.text


def test_a_run_that_diverges_keeps_its_best_epoch_and_says_so(settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = Finetuning(replace(settings, checkpoint_every="1"))
    records = finetuning.run(RunFolder.check(tmp_path / "run"), finetuning.config())
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


def test_a_full_disk_leaves_the_checkpoint_of_before(settings: FinetuneSettings, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    run_whole(settings, tmp_path / "whole")
    settings = replace(settings, checkpoint_every="1")
    finetuning = Finetuning(settings)
    records = finetuning.run(RunFolder.check(tmp_path / "run"), finetuning.config())
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
    found, expected = content(tmp_path / "run"), content(tmp_path / "whole")
    assert found["metrics"] == expected["metrics"]
    assert found["momenta"] == expected["momenta"]
    weights = [load_model(tmp_path / name).model.fc.weight.array for name in ("run", "whole")]
    np.testing.assert_array_equal(*weights)


def test_a_run_that_fails_later_keeps_what_it_has(settings: FinetuneSettings, tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    settings = replace(settings, data=str(photos), strict=True, augment="light", epochs=2)
    finetuning = Finetuning(settings)
    records = finetuning.run(RunFolder.check(tmp_path / "run"), finetuning.config())
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
        run(finetuning, RunFolder.check(tmp_path / "run"), on_batch=move)
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
    assert entries["gradcli.config"] == (tmp_path / "run" / "config.toml").read_text()
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
    save = finetune_run.save_run_state

    def note(path: Path, state: Any) -> None:
        saved.append((state.epoch, state.steps))
        save(path, state)

    monkeypatch.setattr(finetune_run, "save_run_state", note)
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
    monkeypatch.setattr(finetune_run, "SECONDS_BETWEEN_WEIGHTS", 0.0)
    finetuning = Finetuning(replace(settings, checkpoint_every="1"))
    records = finetuning.run(RunFolder.check(tmp_path / "run"), finetuning.config())
    next(records)
    weight = load_model(tmp_path / "run").model.fc.weight.array
    np.testing.assert_array_equal(weight, finetuning.model.fc.weight.array)
    assert len(list(records)) == 2


def test_a_stop_while_features_are_computed(settings: FinetuneSettings, tmp_path: Path) -> None:
    run_whole(settings, tmp_path / "whole")
    finetuning, seen = Finetuning(replace(settings, feature_cache=False)), []
    folder = RunFolder.check(tmp_path / "run")
    config = Finetuning(settings).config()
    records = finetuning.run(
        folder, config, on_features=lambda done, total: seen.append(done), should_stop=lambda: bool(seen)
    )
    assert list(records) == []
    assert finetuning.stopped == 1
    np.testing.assert_array_equal(load_model(tmp_path / "run").model.fc.weight.array, finetuning.model.fc.weight.array)
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


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
