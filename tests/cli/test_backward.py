"""`gradcli backward`: norms by layer against the gradients that `grads` writes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def test_norms_are_those_of_the_gradients(gradcli: Run, gradcli_json: Run, model_file: Path, batch_file: Path) -> None:
    common = ("-w", model_file, "-i", batch_file, "--loss", "cross-entropy", "-t", 3)
    document = gradcli_json("backward", *common)
    assert document["schema"] == "gradcli.backward/1"
    assert document["loss"] == gradcli_json("forward", *common)["loss"]
    gradients = np.load(io.BytesIO(gradcli("grads", *common, "--format", "npz").stdout_bytes))
    squares = {name: float((gradients[name].astype(np.float64) ** 2).sum()) for name in gradients.files}
    assert document["grad_norm"] == pytest.approx(np.sqrt(sum(squares.values())), rel=1e-9)
    assert len(document["layers"]) == 41  # 20 convolutions, 20 batch norms, 1 linear layer
    for layer in document["layers"]:
        own = [name for name in gradients.files if name.rpartition(".")[0] == layer["name"]]
        assert layer["norm"] == pytest.approx(np.sqrt(sum(squares[name] for name in own)), rel=1e-9)
        assert layer["numel"] == sum(gradients[name].size for name in own)


def test_a_table_in_a_pipe_is_tab_separated(gradcli: Run, model_file: Path) -> None:
    result = gradcli("backward", "-w", model_file, "--freeze-backbone", "--shape", "2,3,32,32")
    lines = result.stdout.splitlines()
    assert lines[0] == "name\tnorm\tnumel"
    assert [line.split("\t")[0] for line in lines[1:]] == ["fc"]
    assert lines[1].endswith("\t5130")


def test_an_overflow_is_written_as_strict_json_before_it_ends_with_5(
    gradcli: Run, overflowing_file: Path, batch_file: Path
) -> None:
    result = gradcli("backward", "-w", overflowing_file, "-i", batch_file, "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["loss"] in ("nan", "inf", "-inf")
    assert result.stderr.startswith(f"gradcli backward: error: the loss is {document['loss']}: ")
    assert result.stderr.count("\n") == 1
