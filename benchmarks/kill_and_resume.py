"""Interrupts finetuning runs at random moments, resumes them, and compares what they come to with a run left alone.

    python benchmarks/kill_and_resume.py [--runs N] [--how sigkill sigterm full-disk] [--seed N] [--threads N]

Every run is interrupted one to three times: killed at once, asked to stop, or by a disk that takes no more than so many
bytes of a file. It then goes on with `--resume`, or from the start if it had not yet got as far as its folder. In the
end weights and metrics (but seconds) have to be the same bytes, and the folder may hold no file more or less.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_measurement, format_measurement, thread_environment
from options import add_gradcli_command_option, parser_with_shared_options, write_json
from processes import require_modules

MOST_INTERRUPTIONS = 3
HANG_SECONDS = 600.0
"""A process that takes longer hangs, even where others keep the machine busy."""

DATA_ERROR = 3
RUN_FOLDER_ERROR = 7
STOPPED = 143

# Runs of two to four seconds that between them have whatever a checkpoint keeps.
TASKS = {
    "all layers": (
        *("--epochs", "3", "-b", "8", "--optimizer", "adamw", "--schedule", "cosine", "--warmup-epochs", "0.5"),
        *("--accumulate", "2", "--clip-norm", "1", "--augment", "light", "--checkpoint-every", "3"),
    ),
    "last layers on kept features": (
        *("--freeze-backbone", "--unfreeze", "layer4.*", "--epochs", "6", "-b", "8", "--schedule", "one-cycle"),
        *("--augment", "light", "--views", "2", "--class-weights", "balanced", "--checkpoint-every", "5"),
    ),
}
HOW = ("sigkill", "sigterm", "full-disk")


@dataclass(frozen=True)
class Result:
    """What a finished run left: digests of what must be the same, and the names of all its files."""

    digests: dict[str, str]
    files: tuple[str, ...]


@dataclass
class Count:
    """How the runs of one task that were interrupted in one way ended."""

    runs: int = 0
    interruptions: int = 0
    before_the_folder: int = 0
    resumed: int = 0
    identical: int = 0
    failures: list[str] = field(default_factory=list)


class Task:
    """Runs of one kind, in folders of their own below `folder`."""

    def __init__(
        self, folder: Path, gradcli: list[str], options: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._gradcli = gradcli
        self._options = options
        self._environment = environment
        write_data(folder / "data.npz")
        start = time.monotonic()
        reference = folder / "reference"
        finished = self._start(reference, resume=False)
        _, errors = finished.communicate(timeout=HANG_SECONDS)
        if finished.returncode != 0:
            sys.exit(f"the run that is left alone failed: {errors}")
        self.seconds = time.monotonic() - start
        self.expected = result_of(reference / "run")
        self.largest_file = max(path.stat().st_size for path in reference.rglob("*"))

    def interrupted(self, how: str, number: int, chance: random.Random, count: Count) -> None:
        """Interrupt a run, resume it to its end, and count how that went; one that was too quick is done again."""
        place = self._folder / f"{how}-{number}"
        count.runs += 1
        interruptions, planned, resume = 0, chance.randint(1, MOST_INTERRUPTIONS), False
        while True:
            wanted = how if planned > 0 else None
            planned -= 1
            process = self._start(place, resume, self._file_limit(chance) if wanted == "full-disk" else None)
            exit_code, errors = self._wait(process, wanted, chance)
            last = errors.strip().splitlines()[-1] if errors.strip() else ""
            if exit_code == 0 or (exit_code == RUN_FOLDER_ERROR and "nothing to resume" in last):
                if interruptions > 0:
                    break
                shutil.rmtree(place)
                planned, resume = 1, False
                continue
            if not expected_end(wanted, exit_code, last):
                count.failures.append(f"{place}: ended with {exit_code}: {errors[-4000:]}")
                return
            interruptions += 1
            resume = (place / "run" / "config.toml").exists()
            count.interruptions += 1
            count.resumed += resume
            count.before_the_folder += not resume
        result = result_of(place / "run")
        if result != self.expected:
            count.failures.append(f"{place}: {differences(self.expected, result)}")
            return
        count.identical += 1
        shutil.rmtree(place)

    def _file_limit(self, chance: random.Random) -> int:
        """How many bytes a file may have: of any order of magnitude, so that every file meets its limit."""
        return int(self.largest_file ** chance.uniform(0.1, 1.02))

    def _start(self, place: Path, resume: bool, file_limit: int | None = None) -> subprocess.Popen[str]:
        place.mkdir(exist_ok=True)
        run = str(place / "run")
        data = str(self._folder / "data.npz")
        words = ["--resume", run] if resume else [data, *self._options, "--run", run]
        return subprocess.Popen(
            [*self._gradcli, "finetune", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**self._environment, "GRADCLI_HOME": str(place / "home"), "PYTHONFAULTHANDLER": "1"},
            preexec_fn=None if file_limit is None else limit_files(file_limit),
        )

    def _wait(self, process: subprocess.Popen[str], how: str | None, chance: random.Random) -> tuple[int, str]:
        """Interrupt the process at some moment, if it is to be; its exit code and what it said."""
        if how in ("sigkill", "sigterm"):
            try:
                process.wait(chance.uniform(0, self.seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL if how == "sigkill" else signal.SIGTERM)
        try:
            _, errors = process.communicate(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it says where it is, thread by thread
            _, errors = process.communicate()
            return 1, f"{errors}\nhung for {HANG_SECONDS:g} seconds"
        return process.returncode, errors


def expected_end(how: str | None, exit_code: int, last_line: str) -> bool:
    """Whether an interrupted process ended as it should: with its exit code, and a line that tells why."""
    if how == "sigkill":
        return exit_code == -signal.SIGKILL
    if how == "sigterm":
        # Before Python, or gradcli, is ready for the signal, it just ends the process.
        return exit_code == -signal.SIGTERM or exit_code == STOPPED
    return how == "full-disk" and exit_code == DATA_ERROR and last_line.startswith("gradcli finetune: error: ")


def limit_files(size: int) -> Callable[[], None]:
    """What a process does before its program begins, so that no file that it writes gets larger."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def write_data(path: Path) -> None:
    """Images of three classes, each brighter in another band of rows."""
    labels = np.arange(90) % 3
    images = np.random.default_rng(0).integers(0, 160, (90, 32, 32, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[10 * label : 10 * label + 10] += 60
    np.savez(path, images=images, labels=labels)


def result_of(run: Path) -> Result:
    """What a finished run left in its folder."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metrics = json.dumps([{key: value for key, value in record.items() if key != "seconds"} for record in records])
    digests = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "last.safetensors")
    }
    summary = json.loads((run / "summary.json").read_text())
    state = {
        "status": summary["status"],
        "held": summary["frozen"]["held"],
        "frozen": summary["frozen"]["sha256_after"],
    }
    digests |= {"metrics": metrics, "config": (run / "config.toml").read_text(), "summary": json.dumps(state)}
    return Result(digests, tuple(sorted(str(path.relative_to(run)) for path in run.rglob("*"))))


def differences(expected: Result, result: Result) -> str:
    """In which ways a result is another."""
    names = [name for name, digest in expected.digests.items() if result.digests[name] != digest]
    files = sorted(set(expected.files) ^ set(result.files))
    return f"differs in {', '.join(names) or 'no content'}; files only there or only here: {', '.join(files) or 'none'}"


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    lines = [
        f"{format_measurement(report)}; seed {report['seed']}.",
        "",
        "| interrupted by | what trains | runs | interruptions | before the folder was there | resumed | identical |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    keys = ("runs", "interruptions", "before_the_folder", "resumed", "identical")
    for row in report["counts"]:
        cells = [row["how"], row["task"], *(str(row[key]) for key in keys)]
        lines += [f"| {' | '.join(cells)} |"]
    lines += ["", *(failure for row in report["counts"] for failure in row["failures"])]
    return "\n".join(lines).rstrip()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--runs", 100)
    add_gradcli_command_option(parser)
    parser.add_argument("--how", choices=HOW, nargs="+", default=list(HOW), help="default: all three")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where the runs are (default: a temporary one)")
    return parser.parse_args()


def main() -> None:
    """Interrupt the runs, print the counts, write the JSON file that was asked for; exit with 1 after a failure."""
    arguments = parse_arguments()
    require_modules(sys.executable, ["gradcli"], "install it there, in a checkout with pip install -e .")
    environment = thread_environment(arguments.threads)
    report: dict[str, Any] = {
        "schema": "gradcli.benchmarks.kill_and_resume/1",
        **describe_measurement(arguments.threads),
        "seed": arguments.seed,
        "counts": [],
    }
    gradcli = shlex.split(arguments.gradcli_command)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        places = {name: Path(folder) / str(number) for number, name in enumerate(TASKS)}
        for place in places.values():
            place.mkdir()
        tasks = {name: Task(places[name], gradcli, options, environment) for name, options in TASKS.items()}
        for how in arguments.how:
            counts = {name: Count() for name in tasks}
            chance = random.Random(f"{arguments.seed} {how}")
            for number in range(arguments.runs):
                name = list(tasks)[number % len(tasks)]
                tasks[name].interrupted(how, number, chance, counts[name])
                print(f"\r{how}: {number + 1} of {arguments.runs}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            report["counts"] += [{"how": how, "task": name, **asdict(each)} for name, each in counts.items()]
    print(format_report(report))
    write_json(arguments.json, report)
    if any(row["identical"] < row["runs"] for row in report["counts"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
