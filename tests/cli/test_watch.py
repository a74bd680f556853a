"""`gradcli watch`: records as they come, the picture on a terminal, and the end of a run."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcli.cli import watch as watch_command
from gradcli.cli.run_picture import row_of_values, run_picture
from gradcli.hub.file_lock import acquire, release
from gradcli.inspection.training_runs.history import RunFollower, RunStatus

LAYERS = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "fc"]


def records(epoch: int) -> list[dict[str, Any]]:
    gradients = {
        "kind": "gradients",
        "epoch": epoch,
        "step": 4 * epoch,
        "lr": 0.01,
        "grad_norm": 2.5,
        "update_ratio": 0.125,
        "layers": [
            {"name": name, "grad_norm": 10.0 ** (place - epoch), "update_ratio": None}
            for place, name in enumerate(LAYERS)
        ],
    }
    numbers = {"train_loss": 1 / epoch, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25}
    return [gradients, {"epoch": epoch, **numbers, "lr": 0.01, "seconds": 1.5, "kernels": "fast"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "digits"
    path.mkdir()
    (path / "config.toml").write_text('data = "digits"\nepochs = 3\nlog-grads = "epoch"\n')
    append(path, 1)
    return path


def append(path: Path, epoch: int) -> None:
    with (path / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records(epoch))


def picture(path: Path, status: RunStatus, height: int | None = None, width: int = 120) -> str:
    from rich.console import Console

    follower = RunFollower(path)
    follower.new_records()
    file = io.StringIO()
    Console(file=file, width=width).print(run_picture(follower.history, status, width, height))
    return file.getvalue()


def test_records_so_far_as_rows(gradcli: Callable[..., Any], folder: Path) -> None:
    result = gradcli("watch", folder)
    assert result.exit_code == 0, result.stderr
    heading, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    gradients, epoch = (dict(zip(heading, row, strict=True)) for row in rows)
    assert (gradients["kind"], gradients["step"], gradients["grad_norm"], gradients["val_loss"]) == (
        "gradients",
        "4",
        "2.5",
        "",
    )
    assert (epoch["kind"], epoch["epoch"], epoch["train_loss"], epoch["grad_norm"]) == ("epoch", "1", "1.0", "")
    assert "digits: ended without a summary" in result.stderr


def test_records_are_followed_until_the_run_ends(
    gradcli: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = folder / ".lock"
    descriptor = acquire(lock)
    assert descriptor is not None
    looks = threading.Event()

    def train() -> None:
        looks.wait(20)
        append(folder, 2)
        (folder / "summary.json").write_text('{"status": "finished", "error": null}')
        release(lock, descriptor)

    monkeypatch.setattr(watch_command.time, "sleep", lambda seconds: looks.set())
    thread = threading.Thread(target=train)
    thread.start()
    result = gradcli("watch", folder, "--format", "jsonl")
    thread.join()
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    expected = [
        {"schema": "gradcli.watch/1", "kind": "epoch"} | record for epoch in (1, 2) for record in records(epoch)
    ]
    assert lines == expected
    assert "digits: finished" in result.stderr


def test_once_does_not_wait(gradcli: Callable[..., Any], folder: Path) -> None:
    descriptor = acquire(folder / ".lock")
    assert descriptor is not None
    try:
        result = gradcli("watch", folder, "--once", "--format", "csv")
    finally:
        release(folder / ".lock", descriptor)
    assert len(result.stdout.splitlines()) == 3
    assert "digits: running" in result.stderr


def test_the_picture_has_curves_and_layers(folder: Path) -> None:
    append(folder, 2)
    shown = picture(folder, RunStatus(True))
    assert "running  epoch 2 of 3 done" in shown
    assert "gradients of step 8 in epoch 2: norm 2.5, update ratio 0.12, learning rate 0.01" in shown
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines() if line.strip()}
    assert lines["train loss"].split() == ["train", "loss", "0.5000", "0.5000", "1.0000", "█▁"]
    assert lines["fc"].split() == ["fc", "100", "█▁"]
    assert set(LAYERS) <= set(lines)


def test_a_low_terminal_shows_the_layers_of_the_largest_gradients(folder: Path) -> None:
    shown = picture(folder, RunStatus(False, "finished"), height=10)
    names = [line.split()[0] for line in shown.splitlines() if line.split() and line.split()[0] in LAYERS]
    assert names == LAYERS[2:]
    assert "2 more" in shown


@pytest.mark.parametrize(("width", "bars"), [(40, 0), (50, 9), (80, 32)])
def test_a_narrow_terminal_has_fewer_bars_but_whole_numbers(folder: Path, width: int, bars: int) -> None:
    for epoch in range(2, 40):
        append(folder, epoch)
    with (folder / "metrics.jsonl").open("a") as file:
        layers = [{"name": "layer4.1.downsample.0", "grad_norm": 1.25e-5, "update_ratio": 3.5e-5}]
        file.write(json.dumps({**records(40)[0], "layers": layers}) + "\n")
    lines = picture(folder, RunStatus(True), width=width).splitlines()
    assert max(map(len, lines)) <= width
    (loss,) = [line for line in lines if line.startswith(" train loss")]
    assert loss.split()[2:5] == ["0.0256", "0.0256", "1.0000"]
    (layer,) = [line for line in lines if line.startswith(" layer4")]
    assert layer.split()[1:3] == ["1.25e-05", "3.5e-05"]
    assert len("".join(loss.split()[5:])) == bars


def test_a_record_of_no_layers_has_a_picture(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text(json.dumps({**records(1)[0], "layers": []}) + "\n")
    assert "gradients of step 4" in picture(folder, RunStatus(True))


def test_before_the_first_record_and_without_gradients(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    assert "no records yet" in picture(folder, RunStatus(True))
    (folder / "config.toml").write_text('data = "digits"\n')
    (folder / "metrics.jsonl").write_text(json.dumps(records(1)[1]) + "\n")
    assert "no gradients: begin a run with --log-grads epoch" in picture(folder, RunStatus(True))


def test_rows_of_values_mark_what_is_not_finite() -> None:
    assert row_of_values([0.0, 0.5, 1.0]) == "▁▅█"
    assert row_of_values([0.0, float("nan"), 1.0]) == "▁!█"
    assert row_of_values([float("inf")]) == "!"
    assert row_of_values([2.0, 2.0]) == "██"
    assert len(row_of_values([float(number) for number in range(100)], width=7)) == 7


def test_a_folder_of_no_run(gradcli: Callable[..., Any], tmp_path: Path) -> None:
    result = gradcli("watch", tmp_path)
    assert result.exit_code == 3
    assert "expected the folder of a run that began" in result.stderr
