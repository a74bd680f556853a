"""Runs that were stopped, killed or cut off go on to the bits of the run that never was; others are refused by name."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning_runs import UP_TO_LAYER3, assert_same, content, resume, run_whole, start
from labelled_images import write_folder

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import DataError, DivergedError, RunFolderError, UsageError, WeightsError
from gradcli.models import load_model
from gradcli.ops.random import rand
from gradcli.training.finetuning import run_state
from gradcli.training.finetuning.data import training_batches
from gradcli.training.finetuning.options import settings_of
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.run_state import load_run_state, save_run_state
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.optimizers import AdamWSettings, SGDSettings
from gradcli.training.saving import save_model
from gradcli.training.schedules import ScheduleSettings

# What differs from the settings, and after how many batches each time to stop: two or three times.
VARIANTS: list[tuple[dict[str, Any], int]] = [
    ({"epochs": 2}, 4),
    ({"optimizer": AdamWSettings(), "accumulate": 3, "clip_norm": 0.5, "class_weights": "balanced", "epochs": 2}, 3),
    ({"schedule": ScheduleSettings(name="cosine", warmup_epochs=0.5), "augment": "light", "views": 2}, 6),
    ({"schedule": ScheduleSettings(name="one-cycle"), "augment": "standard", "batch_size": 6, "epochs": 2}, 3),
    ({"freeze": UP_TO_LAYER3, "head_lr": 0.01, "ema": 0.8, "batch_size": 8, "epochs": 2}, 2),
    ({"freeze": [], "batch_size": 8, "epochs": 2, "schedule": ScheduleSettings(name="step", step_size=1)}, 2),
    ({"mode": "train", "batch_size": 8, "epochs": 2}, 2),
    ({"freeze": UP_TO_LAYER3, "augment": "light", "train_sizes": (40, 32), "batch_size": 6, "epochs": 2}, 2),
    ({"augment": "standard", "train_sizes": (40, 32, 32), "accumulate": 2, "image_size": 48, "batch_size": 3}, 4),
]


@pytest.mark.parametrize(("changes", "stop_after"), VARIANTS)
def test_a_run_stopped_again_and_again_ends_with_the_same_bits(
    changes: dict[str, Any], stop_after: int, settings: FinetuneSettings, tmp_path: Path
) -> None:
    settings = replace(settings, **changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_whole(settings, whole)
    run = start(settings, parts, stop_after)
    records, stops = [], 0
    while run.stopped is not None:
        stops += 1
        summary = RunFolder(parts).summary()
        assert summary is not None
        assert summary["status"] == "stopped"
        run, some = resume(parts, stop_after)
        records += some
    assert stops >= 2
    assert_same(parts, whole)
    with pytest.raises(RunFolderError, match="parts: the run is finished; there is nothing to resume"):
        FinetuneRun.resume(RunFolder.existing(parts))


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
    run = start(settings, parts, 3)
    while run.stopped is not None:
        run, _ = resume(parts, 3)
    assert len(content(parts)["summary"]["data"]["skipped"]) == 3
    assert_same(parts, whole)


KILLED = """
import sys
from pathlib import Path
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.finetuning.options import settings_of
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
import tomllib

path = Path(sys.argv[1])
if (path / "config.toml").exists():
    run = FinetuneRun.resume(RunFolder.existing(path))
else:
    finetuning = Finetuning(settings_of(tomllib.loads(Path(sys.argv[2]).read_text()), sys.argv[2]))
    run = FinetuneRun(finetuning, RunFolder.check(path))
print("ready", flush=True)
for record in run.records(run.finetuning.config(), on_batch=lambda progress: print("batch", flush=True)):
    pass
print("done", flush=True)
"""


def test_runs_killed_at_any_moment_end_with_the_same_bits(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, epochs=4, checkpoint_every="1", optimizer=AdamWSettings())
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_whole(settings, whole)
    # After how many lines of output to kill: before the first checkpoint, and within an epoch.
    for lines in (1, 8, None):
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


def test_a_run_without_a_checkpoint_starts_at_its_beginning_and_says_so(
    settings: FinetuneSettings, whole_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.check(tmp_path / "run")
    folder.create(Finetuning(settings).config())
    folder.add_metrics({"epoch": 1})
    folder.release()
    with caplog.at_level(logging.INFO):
        _, records = resume(tmp_path / "run")
    assert "run has no checkpoint yet: starts from the beginning" in caplog.text
    assert len(records) == settings.epochs
    assert_same(tmp_path / "run", whole_run)


def test_a_run_that_ended_between_its_last_checkpoint_and_its_summary(whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    for name in ("summary.json", "model.safetensors", "last.safetensors"):
        (tmp_path / "run" / name).unlink()
    _, records = resume(tmp_path / "run")
    assert records == []
    assert_same(tmp_path / "run", whole_run)


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
    records = FinetuneRun.resume(folder).records({})
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


def test_a_run_with_relative_paths_goes_on_from_another_folder(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "photos").joinpath("class2", "02.png").write_bytes(b"broken")
    save_model(tmp_path / "mine.safetensors", load_model(settings.weights))
    settings = replace(settings, data="photos", weights="mine.safetensors")
    monkeypatch.chdir(tmp_path)
    run_whole(settings, Path("whole"))
    start(settings, Path("run"), stop_after=4)
    (tmp_path / "elsewhere" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume(Path("../run"))
    assert_same(tmp_path / "run", tmp_path / "whole")
    config = RunFolder(tmp_path / "run").config()
    run_whole(settings_of(config, "config.toml"), Path("again"))
    assert_same(Path("again"), tmp_path / "whole")


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
    settings: FinetuneSettings, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_metrics = RunFolder.add_metrics

    def fail_once(folder: RunFolder, record: Any) -> None:
        monkeypatch.setattr(RunFolder, "add_metrics", add_metrics)
        raise DataError(f"{folder.path / 'metrics.jsonl'}: cannot be written: No space left on device")

    monkeypatch.setattr(RunFolder, "add_metrics", fail_once)
    with pytest.raises(DataError, match=r"metrics\.jsonl: cannot be written"):
        start(settings, tmp_path / "run", stop_after=1000)
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole_run)


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
        list(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config()))
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


@pytest.mark.parametrize(
    ("changes", "left"),
    [({"checkpoint_every": "1"}, "checkpoint"), ({"checkpoint_every": "1h", "log_grads": "1"}, "metrics.jsonl")],
)
def test_a_run_that_diverges_in_its_first_epoch_leaves_no_weights_and_is_not_resumed(
    changes: dict[str, Any], left: str, settings: FinetuneSettings, tmp_path: Path
) -> None:
    settings = replace(settings, freeze=[], batch_size=8, optimizer=SGDSettings(lr=1e30), **changes)
    finetuning = Finetuning(settings)
    with pytest.raises(DivergedError, match="in epoch 1, batch 2"):
        list(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config()))
    assert sorted(os.listdir(tmp_path / "run")) == sorted([left, "config.toml", "summary.json"])
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert (summary["status"], summary["epochs"], summary["best_epoch"]) == ("diverged", 0, None)
    assert "in epoch 1, batch 2, at learning rate 1e+30" in summary["error"]
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(
        RunFolderError, match=r"run: the run diverged, and would again; .* --config \S+config.toml --lr"
    ):
        resume(tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_run_that_diverges_before_it_wrote_anything_leaves_no_folder(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    settings = replace(settings, freeze=[], batch_size=8, optimizer=SGDSettings(lr=1e30), checkpoint_every="1h")
    finetuning = Finetuning(settings)
    with pytest.raises(DivergedError, match="in epoch 1, batch 2"):
        list(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config()))
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_when_it_starts_again_says_so(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, freeze=[], batch_size=8, optimizer=SGDSettings(lr=1e30), checkpoint_every="1h")
    folder = RunFolder.check(tmp_path / "run")
    folder.create(Finetuning(settings).config())
    folder.add_metrics({"epoch": 1})
    folder.release()
    with pytest.raises(DivergedError, match="in epoch 1, batch 2"):
        resume(tmp_path / "run")
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert summary["status"] == "diverged"


def test_other_versions_are_told(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start(settings, tmp_path / "run", stop_after=5)
    monkeypatch.setattr(run_state, "versions", lambda: {"gradcli": "99", "numpy": "98", "python": "97"})
    with caplog.at_level(logging.WARNING):
        resume(tmp_path / "run")
    assert "goes on with gradcli 99, numpy 98, python 97: the last bits of results may differ" in caplog.text
