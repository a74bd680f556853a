"""Measures what an operation on a tensor of four elements costs, with and without its gradient, beside PyTorch.

    python benchmarks/overhead.py [--operations add mul] [--rounds N] [--threads N] [--json PATH]

On tensors that small nearly all of the time is overhead: reading arguments, making the result, recording the node, and
the backward pass through it. gradcli and PyTorch have a process each, and take turns operation by operation.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from statistics import geometric_mean, median
from typing import Any

from machine import describe_measurement, format_measurement
from options import parser_with_shared_options, write_json
from paired_workers import paired_workers, prepared_environment
from processes import Worker
from workers.operation_case import CALLS, CASES

CALLS_PER_TURN = 2000
"""Of the operation, about: short enough that a change in the machine's load meets both."""
MAGNITUDE_TOLERANCE = 1e-3
"""How far mean gradients may lie apart, relative: different work differs by far more, rounding by far less."""
LIBRARIES = ("gradcli", "PyTorch")
PARTS = {"forward": "forward", "both": "forward and backward"}
Samples = dict[str, dict[str, list[float]]]
"""Seconds per call by library, then by part."""


def measure_all(pytorch_python: str, threads: int, rounds: int, operations: Sequence[str]) -> dict[str, Any]:
    """Everything that there is to report."""
    environment = prepared_environment(pytorch_python, threads)
    options = ["--threads", str(threads)]
    head = describe_measurement(threads)
    with paired_workers("operations", pytorch_python, environment, options) as pair:
        workers = dict(zip(LIBRARIES, pair, strict=True))
        libraries = [json.loads(worker.read())["library"] for worker in workers.values()]
        samples = take_turns(workers, rounds, operations)
    return {
        "schema": "gradcli.benchmarks.overhead/1",
        **head,
        "rounds": rounds,
        "libraries": libraries,
        **summarize(samples),
    }


def take_turns(workers: Mapping[str, Worker], rounds: int, operations: Sequence[str]) -> dict[str, Samples]:
    """Every round's timings by operation; the round before them, which is not counted, warms up and compares."""
    samples: dict[str, Samples] = {
        operation: {library: {part: [] for part in PARTS} for library in workers} for operation in operations
    }
    for round_number in range(rounds + 1):
        for operation in operations:
            repetitions = CALLS_PER_TURN // CASES[operation].calls
            request, magnitudes = json.dumps([operation, repetitions]), []
            for library in list(workers)[:: -1 if round_number % 2 else 1]:  # neither always follows the other
                timing = json.loads(workers[library].ask(request))
                magnitudes.append(timing["mean_magnitude"])
                if round_number:
                    for part in PARTS:
                        samples[operation][library][part].append(timing[part])
            if not math.isclose(*magnitudes, rel_tol=MAGNITUDE_TOLERANCE):
                sys.exit(f"{operation}: gradients differ, their mean magnitudes are {magnitudes}")
    return samples


def summarize(samples: Mapping[str, Samples]) -> dict[str, Any]:
    """Medians and minima, and gradcli's over PyTorch's; their geometric means over all operations."""
    rows: dict[str, Any] = {}
    for operation, of_libraries in samples.items():
        seconds = {
            library: {part: {"median": median(taken), "minimum": min(taken)} for part, taken in parts.items()}
            for library, parts in of_libraries.items()
        }
        ours, theirs = (seconds[library] for library in LIBRARIES)
        ratio = {
            part: {statistic: ours[part][statistic] / theirs[part][statistic] for statistic in ours[part]}
            for part in PARTS
        }
        rows[operation] = {"seconds": seconds, "ratio": ratio, "samples": of_libraries}
    mean = {
        part: {
            statistic: geometric_mean(row["ratio"][part][statistic] for row in rows.values())
            for statistic in ("median", "minimum")
        }
        for part in PARTS
    }
    goals = {
        f"{operation} with its gradient takes no longer than PyTorch's": row["ratio"]["both"]["median"] <= 1
        for operation, row in rows.items()
    }
    return {"operations": rows, "mean_ratio": mean, "goals_met": goals}


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    columns = [f"{library} {name}, us" for name in PARTS.values() for library in LIBRARIES]
    ratios = [f"ratio {name}" for name in PARTS.values()]
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}. Microseconds per call, median / minimum of "
        f"{report['rounds']} rounds; ratios are gradcli's over PyTorch's.",
        "",
        f"| {CALLS} calls of | {' | '.join([*columns, *ratios])} |",
        f"|---|{'---:|' * len([*columns, *ratios])}",
    ]
    for operation, row in report["operations"].items():
        cells = [_cell(row["seconds"][library][part], 1e6, 1) for part in PARTS for library in LIBRARIES]
        cells += [_cell(row["ratio"][part], 1, 2) for part in PARTS]
        lines.append(f"| {operation} | {' | '.join(cells)} |")
    means = [_cell(report["mean_ratio"][part], 1, 2) for part in PARTS]
    lines.append(f"| geometric mean |{'  |' * len(columns)} {' | '.join(means)} |")
    met = sum(report["goals_met"].values())
    lines += ["", f"{met} of {len(report['goals_met'])} take no longer than PyTorch's, with their gradients."]
    return "\n".join(lines)


def _cell(statistics: Mapping[str, float], factor: float, digits: int) -> str:
    return " / ".join(f"{factor * value:.{digits}f}" for value in statistics.values())


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--rounds", 15, threads=1)
    parser.add_argument("--operations", choices=CASES, nargs="+", default=list(CASES), help="default: all")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table and write the JSON file that was asked for."""
    arguments = parse_arguments()
    report = measure_all(arguments.pytorch_python, arguments.threads, arguments.rounds, arguments.operations)
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
