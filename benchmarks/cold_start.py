"""Measures one `gradcli step` as a whole process against the same step as a PyTorch script.

    python benchmarks/cold_start.py [--pairs N] [--threads N] [--json PATH]

The two run in turns, so that a change in the machine's load meets both. Wall time runs from the start of the
process to its end; CPU time and peak resident memory are what the system accounts to the finished process.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machine import describe_measurement, format_measurement, thread_environment
from options import add_gradcli_command_option, parser_with_shared_options, write_json
from whole_processes import QUANTITIES, Sample, run_process, summarize

HERE = Path(__file__).resolve().parent
GOALS = {"wall_seconds": 1 / 8, "peak_rss_mib": 0.6}
STEP_WALL_GOAL_SECONDS = 0.45
HELP_CPU_GOAL_SECONDS = 0.3


def measure_in_turns(
    commands: Mapping[str, list[str]], rounds: int, environment: Mapping[str, str]
) -> dict[str, list[Sample]]:
    """Run every command once in each of `rounds` rounds, after one round that only warms the caches.

    The order is reversed from round to round, so that no command always follows the same other one.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for round_number in range(rounds + 1):
        print(f"round {round_number} of {rounds}" if round_number else "warming up", file=sys.stderr)
        for name in list(commands)[:: 1 if round_number % 2 else -1]:
            sample = run_process(commands[name], environment)
            if round_number > 0:
                samples[name].append(sample)
    return samples


def build_report(samples: Mapping[str, list[Sample]], threads: int) -> dict[str, Any]:
    """Everything that was measured, where, and the ratios gradcli / PyTorch that the goals speak of."""
    summaries = {name: summarize(runs) for name, runs in samples.items()}
    gradcli, pytorch, help_page = (
        summaries["gradcli step"],
        summaries["PyTorch script"],
        summaries["gradcli --help"],
    )
    ratios = {
        statistic: {quantity: gradcli[statistic][quantity] / pytorch[statistic][quantity] for quantity in QUANTITIES}
        for statistic in gradcli
    }
    goals_met = {
        f"{quantity} at most {goal:g} of PyTorch's": ratios["median"][quantity] <= goal
        for quantity, goal in GOALS.items()
    }
    goals_met[f"step wall_seconds below {STEP_WALL_GOAL_SECONDS}"] = (
        gradcli["median"]["wall_seconds"] < STEP_WALL_GOAL_SECONDS
    )
    goals_met[f"--help cpu_seconds below {HELP_CPU_GOAL_SECONDS}"] = (
        help_page["median"]["cpu_seconds"] < HELP_CPU_GOAL_SECONDS
    )
    return {
        "schema": "gradcli.benchmarks.cold_start/1",
        **describe_measurement(threads),
        "summaries": summaries,
        "ratios": ratios,
        "goals_met": goals_met,
        "samples": {name: [asdict(sample) for sample in runs] for name, runs in samples.items()},
    }


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md: a line about the machine, a table, the goals."""
    runs = len(next(iter(report["samples"].values())))
    lines = [
        f"{format_measurement(report)}; median / minimum of {runs} runs.",
        "",
        "| process | " + " | ".join(QUANTITIES.values()) + " |",
        "|---|" + "---:|" * len(QUANTITIES),
    ]
    rows = report["summaries"] | {"ratio of the steps": report["ratios"]}
    for name, row in rows.items():
        cells = [
            " / ".join(f"{row[statistic][quantity]:{style}}" for statistic in ("median", "minimum"))
            for quantity, style in (
                ("wall_seconds", ".3f"),
                ("cpu_seconds", ".3f"),
                ("peak_rss_mib", ".3f" if row is report["ratios"] else ".0f"),
            )
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {goal}: {'met' if met else 'missed'}" for goal, met in report["goals_met"].items())]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--pairs", 15)
    add_gradcli_command_option(parser)
    return parser.parse_args()


def main() -> None:
    """Make the weights once, measure, print the table and write the JSON file that was asked for."""
    arguments = parse_arguments()
    environment = thread_environment(arguments.threads)
    gradcli = shlex.split(arguments.gradcli_command)
    with tempfile.TemporaryDirectory() as folder:
        run_process([arguments.pytorch_python, str(HERE / "make_weights.py"), folder], environment)
        commands = {
            "gradcli step": [*gradcli, "step", "-w", f"{folder}/resnet18.safetensors", "--json"],
            "PyTorch script": [
                arguments.pytorch_python,
                str(HERE / "pytorch_step.py"),
                f"{folder}/resnet18.pth",
            ],
            "gradcli --help": [*gradcli, "--help"],
        }
        samples = measure_in_turns(commands, arguments.pairs, environment)
    report = build_report(samples, arguments.threads)
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
