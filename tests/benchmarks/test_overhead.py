"""benchmarks/overhead.py: its operations are what they say, its figures are right, and it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gradcli

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPERATIONS = [
    *("add", "sub", "mul", "mul by number", "div", "pow", "exp", "sin", "relu", "sum", "view", "select"),
    *("matmul 8x8", "a single mul"),
]


@pytest.fixture
def overhead(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program as a module. Its neighbours, found by their plain names, are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    import overhead

    yield overhead
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)) or name == "workers":
            del sys.modules[name]


def nodes_behind(results: list[Any]) -> int:
    """How many nodes the graph of these tensors has, without those of its leaves."""
    waiting = [result.grad_fn for result in results]
    seen = set(waiting)
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node.name() != "AccumulateGrad" and node not in seen:
                seen.add(node)
                waiting.append(node)
    return len(seen)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_call_of_an_operation_records_a_node_of_its_own(name: str, overhead: ModuleType) -> None:
    assert list(overhead.CASES) == OPERATIONS
    case = overhead.CASES[name]
    first, second = case.inputs(gradcli)
    assert first.shape == second.shape == case.shape
    results = case.results(first, second)
    assert len(results) == (1 if case.chain else case.calls)
    assert nodes_behind(results) == case.calls == (1 if name == "a single mul" else 100)
    gradcli.autograd.backward(results, [gradcli.ones_like(result) for result in results])
    assert np.isfinite(first.grad.numpy()).all()
    assert np.abs(first.grad.numpy()).max() > 0


@pytest.mark.parity
@pytest.mark.parametrize("name", OPERATIONS)
def test_parity_of_the_gradients_that_both_compute(name: str, overhead: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    case, found = overhead.CASES[name], []
    for framework in (torch, gradcli):
        leaves = case.inputs(framework)
        results = case.results(*leaves)
        framework.autograd.backward(results, [framework.ones_like(result) for result in results])
        found.append([None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves])
    for expected, ours in zip(*found, strict=True):
        assert (ours is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def fake_samples() -> dict[str, Any]:
    return {
        "add": {
            "gradcli": {"forward": [2e-6, 4e-6, 3e-6], "both": [6e-6, 8e-6, 7e-6]},
            "PyTorch": {"forward": [1e-6, 3e-6, 2e-6], "both": [7e-6, 9e-6, 8e-6]},
        },
        "mul": {
            "gradcli": {"forward": [8e-6] * 3, "both": [16e-6] * 3},
            "PyTorch": {"forward": [3e-6] * 3, "both": [4e-6] * 3},
        },
    }


def test_medians_minima_ratios_and_goals(overhead: ModuleType) -> None:
    summary = overhead.summarize(fake_samples())
    add = summary["operations"]["add"]
    assert add["seconds"]["gradcli"]["both"] == {"median": 7e-6, "minimum": 6e-6}
    assert add["ratio"]["forward"] == pytest.approx({"median": 1.5, "minimum": 2.0})
    assert add["ratio"]["both"] == pytest.approx({"median": 7 / 8, "minimum": 6 / 7})
    assert summary["mean_ratio"]["forward"]["median"] == pytest.approx(2.0)  # of 3/2 and 8/3
    assert list(summary["goals_met"].values()) == [True, False]


def test_the_table_has_a_row_for_each_operation(overhead: ModuleType) -> None:
    machine = {"processor": "P", "cpus": 2, "system": "S", "python": "3", "load_average": 0.5}
    head = {
        "date": "2020-01-01",
        "machine": machine,
        "threads": 1,
        "rounds": 3,
        "libraries": ["gradcli 1", "PyTorch 2"],
    }
    lines = overhead.format_report({**head, **overhead.summarize(fake_samples())}).splitlines()
    assert lines[0].startswith("2020-01-01: P, 2 CPUs, S, Python 3, threads 1, load 0.5; gradcli 1, PyTorch 2.")
    assert "| add | 3.0 / 2.0 | 2.0 / 1.0 | 7.0 / 6.0 | 8.0 / 7.0 | 1.50 / 2.00 | 0.88 / 0.86 |" in lines
    assert {line.count("|") for line in lines[2:-2]} == {8}
    assert lines[-1].startswith("1 of 2 ")


class FakeWorker:
    """Answers as a worker does, and writes down who was asked."""

    def __init__(self, name: str, asked: list[str], magnitude: float) -> None:
        self.name, self.asked, self.magnitude = name, asked, magnitude

    def ask(self, line: str) -> str:
        operation, repetitions = json.loads(line)
        assert repetitions >= 1
        self.asked.append(f"{self.name} {operation}")
        return json.dumps({"forward": 1.0, "both": 2.0, "mean_magnitude": self.magnitude})


def test_workers_take_turns_in_changing_order_after_a_round_that_does_not_count(overhead: ModuleType) -> None:
    asked: list[str] = []
    workers = {name: FakeWorker(name, asked, 1.0) for name in overhead.LIBRARIES}
    samples = overhead.take_turns(workers, 1, ["add", "mul"])
    assert asked == [
        *("gradcli add", "PyTorch add", "gradcli mul", "PyTorch mul"),
        *("PyTorch add", "gradcli add", "PyTorch mul", "gradcli mul"),
    ]
    assert samples["mul"] == {name: {"forward": [1.0], "both": [2.0]} for name in overhead.LIBRARIES}


def test_gradients_that_differ_end_the_measurement(overhead: ModuleType) -> None:
    workers = {
        name: FakeWorker(name, [], magnitude) for name, magnitude in zip(overhead.LIBRARIES, (1.0, 1.1), strict=True)
    }
    with pytest.raises(SystemExit, match="add: gradients differ"):
        overhead.take_turns(workers, 1, ["add"])


@pytest.mark.parity
def test_the_program_prints_a_table_and_writes_every_sample(tmp_path: Path) -> None:
    path = tmp_path / "overhead.json"
    command = [sys.executable, str(BENCHMARKS / "overhead.py"), "--rounds", "2", "--json", str(path)]
    finished = subprocess.run([*command, "--operations", "add", "select"], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(path.read_text())
    assert (report["schema"], report["threads"]) == ("gradcli.benchmarks.overhead/1", 1)
    assert list(report["operations"]) == ["add", "select"]
    assert [len(taken) for taken in report["operations"]["add"]["samples"]["PyTorch"].values()] == [2, 2]
    assert "\n| select | " in finished.stdout
