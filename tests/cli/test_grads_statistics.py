"""`gradcli grads`: groups, order, histograms and --fail-on, from the command's own output against its dumped arrays."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from terminal import Terminal, needs_terminal

from gradcli.checkpoints import load_checkpoint

Run = Callable[..., Any]

SHAPE = ("--shape", "2,3,32,32")
CHOSEN = ("--param", "fc.*", "--param", "bn1.*", "--param", "layer4.1.bn2.*")


@pytest.fixture(scope="module")
def common(model_file: Path, batch_file: Path) -> tuple[object, ...]:
    return ("grads", "-w", model_file, "-i", batch_file, *CHOSEN)


def dumped(gradcli: Run, common: tuple[object, ...]) -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(io.BytesIO(gradcli(*common, "--format", "npz").stdout_bytes)))


def norm(*arrays: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays)))


def test_the_update_ratio_is_that_of_a_step_without_momentum(
    gradcli: Run, gradcli_json: Run, common: tuple[object, ...], model_file: Path
) -> None:
    document = gradcli_json(*common, "--lr", 0.25)
    weights = load_checkpoint(model_file).tensors
    gradients = dumped(gradcli, common)
    assert document["lr"] == 0.25
    for record in document["gradients"]:
        name = record["name"]
        assert record["weight_norm"] == pytest.approx(norm(weights[name]))
        expected = 0.25 * norm(gradients[name]) / norm(weights[name]) if weights[name].any() else None
        assert record["update_ratio"] == (expected if expected is None else pytest.approx(expected))
    total = document["total"]
    assert (total["name"], total["tensors"]) == ("total", 6)
    assert total["norm"] == pytest.approx(norm(*gradients.values()))
    assert total["numel"] == sum(array.size for array in gradients.values())


@pytest.mark.parametrize(
    ("grouping", "groups"),
    [
        ("layer", {"bn1": ["bn1."], "layer4.1.bn2": ["layer4.1.bn2."], "fc": ["fc."]}),
        ("block", {"stem": ["bn1."], "layer4.1": ["layer4.1."], "fc": ["fc."]}),
        ("kind", {"BatchNorm2d.weight": ["bn1.weight", "layer4.1.bn2.weight"], "Linear.bias": ["fc.bias"]}),
    ],
)
def test_groups_hold_the_gradients_of_their_parameters(
    grouping: str, groups: dict[str, list[str]], gradcli: Run, gradcli_json: Run, common: tuple[object, ...]
) -> None:
    document = gradcli_json(*common, "--group-by", grouping)
    gradients = dumped(gradcli, common)
    found = {record["name"]: record for record in document["groups"]}
    assert document["group_by"] == grouping
    assert "gradients" not in document
    assert sum(record["tensors"] for record in found.values()) == 6
    for group, beginnings in groups.items():
        members = [array for name, array in gradients.items() if name.startswith(tuple(beginnings))]
        assert found[group]["norm"] == pytest.approx(norm(*members))
        assert found[group]["tensors"] == len(members)
        assert found[group]["max"] == max(array.max() for array in members)
        assert found[group]["p50"] == pytest.approx(float(np.median(np.concatenate([a.ravel() for a in members]))))


def test_the_first_in_an_order(gradcli: Run, common: tuple[object, ...]) -> None:
    gradients = dumped(gradcli, common)
    by_norm = sorted(gradients, key=lambda name: -norm(gradients[name]))
    rows = list(csv.DictReader(io.StringIO(gradcli(*common, "--sort", "norm", "--top", 3, "--format", "csv").stdout)))
    assert [row["name"] for row in rows] == by_norm[:3]
    lines = gradcli(*common, "--sort", "norm", "--smallest-first", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == by_norm[::-1]


def test_a_histogram_has_every_element_in_a_bin(gradcli: Run, gradcli_json: Run, common: tuple[object, ...]) -> None:
    gradients = dumped(gradcli, common)
    for record in gradcli_json(*common, "--histogram", "--bins", 6)["gradients"]:
        array = gradients[record["name"]].astype(np.float64)
        histogram = record["histogram"]
        assert histogram["scale"] == "linear"
        if array.min() == array.max():
            assert histogram["counts"] == [array.size]
            continue
        assert histogram["edges"] == pytest.approx(np.linspace(array.min(), array.max(), 7))
        assert histogram["counts"] == np.histogram(array, histogram["edges"])[0].tolist()
    row = next(csv.DictReader(io.StringIO(gradcli(*common, "--histogram", "--log-scale", "--format", "csv").stdout)))
    histogram = json.loads(row["histogram"])
    assert histogram["scale"] == "log"
    magnitudes = np.abs(gradients[row["name"]].astype(np.float64))
    assert (histogram["edges"][0], histogram["edges"][-1]) == (magnitudes.min(), magnitudes.max())
    assert sum(histogram["counts"]) == magnitudes.size


def test_gradients_that_fail_are_named_after_the_output(gradcli: Run, common: tuple[object, ...]) -> None:
    gradients = dumped(gradcli, common)
    names = [name for name, array in gradients.items() if norm(array) > 30]
    assert 0 < len(names) < 6
    result = gradcli(*common, "--fail-on", "zero,exploding", "--exploding", 30, "--json")
    assert result.exit_code == 6
    assert json.loads(result.stdout)["failing"] == {"zero": [], "exploding": names}
    assert result.stderr == (
        f"gradcli grads: error: --fail-on: {len(names)} of 6 gradients have a norm above 30 (exploding): "
        f"{', '.join(names)}\n"
    )
    assert gradcli(*common, "--fail-on", "vanishing", "--vanishing", "1e9", "-o", "all.npz").exit_code == 6
    assert sorted(np.load("all.npz")) == sorted(gradients)


def test_sound_gradients_pass(gradcli: Run, common: tuple[object, ...]) -> None:
    result = gradcli(*common, "--fail-on", "nonfinite", "--fail-on", "zero, vanishing", "--top", 1, "-q")
    assert (result.exit_code, result.stderr) == (0, "")


def test_without_the_condition_a_gradient_that_is_not_finite_still_ends_with_5(
    gradcli: Run, overflowing_file: Path, batch_file: Path
) -> None:
    common = ("grads", "-w", overflowing_file, "-i", batch_file, "--loss", "cross-entropy", "--param", "fc.bias")
    assert gradcli(*common, "--fail-on", "zero").exit_code == 5
    result = gradcli(*common, "--fail-on", "nonfinite", "--histogram", "--json")
    assert result.exit_code == 6
    assert "1 of 1 gradients have NaN or infinity (nonfinite): fc.bias" in result.stderr
    (record,) = json.loads(result.stdout, parse_constant=pytest.fail)["gradients"]
    assert (record["p50"], record["update_ratio"], record["histogram"]["counts"]) == ("nan", "nan", [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "dead"], "--fail-on 'dead': there is no such condition; take some of nonfinite,vanishing,"),
        (["--exploding", "3"], "--exploding goes with --fail-on exploding; add it"),
        (["--fail-on", "zero,vanishing", "--exploding", "3"], "--exploding goes with --fail-on exploding; add it"),
        (["--vanishing", "nan", "--fail-on", "vanishing"], "--vanishing must be a number"),
        (["--lr", "inf"], "--lr must be a finite number"),
        (["--bins", "3"], "--bins goes with --histogram; add it"),
        (["--log-scale"], "--log-scale goes with --histogram; add it"),
        (["--smallest-first"], "--smallest-first goes with --sort FIELD; add it"),
        (["--values", "--group-by", "kind", "--json"], "--values are those of single parameters; leave out --group-by"),
        (["--top", "2", "--format", "npz"], "--top goes with table, json, jsonl and csv, not with npz"),
        (["--why", "-o", "g.safetensors"], "--why goes with table, json, jsonl and csv, not with safetensors"),
        (["--why", "--wrt-input"], "--why explains gradients of parameters instead of describing them; leave out"),
        (["--why", "--group-by", "layer"], "leave out --group-by"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_any_work(
    arguments: list[str], message: str, gradcli: Run
) -> None:
    result = gradcli("grads", "-w", "missing.safetensors", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("view", "fields"),
    [
        ([], "name, dtype, norm, mean, "),
        (["--activations"], "name, dtype, norm, mean, "),
        (["--group-by", "layer"], "name, tensors, numel, norm, "),
        (["--per-sample"], "index, image, loss, norm\n"),
        (["--data", "digits"], "name, numel, mean_norm, "),
        (["--why"], "name, numel, reason, stopped_at, "),
    ],
)
def test_a_field_that_is_not_there_is_refused_before_any_work(view: list[str], fields: str, gradcli: Run) -> None:
    for field in ("size", "shape"):
        result = gradcli("grads", "-w", "missing.safetensors", *view, "--sort", field)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert f"--sort '{field}': there is no such field to sort by; take one of {fields}" in result.stderr


@needs_terminal
def test_on_a_terminal_there_are_bars(model_file: Path) -> None:
    arguments = ["grads", "-w", str(model_file), *SHAPE, *CHOSEN, "--histogram", "--bins", "9"]
    terminal = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=100, NO_COLOR="1")
    lines = terminal.shown.decode().splitlines()
    assert terminal.exit_code == 0
    assert max(map(len, lines)) <= 100
    heading = next(line for line in lines if "update ratio" in line)
    assert heading.split()[-1] == "histogram"
    assert "█" in next(line for line in lines if "layer4.1.bn2.bias" in line)
    below = " ".join(lines[lines.index(next(line for line in lines if line.startswith("loss "))) :])
    assert " (6 of 62 parameters), weights " in below
    assert "update ratio: about 1e-3 per step of SGD is healthy (here with lr 0.01)" in below
