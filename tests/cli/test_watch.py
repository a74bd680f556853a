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
from gradcli.cli.ranking_options import RankingOptions
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
        "loss": 0.75,
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


def picture(path: Path, status: RunStatus, height: int | None = None, width: int = 120, **ranking: Any) -> str:
    from rich.console import Console

    follower = RunFollower(path)
    follower.new_records()
    file = io.StringIO()
    Console(file=file, width=width).print(
        run_picture(follower.history, status, width, height, RankingOptions(**ranking))
    )
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
    assert "step 8 in epoch 2: loss 0.75, learning rate 0.01" in shown
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines() if line.strip()}
    assert lines["train loss"].split() == ["train", "loss", "0.5", "0.5", "1", "█▁"]
    assert lines["loss by step"].split() == ["loss", "by", "step", "0.75", "0.75", "0.75", "██"]
    assert lines["all layers"].split() == ["all", "layers", "2.5", "0.12", "!", "▄▄"]
    assert lines["fc"].split() == ["fc", "100", "█▇"]
    assert lines["conv1"].split() == ["conv1", "0.01", "▂▁"]
    assert set(LAYERS) <= set(lines)


def test_a_low_terminal_shows_the_layers_of_the_largest_gradients(folder: Path) -> None:
    shown = picture(folder, RunStatus(False, "finished"), height=10)
    assert names_in(shown) == LAYERS[2:]
    assert "2 more: --once shows all" in shown


@pytest.mark.parametrize(("width", "bars"), [(40, 0), (50, 8), (80, 32)])
def test_a_narrow_terminal_has_fewer_bars_but_whole_numbers(folder: Path, width: int, bars: int) -> None:
    for epoch in range(2, 40):
        append(folder, epoch)
    with (folder / "metrics.jsonl").open("a") as file:
        layers = [{"name": "layer4.1.downsample.0", "grad_norm": 1.25e-5, "update_ratio": 3.5e-5}]
        file.write(json.dumps({**records(40)[0], "layers": layers}) + "\n")
    lines = picture(folder, RunStatus(True), width=width).splitlines()
    assert max(map(len, lines)) <= width
    (loss,) = [line for line in lines if line.startswith(" train loss")]
    assert loss.split()[2:5] == ["0.02564", "0.02564", "1"]
    (layer,) = [line for line in lines if line.startswith(" layer4")]
    assert layer.split()[1:3] == ["1.25e-05", "3.5e-05"]
    assert len("".join(loss.split()[5:])) == bars


def test_a_record_of_no_layers_has_a_picture(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text(json.dumps({**records(1)[0], "layers": []}) + "\n")
    assert "step 4 in epoch 1: loss 0.75" in picture(folder, RunStatus(True))


def names_in(shown: str) -> list[str]:
    return [line.split()[0] for line in shown.splitlines() if line.split() and line.split()[0] in LAYERS]


def write_gradients(folder: Path, *steps: dict[str, tuple[Any, Any]], **fields: Any) -> None:
    """Replace the run's records by these steps: for each layer its norm and update ratio."""
    with (folder / "metrics.jsonl").open("w") as file:
        for step, layers in enumerate(steps, start=1):
            of_layers = [
                {"name": name, "grad_norm": norm, "update_ratio": ratio} for name, (norm, ratio) in layers.items()
            ]
            record = {**records(1)[0], "step": step, "update_ratio": 0.001, "layers": of_layers, **fields}
            file.write(json.dumps(record) + "\n")


def test_layers_are_in_the_order_asked_for(folder: Path) -> None:
    write_gradients(folder, {"conv1": (1.0, 0.01), "fc": (2.0, None), "layer1.0.conv1": (0.5, "nan")})
    ended = RunStatus(False, "finished")
    assert names_in(picture(folder, ended)) == ["conv1", "fc", "layer1.0.conv1"]
    assert names_in(picture(folder, ended, sort="grad_norm")) == ["fc", "conv1", "layer1.0.conv1"]
    assert names_in(picture(folder, ended, sort="update_ratio")) == ["layer1.0.conv1", "conv1", "fc"]
    assert names_in(picture(folder, ended, sort="name", top=2)) == ["conv1", "fc"]
    for epoch in range(2, 5):
        append(folder, epoch)
    assert names_in(picture(folder, ended, height=10, sort="grad_norm", smallest_first=True)) == LAYERS[:3]


@pytest.mark.parametrize("name", ["digits", "digits" * 20])
def test_a_live_picture_fits_the_terminal(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = {f"layer{number}": (float(number + 1), 0.2) for number in range(40)}
    write_gradients(folder, layers)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(records(1)[1]) + "\n")
    monkeypatch.chdir(folder.rename(folder.parent / name).parent)
    lines = picture(Path(name), RunStatus(True), height=30, width=80).splitlines()
    assert len(lines) == 30
    assert lines[-1] == f"{28 if name == 'digits' else 29} more: --once shows all"


def test_large_update_ratios_are_marked_from_the_first_step_on(folder: Path) -> None:
    ended = RunStatus(False, "finished")
    write_gradients(folder, {"conv1": (1.0, 0.01), "fc": (1.0, 0.004)}, {"conv1": (1.0, 0.003), "fc": (1.0, 0.02)})
    shown = picture(folder, ended)
    assert "largest update ratio 0.02: fc at step 2" in shown
    assert "!" not in shown
    steps = [{"conv1": (1.0, first), "fc": (1.0, second)} for first, second in ((0.01, 0.1), (0.2, 0.3), (9.0, 0.05))]
    write_gradients(folder, *steps)
    shown = picture(folder, ended)
    assert "! update ratio above 0.1, first at step 2: fc (0.3)" in shown
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    assert lines["conv1"][2:4] == ["9", "!"]
    assert lines["fc"][2:3] == ["0.05"]
    assert "!" not in lines["fc"]
    write_gradients(folder, {"conv1": (1.0, "inf"), "fc": (0.0, 0.05)})
    assert "first at step 1: conv1 (inf)" in picture(folder, ended)


def test_norms_of_all_layers_have_one_scale_and_zero_is_told(folder: Path) -> None:
    norms = ((1e-4, 1e4), (0.0, 1e4), (1e-4, "inf"), (1.0, 1e4))
    write_gradients(folder, *({"conv1": (one, None), "fc": (two, None)} for one, two in norms), grad_norm=1e4)
    lines = {line.split()[0]: line.split() for line in picture(folder, RunStatus(True)).splitlines() if line.split()}
    assert lines["conv1"] == ["conv1", "1", "▁0▁▅"]
    assert lines["fc"] == ["fc", "1e+04", "██!█"]


def test_where_a_run_diverged_stands_on_a_line_of_its_own(folder: Path) -> None:
    write_gradients(folder, {"fc": (1.0, 0.5)}, loss=34804205069174394880.0, lr=100.0)
    error = "the gradient of layer3.1.bn2.weight is not finite in epoch 1, batch 9, at learning rate 100"
    lines = picture(folder, RunStatus(False, "diverged", error)).splitlines()
    assert lines[0].endswith("digits  diverged  epoch 0 of 3 done")
    assert lines[1] == f"diverged: {error}"
    assert "step 1 in epoch 1: loss 3.48e+19, learning rate 100" in lines


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
    assert row_of_values([1.0, 2.0], bounds=(0.0, 2.0)) == "▅█"
    assert len(row_of_values([float(number) for number in range(100)], width=7)) == 7


def test_a_record_for_each_layer(gradcli: Callable[..., Any], folder: Path) -> None:
    append(folder, 2)
    result = gradcli("watch", folder, "--layers", "--sort", "grad_norm", "--top", 2, "--format", "csv")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "kind,epoch,step,name,grad_norm,update_ratio",
        "layer,1,4,fc,1000.0,",
        "layer,1,4,layer2.0.conv1,100.0,",
        "layer,2,8,fc,100.0,",
        "layer,2,8,layer2.0.conv1,10.0,",
    ]


def test_layers_inside_records_are_ordered_too(gradcli: Callable[..., Any], folder: Path) -> None:
    write_gradients(folder, {"conv1": (1.0, 0.5), "fc": ("inf", None)})
    result = gradcli("watch", folder, "--sort", "grad_norm", "--json")
    (record,) = map(json.loads, result.stdout.splitlines())
    assert record["layers"] == [
        {"name": "fc", "grad_norm": "inf", "update_ratio": None},
        {"name": "conv1", "grad_norm": 1.0, "update_ratio": 0.5},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--sort", "loss"),
            "--sort 'loss': there is no such field to sort by; take one of name, grad_norm, update_ratio",
        ),
        (("--sort", "name"), "--sort is for layers, which table shows with --layers; add it"),
        (("--top", "2", "--format", "csv"), "--top is for layers, which csv shows with --layers; add it"),
    ],
)
def test_orders_that_mean_nothing_are_refused(
    gradcli: Callable[..., Any], folder: Path, words: tuple[str, ...], message: str
) -> None:
    result = gradcli("watch", folder, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_folder_of_no_run(gradcli: Callable[..., Any], tmp_path: Path) -> None:
    result = gradcli("watch", tmp_path)
    assert result.exit_code == 3
    assert "expected the folder of a run that began" in result.stderr
