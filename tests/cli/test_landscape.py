"""`gradcli landscape`: rows, the document, the picture, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
PASS = ("--shape", "2,3,32,32", "--loss", "cross-entropy", "--mode", "eval", "--freeze-backbone")


def test_the_document(gradcli_json: Run, model_file: Path) -> None:
    before = model_file.read_bytes()
    document = gradcli_json("landscape", "-w", model_file, *PASS, "--points", 3, "--radius", 0.5)
    loss = gradcli_json("backward", "-w", model_file, *PASS)
    assert (document["schema"], document["grid"], document["mode"]) == ("gradcli.landscape/1", False, "eval")
    assert (document["loss"], document["grad_norm"]) == (loss["loss"], loss["grad_norm"])
    places = [(point["gradient"], point["random"]) for point in document["points"]]
    assert places == [(-0.5, 0.0), (0.0, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)]
    assert document["points"][1]["loss"] == loss["loss"]
    assert model_file.read_bytes() == before


def test_rows_of_a_grid(gradcli: Run, model_file: Path) -> None:
    result = gradcli("landscape", "-w", model_file, *PASS, "--points", 3, "--grid")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["gradient", "random", "loss"]
    assert [row[:2] for row in rows[1:4]] == [["-1.0", "-1.0"], ["0.0", "-1.0"], ["1.0", "-1.0"]]
    assert len(rows) == 10


@pytest.mark.parametrize("more", [(), ("--grid",)])
def test_a_picture(gradcli: Run, model_file: Path, more: tuple[str, ...]) -> None:
    pytest.importorskip("matplotlib")
    result = gradcli("landscape", "-w", model_file, *PASS, "--points", 3, "-o", "loss.png", *more)
    assert result.exit_code == 0
    assert Path("loss.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--points", "4"), "--points 4: expected an odd number"),
        (("--points", "0"), "--points 0: expected an odd number"),
        (("--radius", "0"), "--radius 0: expected a finite"),
    ],
)
def test_wrong_usage(gradcli: Run, arguments: tuple[str, ...], message: str) -> None:
    result = gradcli("landscape", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_weights_without_a_finite_loss(gradcli: Run, overflowing_file: Path) -> None:
    result = gradcli("landscape", "-w", overflowing_file, *PASS, "--points", 3)
    assert result.exit_code == 5
    assert result.stdout == ""
