"""Measures gradcli's training steps and passes against PyTorch's, in both of its memory layouts.

    python benchmarks/training.py [--sizes 64:1 224:8] [--modes step eval] [--kernels exact fast] [--rounds N]
                                  [--threads N] [--json PATH]

Each configuration has a process of its own that builds the model once and then measures one step whenever it is its
turn, so that a change in the machine's load meets all. Only one of them computes at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from machine import describe_measurement
from options import KERNELS, Size, add_kernels_option, add_sizes_option, parser_with_shared_options, write_json
from processes import output_of
from training_report import format_report, goals_met, summarize_case
from training_workers import (
    PYTORCH,
    PYTORCH_CHANNELS_LAST,
    Setup,
    Turn,
    gradcli_configuration,
    prepared_setup,
    training_workers,
)
from workers.training_case import MODES, TrainingCase

SIZES = (Size(64, 1), Size(64, 8), Size(64, 32), Size(64, 128), Size(224, 1), Size(224, 8))


def measure_case(
    setup: Setup, case: TrainingCase, configurations: Sequence[str], rounds: int
) -> tuple[dict[str, list[Turn]], list[str]]:
    """The turns of every configuration in one case, and the libraries' names and versions."""
    turns: dict[str, list[Turn]] = {name: [] for name in configurations}
    with training_workers(setup, case, configurations) as workers:
        for configuration in workers.in_turns(rounds):
            turns[configuration].append(workers.take_turn(configuration))
        return turns, sorted(set(workers.libraries.values()))


def measure_sgemm(setup: Setup) -> dict[str, float]:
    """GFLOP/s of large matrix products by library, on the benchmark's number of threads."""
    pythons = {"numpy": sys.executable, "pytorch": setup.pytorch_python}
    options = ["--threads", str(setup.threads)]
    return {
        library: float(output_of([python, "-P", "-m", "workers.sgemm", library, *options], setup.environment))
        for library, python in pythons.items()
    }


def count_multiply_adds(setup: Setup, sizes: list[Size]) -> dict[str, dict[str, int]]:
    """Multiply-adds of one image by side (as text) and mode."""
    sides = sorted({str(images.side) for images in sizes})
    command = [sys.executable, "-P", "-m", "workers.multiply_adds", *sides]
    counts: dict[str, dict[str, int]] = json.loads(output_of(command, setup.environment))
    return counts


def measure_all(
    setup: Setup, modes: list[str], sizes: list[Size], configurations: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Measure the bound, then case after case; everything that there is to report."""
    report = {"schema": "gradcli.benchmarks.training/1", **describe_measurement(setup.threads), "rounds": rounds}
    multiply_adds = count_multiply_adds(setup, sizes)
    print("sgemm", file=sys.stderr)
    report["sgemm_gflops"] = sgemm = measure_sgemm(setup)
    report["cases"] = []
    for mode in modes:
        for images in sizes:
            print(f"{mode}, {images.side}x{images.side}, batch {images.batch}", file=sys.stderr)
            case = TrainingCase(mode, images.side, images.batch)
            turns, report["libraries"] = measure_case(setup, case, configurations, rounds)
            count = multiply_adds[str(images.side)][mode]
            report["cases"].append(summarize_case(case, turns, count, max(sgemm.values())))
    report["goals_met"] = goals_met(report["cases"])
    return report


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--rounds", 15)
    add_sizes_option(parser, SIZES)
    add_kernels_option(parser, KERNELS)
    parser.add_argument("--modes", choices=MODES, nargs="+", default=list(MODES), help="default: all")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables and write the JSON file that was asked for."""
    arguments = parse_arguments()
    with prepared_setup(arguments.pytorch_python, arguments.threads) as setup:
        configurations = [*map(gradcli_configuration, arguments.kernels), PYTORCH, PYTORCH_CHANNELS_LAST]
        report = measure_all(setup, arguments.modes, arguments.sizes, configurations, arguments.rounds)
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
