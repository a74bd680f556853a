"""`gradcli check`: the numbers of the real network, every format, exit codes, and a rule that is wrong on purpose."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.autograd.rules import GradientRules
from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.cli.check import COLUMNS
from gradcli.deferred import settled
from gradcli.inspection.numerical_check.comparison import Comparison, Quotient
from gradcli.inspection.numerical_check.model_check import ParameterCheck
from gradcli.ops.activation import relu, threshold_backward

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"

Run = Callable[..., Any]

FEW = ("--shape", "2,3,33,33", "--step", "1e-6", "--samples", "1")


def test_right_gradients_are_exit_code_0(gradcli_json: Run, model_file: Path) -> None:
    arguments = ("check", "-w", model_file, *FEW, "--param", "fc.*", "--param", "conv1.weight", "--wrt-input")
    document = gradcli_json(*arguments, "--step", "1e-7", "--loss", "cross-entropy")
    assert document["schema"] == "gradcli.check/1"
    assert document["ok"] is True
    assert document["steps"] == [1e-6, 1e-7]
    assert document["best_step"] in document["steps"]
    assert document["counts"]["differs"] == 0
    assert sum(document["counts"].values()) == 8
    assert document["passes"] == 2 * 2 * 8 + 2
    assert [record["name"] for record in document["parameters"]] == ["fc.bias", "fc.weight", "conv1.weight", "input"]
    for record in document["parameters"]:
        assert record["ok"] is True
        along, entry = record["comparisons"]
        assert along["index"] is None
        assert len(entry["index"]) == len(record["shape"])
        worst = max((each for each in (along, entry) if each["verdict"] != "kink"), key=lambda e: e["relative_error"])
        assert (record["max_relative_error"], record["numerical"]) == (worst["relative_error"], worst["numerical"])


def test_the_analytic_numbers_are_those_of_grads(gradcli_json: Run, model_file: Path) -> None:
    chosen = ("-w", model_file, "--shape", "2,3,33,33", "--param", "fc.bias", "--loss", "mse")
    (record,) = gradcli_json("check", *chosen, "--step", "1e-5", "--samples", 3)["parameters"]
    (gradient,) = gradcli_json("grads", *chosen, "--values")["gradients"]
    for comparison in record["comparisons"][1:]:
        assert comparison["analytical"] == pytest.approx(gradient["values"][comparison["index"][0]], rel=1e-4)


def test_a_wrong_rule_is_exit_code_6_with_the_first_name(
    gradcli: Run, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = GradientRules("relu", ("input",), ())
    rules.add(("input",), lambda grad, out: settled(threshold_backward(grad, out)) * 1.01, joint=False)
    monkeypatch.setattr(relu.operation, "gradient_rules", rules)
    chosen = ("--param", "fc.weight", "--param", "layer4.1.bn2.*")
    result = gradcli("check", "-w", model_file, *FEW, *chosen, "--json")
    assert result.exit_code == 6
    document = json.loads(result.stdout)  # the data is written all the same
    assert [(record["name"], record["ok"]) for record in document["parameters"]] == [
        ("fc.weight", True),
        ("layer4.1.bn2.bias", False),
        ("layer4.1.bn2.weight", False),
    ]
    assert document["parameters"][1]["max_relative_error"] == pytest.approx(0.01 / 1.01, rel=1e-3)
    error = result.stderr.splitlines()[-1]
    assert error.startswith(
        "gradcli check: error: 2 of 3 gradients are wrong; the first in backward order is layer4.1.bn2.bias, "
    )
    assert error.endswith("wrong: layer4.1.bn2.bias, layer4.1.bn2.weight")


def test_rows_and_what_is_told_beside(gradcli: Run, model_file: Path) -> None:
    arguments = ("check", "-w", model_file, *FEW, "--param", "fc.*")
    result = gradcli(*arguments)
    table = list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))
    assert list(table[0]) == [column.field for column in COLUMNS]
    assert [row["name"] for row in table] == ["fc.bias", "fc.weight"]
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("gradients to check: 2; 9 forward passes in float64, of at most ")
    told = "4 comparisons: 4 agree, 0 differ; step 1e-06 agreed best"
    assert last == f"{told}; weights {model_file}, train mode, exact kernels"
    rows = list(csv.DictReader(io.StringIO(gradcli(*arguments, "--format", "csv").stdout)))
    assert rows == table
    (line,) = gradcli(*arguments, "--format", "jsonl", "--sort", "name", "--top", 1).stdout.splitlines()
    assert json.loads(line)["name"] == "fc.bias"
    assert list(json.loads(line)) == ["schema", *ParameterCheck.__dataclass_fields__]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("--step", "0"), 2, "--step must be a finite number above 0"),
        (("--tolerance", "nan"), 2, "--tolerance must be a finite number above 0"),
        (("--param", "fc.wieght"), 2, "--param 'fc.wieght' matches no parameter"),
        (("--param", "fc.weight", "--freeze", "fc.*"), 2, "fc.weight is frozen"),
    ],
)
def test_refusals(arguments: Any, exit_code: int, message: str, gradcli: Run, model_file: Path) -> None:
    result = gradcli("check", "-w", model_file, "--shape", "2,3,33,33", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr


def test_a_loss_that_is_nan_is_exit_code_5(gradcli: Run, model_file: Path) -> None:
    tensors = load_checkpoint(model_file).tensors
    tensors["fc.bias"] = np.full_like(tensors["fc.bias"], np.nan)
    save_safetensors("broken.safetensors", tensors)
    result = gradcli("check", "-w", "broken.safetensors", "--shape", "1,3,33,33", "--mode", "eval")
    assert (result.exit_code, result.stdout) == (5, "")
    reason = "the loss is nan: 10 of the 10 values of fc.bias (first at 0) in broken.safetensors are not finite"
    assert reason in result.stderr


def test_every_field_is_documented() -> None:
    section = FORMATS.read_text(encoding="utf-8").partition("## `gradcli check`\n")[2].partition("\n## ")[0]
    for fields in (ParameterCheck, Comparison, Quotient):
        assert [name for name in fields.__dataclass_fields__ if f"`{name}`" not in section] == []


def test_a_field_that_there_is_not_is_refused_before_any_work(gradcli: Run) -> None:
    result = gradcli("check", "--sort", "worst")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "--sort 'worst': there is no such field to sort by; take one of name, numel, " in result.stderr
