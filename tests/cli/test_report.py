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
