"""Records of gradients while a run trains: their numbers, when they are made, and what a resumed run keeps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning_runs import HEAD_ONLY, assert_same, content, resume, run_whole, start

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.nn.utils import clip_grad_norm_
from gradcli.optim import SGD
from gradcli.training.finetuning.gradient_log import GradientLog, LogInterval, with_gradients
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.settings import FinetuneSettings


def two_layers() -> nn.Module:
    gradcli.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def test_norms_are_of_the_gradient_before_clipping_and_ratios_of_what_the_step_changed() -> None:
    model, written = two_layers(), []
    log = GradientLog(model, LogInterval(1), 10, written.append)
    optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    inputs = Tensor(np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32))
    for step in (1, 2):
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        before = {name: each.array.astype(np.float64) for name, each in model.named_parameters()}
        gradients = {
            name: each.grad.array.astype(np.float64) for name, each in model.named_parameters() if each.grad is not None
        }
        with log.measured(2, step, lr=0.3, loss=2.5):
            clip_grad_norm_(list(model.parameters()), 0.1)
            optimizer.step()
        after = {name: each.array.astype(np.float64) for name, each in model.named_parameters()}
        record = written[-1]
        assert (record["kind"], record["epoch"], record["step"], record["lr"]) == ("gradients", 2, 10 + step, 0.3)
        assert record["loss"] == 2.5
        assert [layer["name"] for layer in record["layers"]] == ["0", "2"]
        for found, prefix in ((record, ""), (record["layers"][0], "0."), (record["layers"][1], "2.")):
            names = [name for name in before if name.startswith(prefix)]
            norm = np.linalg.norm(np.concatenate([gradients[name].ravel() for name in names]))
            change = np.linalg.norm(np.concatenate([(after[name] - before[name]).ravel() for name in names]))
            weights = np.linalg.norm(np.concatenate([before[name].ravel() for name in names]))
            assert found["grad_norm"] == pytest.approx(norm, rel=1e-12)
            assert found["update_ratio"] == pytest.approx(change / weights, rel=1e-5)


def test_what_is_not_finite_is_text_and_zero_weights_have_no_ratio() -> None:
    model, written = two_layers(), []
    for number, parameter in enumerate(model.parameters()):
        parameter.array[...] = 0
        parameter.grad = Tensor(np.full(parameter.shape, np.nan if number == 0 else np.inf, np.float32))
    with GradientLog(model, LogInterval(1), 1, written.append).measured(1, 1, lr=0.1, loss=math.inf):
        pass
    assert (written[0]["grad_norm"], written[0]["loss"]) == ("nan", "inf")
    assert [layer["grad_norm"] for layer in written[0]["layers"]] == ["nan", "inf"]
    assert [layer["update_ratio"] for layer in written[0]["layers"]] == [None, None]
    json.dumps(written, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "steps"), [("epoch", [4, 8, 12]), ("3", [3, 6, 9, 12]), ("5 steps", [5, 10]), ("1 step", range(1, 13))]
)
def test_steps_are_counted_over_the_run(text: str, steps: Any) -> None:
    model, written = two_layers(), []
    log = GradientLog(model, LogInterval.parse(text), 4, written.append)
    for epoch in (1, 2, 3):
        for step in range(1, 5):
            with log.measured(epoch, step, lr=0.1, loss=1.0):
                pass
    assert [record["step"] for record in written] == list(steps)


def test_records_kept_are_those_up_to_the_step_in_the_order_of_a_whole_run() -> None:
    def gradients(epoch: int, step: int) -> dict[str, Any]:
        return {"kind": "gradients", "epoch": epoch, "step": step}

    damaged: list[dict[str, Any]] = [{"kind": "gradients"}, {}, {"epoch": 1}]
    written = [gradients(1, 1), gradients(1, 2), {"epoch": 1, "old": True}, gradients(2, 3), gradients(2, 4), *damaged]
    kept = with_gradients([{"epoch": 1}], written, 3)
    assert kept == [gradients(1, 1), gradients(1, 2), {"epoch": 1}, gradients(2, 3)]
    assert with_gradients([], written, 0) == []


def test_a_stopped_run_goes_on_to_the_same_records(settings: FinetuneSettings, tmp_path: Path) -> None:
    settings = replace(settings, freeze=HEAD_ONLY, epochs=2, log_grads="1")
    run_whole(settings, tmp_path / "whole")
    start(settings, tmp_path / "parts", stop_after=2)
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:  # as a kill leaves it
        file.write('{"kind": "gradients", "epoch": 1, "st')
    resume(tmp_path / "parts")
    assert_same(tmp_path / "parts", tmp_path / "whole")
    records = RunFolder(tmp_path / "whole").metrics()
    steps = [record["step"] for record in records if record.get("kind") == "gradients"]
    assert steps == list(range(1, len(steps) + 1))
    assert {layer["name"] for record in records for layer in record.get("layers", [])} == {"fc"}
    assert [record["epoch"] for record in records if "kind" not in record] == [1, 2]
    plain = replace(settings, log_grads=None)
    run_whole(plain, tmp_path / "plain")
    found = content(tmp_path / "plain")
    assert found["metrics"] == [
        {key: value for key, value in record.items() if key != "seconds"} for record in records if "kind" not in record
    ]
    assert found["momenta"] == content(tmp_path / "whole")["momenta"]
