"""`gradcli report`: the file, the weights it is of, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest

SMALL = ("--shape", "2,3,33,33")


def test_the_page_has_the_numbers_of_grads(
    gradcli: Callable[..., Any], gradcli_json: Callable[..., Any], model_file: Path
) -> None:
    result = gradcli("report", "-w", model_file, *SMALL, "--depth", 1, "-o", "report.html")
    assert result.exit_code == 0, result.stderr
    page = Path("report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    norm = gradcli_json("grads", "-w", model_file, *SMALL)["total"]["norm"]
    assert f">{norm!r}<" in page
    assert "The run" not in page


def test_a_run_brings_its_curves_and_its_weights(gradcli: Callable[..., Any], model_file: Path) -> None:
    run = Path("<b>run")
    run.mkdir()
    shutil.copy(model_file, run / "model.safetensors")
    (run / "config.toml").write_text('data = "digits"\n')
    record = {"epoch": 1, "train_loss": 0.123456789, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25}
    (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    result = gradcli("report", run, *SMALL)
    assert result.exit_code == 0, result.stderr
    assert ">0.123456789<" in result.stdout
    assert f"Gradients of {escape(str(run))}</h1>" in result.stdout
    assert "<b>run" not in result.stdout


@pytest.fixture
def diverged(tmp_path: Path) -> Path:
    """The folder of a run that diverged in its first epoch: two steps' gradients and no weights."""
    run = tmp_path / "diverged run"
    run.mkdir()
    (run / "config.toml").write_text('data = "digits"\nlog-grads = "1"\n')
    (run / "summary.json").write_text('{"status": "diverged", "error": "the loss is nan in epoch 1, batch 3"}')
    layers = [{"name": "fc", "grad_norm": 2.0, "update_ratio": 0.5}]
    record = {"kind": "gradients", "epoch": 1, "lr": 100.0, "grad_norm": 2.0, "update_ratio": 0.5, "layers": layers}
    records = [record | {"step": step, "loss": loss} for step, loss in ((1, 2.302585), (2, 34804205069174394880.0))]
    (run / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return run


def test_a_run_without_weights_is_shown_beside_others(
    gradcli: Callable[..., Any], model_file: Path, diverged: Path
) -> None:
    refused = gradcli("report", diverged, *SMALL)
    assert refused.exit_code == 4
    assert refused.stderr.endswith(
        f"error: {diverged}: this run kept no weights; gradcli watch '{diverged}' shows its records, and -w NAME puts "
        "them beside the gradients of other weights\n"
    )
    result = gradcli("report", diverged, "-w", model_file, *SMALL)
    assert result.exit_code == 0, result.stderr
    assert f"{escape(str(diverged))}: diverged: the loss is nan in epoch 1, batch 3." in result.stdout
    assert "Loss by step" in result.stdout
    assert ">2.302585<" in result.stdout
    assert ">3.4804205069174395e+19<" in result.stdout


def test_a_loss_that_is_not_finite_is_reported_before_the_command_fails(
    gradcli: Callable[..., Any], overflowing_file: Path
) -> None:
    result = gradcli("report", "-w", overflowing_file, *SMALL, "-o", "report.html")
    assert result.exit_code == 5
    assert "Not finite: gradients of" in Path("report.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nothing",), 3, "nothing: has no config.toml; expected the folder of a run that began"),
        (("--freeze", "*"), 2, "there is no gradient"),
        (("--format", "html", "-o", "report.json"), 2, "report.json"),
    ],
)
def test_what_makes_no_report(
    gradcli: Callable[..., Any], model_file: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    result = gradcli("report", *words, "-w", model_file, *SMALL)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not list(Path().glob("report.*"))
