"""Measures time per image and peak memory against the size of the batch and of the images.

    python benchmarks/scaling.py [--mode step] [--kernels exact fast] [--pytorch] [--batches N...] [--sides N...]
                                 [--rounds N] [--threads N] [--json PATH] [--plot PATH.svg]

Every point has fresh processes, so that its peak memory is its own. A round visits all points once; a slow moment of
the machine therefore meets different points in different rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from line_chart import Line, Panel, line_chart
from machine import describe_measurement, format_measurement
from options import KERNELS, add_kernels_option, count, file_path, parser_with_shared_options, write_json
from training_workers import (
    PYTORCH,
    Setup,
    Turn,
    gradcli_configuration,
    median_and_minimum,
    prepared_setup,
    training_workers,
)
from trend import CLIFF, over_trend
from workers.training_case import MODES, TrainingCase

BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
SIDE_OF_BATCHES = 64
SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448)
BATCHES_OF_SIDES = (1, 4)
TURNS_PER_VISIT = 2
SMALLEST_SIDE_OF_ONE = 33
"""A smaller single image leaves the last batch norms one value per channel, which has no variance to train with."""

QUANTITIES = {"ms_per_image": "ms per image", "peak_rss_mib": "peak MiB"}


def series_of(mode: str, batches: Sequence[int], sides: Sequence[int]) -> dict[str, list[TrainingCase]]:
    """The cases of every curve, by what stays the same along it; each along `batch` or along `side`, increasing."""
    series = {f"{SIDE_OF_BATCHES}x{SIDE_OF_BATCHES}": [TrainingCase(mode, SIDE_OF_BATCHES, each) for each in batches]}
    for batch in BATCHES_OF_SIDES:
        least = SMALLEST_SIDE_OF_ONE if mode == "step" and batch == 1 else 1
        series[f"batch {batch}"] = [TrainingCase(mode, side, batch) for side in sides if side >= least]
    return series


def measure(
    setup: Setup, cases: Sequence[TrainingCase], configurations: Sequence[str], rounds: int
) -> dict[tuple[TrainingCase, str], list[Turn]]:
    """The turns of every case and configuration."""
    turns: dict[tuple[TrainingCase, str], list[Turn]] = defaultdict(list)
    for round_number in range(rounds):
        for case in cases:
            print(f"round {round_number + 1} of {rounds}: {case.side}x{case.side}, batch {case.batch}", file=sys.stderr)
            with training_workers(setup, case, configurations) as workers:
                for name in workers.in_turns(TURNS_PER_VISIT):
                    turns[case, name].append(workers.take_turn(name))
    return turns


def summarize_curve(
    name: str, configuration: str, cases: Sequence[TrainingCase], turns: Mapping[tuple[TrainingCase, str], list[Turn]]
) -> dict[str, Any]:
    """One curve, JSON-ready: its points, and how far each lies above its neighbours' trend (minimum times, memory)."""
    points: list[dict[str, Any]] = []
    for case in cases:
        own = turns[case, configuration]
        seconds = median_and_minimum(own)
        points.append(
            {
                "side": case.side,
                "batch": case.batch,
                "ms_per_image": 1000 * seconds["minimum"] / case.batch,
                "median_ms_per_image": 1000 * seconds["median"] / case.batch,
                "peak_rss_mib": max(turn.peak_rss_mib for turn in own),
                "samples": [turn.seconds for turn in own],
            }
        )
    pixels = [case.batch * case.side**2 for case in cases]
    ratios = {
        "ms_per_image": over_trend(pixels, [point["ms_per_image"] * point["batch"] for point in points]),
        "peak_rss_mib": over_trend(pixels, [point["peak_rss_mib"] for point in points]),
    }
    for index, point in enumerate(points):
        point["over_trend"] = {quantity: ratios[quantity][index] for quantity in QUANTITIES}
    along = "side" if name.startswith("batch") else "batch"
    return {"name": name, "configuration": configuration, "along": along, "points": points}


def cliffs_of(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The points that lie more than 30 % above their neighbours' trend."""
    return [
        {
            "configuration": curve["configuration"],
            "side": point["side"],
            "batch": point["batch"],
            "quantity": quantity,
            "over_trend": ratio,
        }
        for curve in curves
        for point in curve["points"]
        for quantity, ratio in point["over_trend"].items()
        if ratio > CLIFF
    ]


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md: a table for each curve, then the cliffs."""
    lines = [
        f"{format_measurement(report)}; mode {report['mode']}; minimum of {TURNS_PER_VISIT * report['rounds']} turns "
        "for times, maximum for memory."
    ]
    for name in dict.fromkeys(curve["name"] for curve in report["curves"]):
        curves = [curve for curve in report["curves"] if curve["name"] == name]
        along = curves[0]["along"]
        heading = [f"{curve['configuration']}, {unit}" for curve in curves for unit in QUANTITIES.values()]
        lines += ["", f"**{name}**", "", f"| {along} | {' | '.join(heading)} |", f"|---:|{'---:|' * len(heading)}"]
        for row in zip(*(curve["points"] for curve in curves), strict=True):
            cells = [f"{point['ms_per_image']:.2f} | {point['peak_rss_mib']:.0f}" for point in row]
            lines.append(f"| {row[0][along]} | {' | '.join(cells)} |")
    lines += ["", "Above the neighbours' trend by more than 30 %:" if report["cliffs"] else "No cliffs."]
    for cliff in report["cliffs"]:
        lines.append(
            f"- {cliff['configuration']}, {cliff['side']}x{cliff['side']}, batch {cliff['batch']}: "
            f"{QUANTITIES[cliff['quantity']]}, {cliff['over_trend']:.2f} times"
        )
    return "\n".join(lines)


def plot(report: Mapping[str, Any]) -> str:
    """The curves as SVG: time above memory, against the batch on the left and against the side on the right."""
    panels = []
    for quantity, unit in QUANTITIES.items():
        for along, label in (("batch", "images in the batch"), ("side", "side of the images, pixels")):
            lines = [
                Line(
                    f"{curve['configuration']}, {curve['name']}",
                    [(point[along], point[quantity]) for point in curve["points"]],
                    {
                        index: f"x{point['over_trend'][quantity]:.2f}"
                        for index, point in enumerate(curve["points"])
                        if point["over_trend"][quantity] > CLIFF
                    },
                )
                for curve in report["curves"]
                if curve["along"] == along
            ]
            panels.append(Panel(f"{unit} against {along}", label, unit, lines))
    return line_chart(f"{report['mode']}, {report['threads']} threads, {report['date']}", panels)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--rounds", 3)
    add_kernels_option(parser, KERNELS)
    parser.add_argument("--mode", choices=MODES, default="step", help="default: %(default)s")
    parser.add_argument("--pytorch", action="store_true", help="measure PyTorch's default layout too")
    for option, sizes, meaning in (
        ("--batches", BATCHES, f"images of {SIDE_OF_BATCHES}x{SIDE_OF_BATCHES} in a batch"),
        ("--sides", SIDES, f"pixels of square images, in batches of {' and '.join(map(str, BATCHES_OF_SIDES))}"),
    ):
        parser.add_argument(
            option,
            type=count,
            nargs="+",
            default=list(sizes),
            metavar="N",
            help=f"{meaning} (default: {' '.join(map(str, sizes))})",
        )
    parser.add_argument("--plot", type=file_path, metavar="PATH.svg", help="draw the curves here")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables and write the files that were asked for."""
    arguments = parse_arguments()
    series = series_of(arguments.mode, sorted(set(arguments.batches)), sorted(set(arguments.sides)))
    configurations = [*map(gradcli_configuration, arguments.kernels), *([PYTORCH] if arguments.pytorch else [])]
    with prepared_setup(arguments.pytorch_python, arguments.threads) as setup:
        head = describe_measurement(setup.threads)
        cases = list(dict.fromkeys(case for own in series.values() for case in own))
        turns = measure(setup, cases, configurations, arguments.rounds)
    curves = [
        summarize_curve(name, configuration, own, turns)
        for name, own in series.items()
        for configuration in configurations
    ]
    report = {
        "schema": "gradcli.benchmarks.scaling/1",
        **head,
        "mode": arguments.mode,
        "rounds": arguments.rounds,
        "curves": curves,
        "cliffs": cliffs_of(curves),
    }
    print(format_report(report))
    write_json(arguments.json, report)
    if arguments.plot is not None:
        Path(arguments.plot).write_text(plot(report), encoding="utf-8")


if __name__ == "__main__":
    main()
