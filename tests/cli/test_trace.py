"""`gradcli trace`: what a broken network gives, in every format, with its exit code."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcli.cli.trace import COLUMNS
from gradcli.inspection.non_finite.records import TensorRecord
from gradcli.inspection.non_finite.trace import Trace

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"

Run = Callable[..., Any]


@pytest.fixture
def trace(gradcli: Run, model_file: Path) -> Run:
    def run(*arguments: object) -> Any:
        return gradcli("trace", "-w", model_file, "--shape", "2,3,33,33", *arguments)

    return run


def test_a_finite_pass_is_exit_code_0(trace: Run) -> None:
    result = trace("--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["schema"] == "gradcli.trace/1"
    assert document["finite"] is True
    assert (document["begins"], document["module"], document["tensors"], document["injected"]) == (None, None, [], [])
    assert math.isfinite(document["loss"])
    words = f"every value of {document['operations']} forward and {document['nodes']} backward operations is finite"
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{words}; weights ")


def test_a_weight_that_is_nan_is_exit_code_5_and_names_where_it_begins(trace: Run) -> None:
    result = trace("--inject", "layer4.0.conv1.weight=nan:0,1,2,2", "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert (document["finite"], document["begins"], document["loss"]) == (False, "given", "nan")
    assert (document["module"], document["operation"]) == ("layer4.0.conv1", "convolution")
    assert document["injected"] == [{"name": "layer4.0.conv1.weight", "value": "nan", "index": [0, 1, 2, 2]}]
    roles = [(record["role"], record["tensor"]) for record in document["tensors"][:4]]
    assert roles == [
        ("source", "layer4.0.conv1.weight"),
        ("input", "input"),
        ("input", "layer4.0.conv1.weight"),
        ("first", "result"),
    ]
    assert "layer4.0.conv1.weight" in document["gradients"]
    (error,) = result.stderr.splitlines()
    assert error.startswith(
        "gradcli trace: error: layer4.0.conv1.weight has 1 NaN of 1,179,648, first at 0,1,2,2; begins at convolution "
        "in layer4.0.conv1, operation "
    )
    assert [record["first_nonfinite"] for record in document["tensors"][:3]] == [[0, 1, 2, 2], None, [0, 1, 2, 2]]


def test_weights_that_overflow_begin_in_forward(gradcli: Run, overflowing_file: Path) -> None:
    result = gradcli("trace", "-w", overflowing_file, "--shape", "2,3,33,33", "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert (document["begins"], document["module"]) == ("forward", "fc")
    inputs = [record for record in document["tensors"] if (record["phase"], record["role"]) == ("forward", "input")]
    assert [record["tensor"] for record in inputs] == ["fc.bias", "mat1", "fc.weight"]
    assert max(abs(inputs[2]["min"]), abs(inputs[2]["max"])) == pytest.approx(3e38, rel=1e-6)


def test_a_gradient_begins_in_backward(trace: Run) -> None:
    result = trace("--inject", "layer4.1.bn1.gradient=-inf", "--json", "--freeze", "layer1.*")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert (document["begins"], document["module"]) == ("backward", "layer4.1.bn1")
    assert math.isfinite(document["loss"])
    assert not any(name.startswith(("fc.", "layer4.1.conv2", "layer4.1.bn2")) for name in document["gradients"])
    assert document["gradients"][0] == "layer4.1.bn1.bias"


def test_every_format_holds_the_same_records(trace: Run) -> None:
    arguments = ("--inject", "fc.bias=inf", "--freeze-backbone")
    records = json.loads(trace(*arguments, "--json").stdout)["tensors"]
    table = list(csv.DictReader(io.StringIO(trace(*arguments).stdout), delimiter="\t"))
    rows = list(csv.DictReader(io.StringIO(trace(*arguments, "--format", "csv").stdout)))
    lines = [json.loads(line) for line in trace(*arguments, "--format", "jsonl").stdout.splitlines()]
    assert rows == table
    assert list(rows[0]) == [column.field for column in COLUMNS] == list(TensorRecord.__dataclass_fields__)
    assert lines == [{"schema": "gradcli.trace/1", **record} for record in records]
    for record, row in zip(records, rows, strict=True):
        assert (row["tensor"], int(row["nan"]), int(row["inf"])) == (record["tensor"], record["nan"], record["inf"])
        assert float(row["norm"]) == pytest.approx(float(record["norm"]), rel=0, nan_ok=True)


def test_a_narrow_terminal_names_the_columns_that_it_has_no_room_for(
    trace: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcli.cli.output._is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = trace("--inject", "layer4.0.conv1.weight=nan:0,1,2,2").stdout.splitlines()
    assert not {"min", "max", "norm"} & set(lines[1].split())
    caption = " ".join(lines[lines.index("", 1) :] if "" in lines[1:] else lines[-3:])
    assert "no room for" in caption
    assert "min, max, norm, first at: a wider terminal or --json shows them" in caption
    monkeypatch.setenv("COLUMNS", "200")
    wide = trace("--inject", "layer4.0.conv1.weight=nan:0,1,2,2").stdout
    assert "no room" not in wide
    assert "0,1,2,2" in wide


@pytest.mark.parametrize(
    ("inject", "message"),
    [
        ("fc.bias", "--inject 'fc.bias' is not NAME=VALUE[:INDEX]"),
        ("fc.bais=nan", "--inject fc.bais: there is no such tensor; did you mean fc.bias"),
        ("fc.bias=nan:10", "there is no such element in 10"),
        ("avgpool.output=nan:0,600,0,0", "there is no such element in 2x512x1x1"),
    ],
)
def test_refusals(inject: str, message: str, trace: Run) -> None:
    result = trace("--inject", inject)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_every_field_is_documented() -> None:
    section = FORMATS.read_text(encoding="utf-8").partition("## `gradcli trace`\n")[2].partition("\n## ")[0]
    for fields in (TensorRecord, Trace):
        missing = [name for name in fields.__dataclass_fields__ if f"`{name}`" not in section]
        assert [name for name in missing if name != "records"] == []
