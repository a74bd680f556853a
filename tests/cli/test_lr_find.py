"""`gradcli lr-find`: points and suggestions on data and on random images, the picture, and weights that stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def test_on_data(gradcli_json: Run, model_file: Path, images_file: Path) -> None:
    before = model_file.read_bytes()
    document = gradcli_json(
        "lr-find", images_file, "-w", model_file, "--freeze-backbone", "--steps", 4, "-b", 8, "--end", 1e-3, "-q"
    )
    assert (document["schema"], document["data"], document["diverged"]) == (
        "gradcli.lr-find/1",
        str(images_file),
        False,
    )
    assert [point["lr"] for point in document["points"]] == pytest.approx(np.geomspace(1e-6, 1e-3, 4).tolist())
    assert document["points"][0]["smoothed"] == pytest.approx(document["points"][0]["loss"])
    assert model_file.read_bytes() == before


def test_the_first_loss_is_that_of_a_pass(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    arguments = ("-w", model_file, "--shape", "2,3,32,32", "--mode", "eval", "--kernels", "exact")
    found = gradcli_json("lr-find", *arguments, "--steps", 3, "--start", 1e-9, "--end", 1e-8)
    loss = gradcli_json("backward", *arguments, "--loss", "cross-entropy")["loss"]
    assert (found["data"], found["points"][0]["loss"]) == (None, loss)
    assert found["points"][2]["loss"] == pytest.approx(loss, rel=1e-3)


def test_rows_have_the_points(gradcli: Run, model_file: Path) -> None:
    result = gradcli("lr-find", "-w", model_file, "--shape", "2,3,32,32", "--steps", 2, "--end", 1e-5)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["step", "lr", "loss", "smoothed"]
    assert [line[0] for line in lines[1:]] == ["1", "2"]
    assert "|" not in result.stdout  # no plot off a terminal


def test_one_rate_is_recommended(gradcli: Run, model_file: Path) -> None:
    rates = ("--start", 1e-4, "--end", 1e-2, "--steps", 5)
    result = gradcli("lr-find", "-w", model_file, "--shape", "8,3,32,32", "--freeze-backbone", *rates, "--json")
    document = json.loads(result.stdout)
    assert document["suggested"] == document["minimum_tenth"] is not None
    begin = f"begin with --lr {document['suggested']:.3g}, a tenth of where the smoothed loss is smallest"
    assert f"{begin} (it falls fastest at {document['steepest']:.3g})" in result.stderr.splitlines()[-1]


def test_a_picture(gradcli: Run, model_file: Path) -> None:
    pytest.importorskip("matplotlib")
    result = gradcli("lr-find", "-w", model_file, "--shape", "2,3,32,32", "--steps", 2, "-o", "rates.png")
    assert result.exit_code == 0
    assert Path("rates.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_weights_that_give_no_finite_loss_have_no_suggestion(gradcli: Run, overflowing_file: Path) -> None:
    result = gradcli("lr-find", "-w", overflowing_file, "--shape", "2,3,32,32", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (document["diverged"], document["steepest"], len(document["points"])) == (True, None, 1)
    assert document["points"][0]["loss"] in ("inf", "nan")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", "0.1"), "--lr: the test tries"),
        (("digits", "--shape", "2,3,32,32"), "--shape is the shape of random images"),
        (("--batch-size", "4"), "the options of data go with DATA"),
        (("--start", "1", "--end", "0.1"), "--start 1 --end 0.1"),
        (("--shape", "2,3,32,32", "--freeze", "*"), "every parameter is frozen"),
    ],
)
def test_wrong_usage(gradcli: Run, arguments: tuple[str, ...], message: str) -> None:
    result = gradcli("lr-find", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("command", "shape"), [("graph", "1,3,64,64"), ("selftest", "4,3,64,64"), ("lr-find", "8,3,64,64")]
)
def test_help_names_the_shape_of_the_random_images(gradcli: Run, command: str, shape: str) -> None:
    assert f"[default: {shape}]" in " ".join(gradcli(command, "--help").stdout.split())
