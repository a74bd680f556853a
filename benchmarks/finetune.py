"""Measures finetuning on the bundled digits as a whole process against an ordinary PyTorch script.

    python benchmarks/finetune.py [--runs N] [--epochs N] [--full-epochs N] [--threads N] [--json PATH]

Both begin with the same weights and take the same batches of 32 in the same order. They run in turns, so that a change
in the machine's load meets both. With a frozen backbone, gradcli runs twice: with an empty feature cache, and with what
the run before left there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from machine import describe_measurement, format_measurement, thread_environment
from options import add_gradcli_command_option, count, parser_with_shared_options, write_json
from processes import output_of, require_modules
from whole_processes import QUANTITIES, Sample, run_process, summarize

HERE = Path(__file__).resolve().parent
BATCH_SIZE = 32
PYTORCH = "PyTorch"
GRADCLI = "gradcli"
GRADCLI_AGAIN = "gradcli, features in the cache"
FROZEN = "frozen backbone"
FULL = "all layers"
PROGRAMS = {FROZEN: (GRADCLI, GRADCLI_AGAIN, PYTORCH), FULL: (GRADCLI, PYTORCH)}

WALL_GOAL = 0.1
MEMORY_GOAL = 1.0
ACCURACY_TOLERANCE = 0.005


@dataclass(frozen=True)
class Run:
    """A finished process, the seconds that training itself took in it, and the last epoch's validation accuracy."""

    process: Sample
    training_seconds: float
    val_accuracy: float


class Programs:
    """The processes of one training task, in a folder of their own."""

    def __init__(self, folder: Path, gradcli: list[str], pytorch: str, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._gradcli = gradcli
        self._pytorch = pytorch
        self._home = folder / "home"
        self._environment = dict(environment) | {"GRADCLI_HOME": str(self._home)}

    def write_case(self, epochs: int) -> None:
        """Write what they all begin with."""
        command = [sys.executable, "-P", "-m", "workers.digits_case", str(self._folder), str(epochs), str(BATCH_SIZE)]
        output_of(command, self._environment)

    def run(self, program: str, task: str, epochs: int) -> Run:
        """Run a program to its end."""
        freeze = ["--freeze-backbone"] if task == FROZEN else []
        weights = str(self._folder / "start.safetensors")
        if program == PYTORCH:
            result = self._folder / "pytorch.json"
            script, data = str(HERE / "pytorch_finetune.py"), str(self._folder / "digits.npz")
            command = [self._pytorch, script, weights, data, str(epochs), str(BATCH_SIZE), str(result), *freeze]
            result.with_suffix(".pth").unlink(missing_ok=True)
            sample = run_process(command, self._environment)
            values = json.loads(result.read_text())
            return Run(sample, values["seconds"], values["val_accuracy"])
        if program == GRADCLI:
            shutil.rmtree(self._home, ignore_errors=True)
        run = self._folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        options = ["-w", weights, "--epochs", str(epochs), "-b", str(BATCH_SIZE), "--run", str(run), *freeze]
        sample = run_process([*self._gradcli, "finetune", "digits", *options], self._environment)
        summary = json.loads((run / "summary.json").read_text())
        return Run(sample, summary["seconds"], summary["records"][-1]["val_accuracy"])


def measure(programs: Programs, task: str, epochs: int, runs: int) -> dict[str, list[Run]]:
    """The programs' runs, in turns, after one of each that only warms the system's caches."""
    programs.write_case(epochs)
    finished: dict[str, list[Run]] = {name: [] for name in PROGRAMS[task]}
    for number in range(runs + 1):
        print(f"{task}: {f'round {number} of {runs}' if number else 'warming up'}", file=sys.stderr)
        for program in PROGRAMS[task]:
            run = programs.run(program, task, epochs)
            if number > 0:
                finished[program].append(run)
    return finished


def summarize_task(task: str, epochs: int, finished: Mapping[str, list[Run]]) -> dict[str, Any]:
    """Times, memory and accuracy of every program, and their ratios to PyTorch's."""
    rows: dict[str, Any] = {}
    for program, runs in finished.items():
        statistics = summarize([run.process for run in runs])
        seconds = [run.training_seconds for run in runs]
        rows[program] = {
            "median": {**statistics["median"], "training_seconds": median(seconds)},
            "minimum": {**statistics["minimum"], "training_seconds": min(seconds)},
            "val_accuracy": runs[-1].val_accuracy,
        }
    for row in rows.values():
        row["ratio"] = {key: value / rows[PYTORCH]["median"][key] for key, value in row["median"].items()}
    return {
        "task": task,
        "epochs": epochs,
        "programs": rows,
        "runs": {k: list(map(asdict, v)) for k, v in finished.items()},
    }


def goals_met(frozen: Mapping[str, Any]) -> dict[str, bool]:
    """What is wanted of the frozen backbone's runs."""
    own, other = frozen["programs"][GRADCLI], frozen["programs"][PYTORCH]
    return {
        f"wall time below {WALL_GOAL:g} of PyTorch's": own["ratio"]["wall_seconds"] < WALL_GOAL,
        "peak memory at most PyTorch's": own["ratio"]["peak_rss_mib"] <= MEMORY_GOAL,
        f"accuracy within {100 * ACCURACY_TOLERANCE:g} points of PyTorch's": (
            abs(own["val_accuracy"] - other["val_accuracy"]) <= ACCURACY_TOLERANCE
        ),
    }


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    runs = len(report["tasks"][0]["runs"][PYTORCH])
    lines = [f"{format_measurement(report)}; median / minimum of {runs} runs."]
    columns = {**QUANTITIES, "training_seconds": "training s"}
    for task in report["tasks"]:
        lines += [
            "",
            f"| {task['task']}, {task['epochs']} epochs | {' | '.join(columns.values())} | accuracy | wall / PyTorch |",
            "|---|" + "---:|" * (len(columns) + 2),
        ]
        for program, row in task["programs"].items():
            cells = [
                " / ".join(
                    f"{row[each][key]:{'.0f' if key == 'peak_rss_mib' else '.2f'}}" for each in ("median", "minimum")
                )
                for key in columns
            ]
            lines.append(
                f"| {program} | {' | '.join(cells)} | {row['val_accuracy']:.4f} | {row['ratio']['wall_seconds']:.3f} |"
            )
    lines += ["", *(f"- {goal}: {'met' if met else 'missed'}" for goal, met in report["goals_met"].items())]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--runs", 5)
    add_gradcli_command_option(parser)
    for option, default, what in (("--epochs", 10, "a frozen backbone"), ("--full-epochs", 3, "all layers")):
        parser.add_argument(
            option, type=count, default=default, metavar="N", help=f"epochs with {what} (default: %(default)s)"
        )
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables and write the JSON file that was asked for."""
    arguments = parse_arguments()
    require_modules(sys.executable, ["gradcli"], "install it there, in a checkout with pip install -e .")
    require_modules(arguments.pytorch_python, ["torch", "safetensors", "numpy"], "or name another: --pytorch-python")
    environment = thread_environment(arguments.threads)
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [environment.get("PYTHONPATH")])])
    report: dict[str, Any] = {
        "schema": "gradcli.benchmarks.finetune/1",
        **describe_measurement(arguments.threads),
        "tasks": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        gradcli = shlex.split(arguments.gradcli_command)
        programs = Programs(Path(folder), gradcli, arguments.pytorch_python, environment)
        for task, epochs in ((FROZEN, arguments.epochs), (FULL, arguments.full_epochs)):
            finished = measure(programs, task, epochs, arguments.runs)
            report["tasks"].append(summarize_task(task, epochs, finished))
    report["goals_met"] = goals_met(report["tasks"][0])
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
