"""Measures how long the weights of a ResNet-18 take to load, from every container that PyTorch reads too.

    python benchmarks/loading.py [--rounds N] [--threads N] [--json PATH]

gradcli and PyTorch have a process each, imports done, files in the system's cache, and take turns. Where tensors are a
map of the file the system reads it when they are used: "load and copy" counts that too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from machine import describe_measurement, format_measurement
from options import measure_and_report
from paired_workers import paired_workers, prepared_environment
from processes import Worker, output_of

HERE = Path(__file__).resolve().parent
FILES = {"zip": "resnet18.pth", "legacy": "resnet18-legacy.pth", "safetensors": "resnet18.safetensors"}
PYTORCH = "PyTorch"
GRADCLI = "gradcli"
Case = tuple[str, str, str]
"""A container, a library and a way to load."""
CASES: list[Case] = [
    *((container, GRADCLI, way) for container in FILES for way in ("load", "load and copy")),
    *((container, PYTORCH, way) for container in FILES for way in ("load", "load and copy")),
    ("safetensors", PYTORCH, "read and copy"),
]
GOALS: dict[str, tuple[Case, Case, float]] = {
    "zip: load at most 1.5 of PyTorch's time": (("zip", GRADCLI, "load"), ("zip", PYTORCH, "load"), 1.5),
    "safetensors: load and copy at most the time to read and copy": (
        ("safetensors", GRADCLI, "load and copy"),
        ("safetensors", PYTORCH, "read and copy"),
        1.0,
    ),
}


def measure(pytorch_python: str, threads: int, rounds: int) -> dict[str, Any]:
    """Everything that there is to report."""
    environment = prepared_environment(pytorch_python, threads)
    options = ["--threads", str(threads)]
    head = describe_measurement(threads)
    with (
        tempfile.TemporaryDirectory() as folder,
        paired_workers("loading", pytorch_python, environment, options) as (gradcli, pytorch),
    ):
        output_of([pytorch_python, str(HERE / "make_weights.py"), folder], environment)
        samples = take_turns({GRADCLI: gradcli, PYTORCH: pytorch}, folder, rounds)
    goals_met = {
        goal: median(samples[own]) <= factor * median(samples[other]) for goal, (own, other, factor) in GOALS.items()
    }
    return {
        "schema": "gradcli.benchmarks.loading/1",
        **head,
        "rounds": rounds,
        "summaries": [
            {
                **dict(zip(("container", "library", "way"), case, strict=True)),
                "median": median(seconds),
                "minimum": min(seconds),
                "seconds": seconds,
            }
            for case, seconds in samples.items()
        ],
        "goals_met": goals_met,
    }


def take_turns(workers: Mapping[str, Worker], folder: str, rounds: int) -> dict[Case, list[float]]:
    """Seconds of every case in every round but the first, which only warms up; the order turns each time."""
    samples: dict[Case, list[float]] = {case: [] for case in CASES}
    for round_number in range(rounds + 1):
        for case in CASES[:: 1 if round_number % 2 else -1]:
            container, library, way = case
            request = {"path": str(Path(folder) / FILES[container]), "way": way}
            answer = json.loads(workers[library].ask(json.dumps(request)))
            if round_number > 0:
                samples[case].append(answer["seconds"])
    return samples


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    lines = [
        f"{format_measurement(report)}. Median / minimum of {report['rounds']} rounds.",
        "",
        "| container | library | way | ms |",
        "|---|---|---|---:|",
    ]
    for row in sorted(report["summaries"], key=lambda row: (list(FILES).index(row["container"]), row["way"])):
        times = f"{1e3 * row['median']:.1f} / {1e3 * row['minimum']:.1f}"
        lines.append(f"| {row['container']} | {row['library']} | {row['way']} | {times} |")
    lines += ["", *(f"- {goal}: {'met' if met else 'missed'}" for goal, met in report["goals_met"].items())]
    return "\n".join(lines)


if __name__ == "__main__":
    measure_and_report(__doc__ or "", 25, measure, format_report)
