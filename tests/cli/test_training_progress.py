"""Progress of a training run: on a terminal a bar that lives, elsewhere a line for each epoch."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from terminal import Terminal, needs_terminal

from gradcli.cli import training_progress
from gradcli.cli.training_progress import TrainingProgress
from gradcli.training.finetuning.records import EpochProgress


def test_bars_follow_each_other_and_count_images(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "gradcli"), TrainingProgress(epochs=3, images=20, epochs_done=1) as progress:
        progress.features(16, 20)
        progress.features(20, 20)
        progress.batch(EpochProgress(2, 8, 0.5, 0.25))
        progress.batch(EpochProgress(2, 20, 0.25, 0.5))
        progress.batch(EpochProgress(3, 8, 34804805069174394880.0, 1.0))
    assert caplog.messages == [
        "features of the frozen layers: 16 of 20 images",
        "features of the frozen layers: 20 of 20 images",
        "training: 28 of 60 images, epoch 2/3, loss 0.5, accuracy 25.0 %",
        "training: 40 of 60 images, epoch 2/3, loss 0.25, accuracy 50.0 %",
        "training: 48 of 60 images, epoch 3/3, loss 3.48e+19, accuracy 100.0 %",
    ]


def test_a_quick_run_has_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gradcli"), TrainingProgress(epochs=1, images=20) as progress:
        progress.features(20, 20)
        progress.batch(EpochProgress(1, 20, 0.25, 0.5))
    assert caplog.messages == []


@needs_terminal
def test_a_terminal_sees_bars_with_images_a_second_loss_and_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["finetune", "digits", "--freeze-backbone", "--epochs", "20", "--run", "run", "--json"]
    terminal = Terminal(["-m", "gradcli"], words, ["stderr"], columns=160)
    assert terminal.exit_code == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown.decode())
    assert re.search(r"features of the frozen layers .*[\d,]+/1797", shown)
    assert re.search(
        r"training .*\d+/35940 +[\d,]+ images/s [\d:]+ epoch \d+/20, loss \d\S*, accuracy \d+\.\d %", shown
    )
    assert "epoch 20/20: loss" in shown
    assert len(terminal.piped.splitlines()) == 20
