"""Measures how much a training step slows down beside another busy process, for gradcli and for PyTorch.

    python benchmarks/contention.py [--size SIDE:BATCH] [--kernels exact] [--rounds N] [--threads N]
                                    [--burner-threads N] [--json PATH]

In each round all take one turn on the machine as it is and one beside a process that keeps its threads busy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from machine import describe_measurement, format_measurement
from options import Size, add_kernels_option, count, parser_with_shared_options, size, write_json
from processes import Worker
from training_workers import (
    PYTORCH,
    Setup,
    TrainingWorkers,
    Turn,
    gradcli_configuration,
    median_and_minimum,
    prepared_setup,
    training_workers,
)
from workers.training_case import TrainingCase

GOAL = 3.0
"""How many times slower gradcli may get."""
ALONE, BESIDE = "alone", "beside the burner"
Turns = dict[str, dict[str, list[Turn]]]
"""Turns by configuration, then by ALONE and BESIDE."""


def measure(workers: TrainingWorkers, configurations: Sequence[str], burner: Worker, rounds: int) -> Turns:
    """Let every worker take a turn with the burner at rest and one with the burner at work, round by round."""
    turns: Turns = {name: {ALONE: [], BESIDE: []} for name in configurations}
    for configuration in workers.in_turns(rounds):
        turns[configuration][ALONE].append(workers.take_turn(configuration))
        burner.ask("on")
        turns[configuration][BESIDE].append(workers.take_turn(configuration, calls=1))  # one can take seconds
        burner.ask("off")
    return turns


def measure_case(
    setup: Setup, case: TrainingCase, configurations: Sequence[str], rounds: int, burner_threads: int
) -> dict[str, Any]:
    """Start the workers and the burner, measure, and report."""
    burner_command = [sys.executable, "-P", "-m", "workers.burner", str(burner_threads)]
    head = describe_measurement(setup.threads)  # now: later the load average would count the burner
    with training_workers(setup, case, configurations) as workers, Worker(burner_command, setup.environment) as burner:
        turns = measure(workers, configurations, burner, rounds)
        libraries = sorted(set(workers.libraries.values()))
    summaries = {name: summarize(own) for name, own in turns.items()}
    slowdowns = {name: row["slowdown"] for name, row in summaries.items()}
    of_gradcli = [name for name in configurations if name != PYTORCH]
    return {
        "schema": "gradcli.benchmarks.contention/1",
        **head,
        "libraries": libraries,
        "side": case.side,
        "batch": case.batch,
        "rounds": rounds,
        "burner_threads": burner_threads,
        "configurations": summaries,
        "pytorch_slowdown_over": {
            name: {
                statistic: slowdowns[PYTORCH][statistic] / slowdowns[name][statistic] for statistic in slowdowns[name]
            }
            for name in of_gradcli
        },
        "goals_met": {
            f"{name} slows down at most {GOAL:g} times": slowdowns[name]["median"] <= GOAL for name in of_gradcli
        },
    }


def summarize(turns: Mapping[str, Sequence[Turn]]) -> dict[str, Any]:
    """Times and slowdown of one configuration, from its turns ALONE and BESIDE."""
    seconds = {condition: median_and_minimum(taken) for condition, taken in turns.items()}
    return {
        "seconds": seconds,
        "slowdown": {statistic: seconds[BESIDE][statistic] / seconds[ALONE][statistic] for statistic in seconds[ALONE]},
        "samples": {condition: [turn.seconds for turn in taken] for condition, taken in turns.items()},
    }


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}; one step on {report['batch']} image(s) of "
        f"{report['side']}x{report['side']}, burner of {report['burner_threads']} threads. "
        f"Median / minimum of {report['rounds']} rounds.",
        "",
        "| configuration | alone, ms | beside the burner, ms | slowdown |",
        "|---|---:|---:|---:|",
    ]
    for name, row in report["configurations"].items():
        cells = [
            " / ".join(f"{1000 * seconds:.1f}" for seconds in row["seconds"][condition].values())
            for condition in (ALONE, BESIDE)
        ]
        slowdown = " / ".join(f"{factor:.2f}" for factor in row["slowdown"].values())
        lines.append(f"| {name} | {' | '.join(cells)} | {slowdown} |")
    lines.append("")
    for name, ratio in report["pytorch_slowdown_over"].items():
        lines.append(f"- PyTorch's slowdown / that of {name}: {ratio['median']:.2f} / {ratio['minimum']:.2f}")
    lines += [f"- {goal}: {'met' if met else 'missed'}" for goal, met in report["goals_met"].items()]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--rounds", 15)
    parser.add_argument(
        "--size",
        type=size,
        default=Size(64, 1),
        metavar="SIDE:BATCH",
        help="images of the step (default: %(default)s)",
    )
    add_kernels_option(parser, ["exact"])
    parser.add_argument(
        "--burner-threads", type=count, default=2, metavar="N", help="threads of the other process (default: 2)"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print the table and write the JSON file that was asked for."""
    arguments = parse_arguments()
    case = TrainingCase("step", arguments.size.side, arguments.size.batch)
    with prepared_setup(arguments.pytorch_python, arguments.threads) as setup:
        configurations = [*map(gradcli_configuration, arguments.kernels), PYTORCH]
        report = measure_case(setup, case, configurations, arguments.rounds, arguments.burner_threads)
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
