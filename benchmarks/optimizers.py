"""Measures what an update of all parameters of a ResNet-18 takes, and the clipping of their gradients, beside PyTorch.

    python benchmarks/optimizers.py [--rounds N] [--threads N] [--json PATH]

gradcli and PyTorch (its default implementation of each optimizer) have a process each, and take turns step by step.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from statistics import median
from typing import Any

from machine import describe_measurement, format_measurement
from options import measure_and_report
from paired_workers import paired_workers, prepared_environment
from processes import Worker
from workers.optimizer_case import CASES

LIBRARIES = ("gradcli", "PyTorch")
WARM_UP = 3
"""Rounds before those that count: states are made, and threads started."""
MAGNITUDE_TOLERANCE = 1e-4
"""How far mean values may lie apart, relative: different work differs by far more, rounding by far less."""
Samples = dict[str, dict[str, list[float]]]
"""Seconds by case, then by library."""


def measure(pytorch_python: str, threads: int, rounds: int) -> dict[str, Any]:
    """Everything that there is to report."""
    environment = prepared_environment(pytorch_python, threads)
    head = describe_measurement(threads)
    with paired_workers("optimizers", pytorch_python, environment, ["--threads", str(threads)]) as pair:
        workers = dict(zip(LIBRARIES, pair, strict=True))
        libraries = [json.loads(worker.read())["library"] for worker in workers.values()]
        samples = take_turns(workers, rounds)
    return {
        "schema": "gradcli.benchmarks.optimizers/1",
        **head,
        "rounds": rounds,
        "libraries": libraries,
        "cases": {
            case: {
                library: {"median": median(seconds), "minimum": min(seconds), "seconds": seconds}
                for library, seconds in of_libraries.items()
            }
            for case, of_libraries in samples.items()
        },
    }


def take_turns(workers: Mapping[str, Worker], rounds: int) -> Samples:
    """Every round's seconds by case and library; neither library always follows the other."""
    samples: Samples = {case: {library: [] for library in workers} for case in CASES}
    for case, of_libraries in samples.items():
        for round_number in range(WARM_UP + rounds):
            magnitudes = []
            for library in list(workers)[:: -1 if round_number % 2 else 1]:
                answer = json.loads(workers[library].ask(case))
                magnitudes.append(answer["mean_magnitude"])
                if round_number >= WARM_UP:
                    of_libraries[library].append(answer["seconds"])
            if not math.isclose(*magnitudes, rel_tol=MAGNITUDE_TOLERANCE):
                sys.exit(f"{case}: values differ, their mean magnitudes are {magnitudes}")
    return samples


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}. Milliseconds, median / minimum of "
        f"{report['rounds']} rounds; the ratio is gradcli's over PyTorch's.",
        "",
        "| all parameters of a ResNet-18 | gradcli, ms | PyTorch, ms | ratio |",
        "|---|---:|---:|---:|",
    ]
    for case, row in report["cases"].items():
        ours, theirs = (row[library] for library in LIBRARIES)
        ratio = f"{ours['median'] / theirs['median']:.2f} / {ours['minimum'] / theirs['minimum']:.2f}"
        lines.append(f"| {case} | {_milliseconds(ours)} | {_milliseconds(theirs)} | {ratio} |")
    return "\n".join(lines)


def _milliseconds(row: Mapping[str, float]) -> str:
    return f"{1e3 * row['median']:.1f} / {1e3 * row['minimum']:.1f}"


if __name__ == "__main__":
    measure_and_report(__doc__ or "", 25, measure, format_report)
