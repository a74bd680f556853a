"""Processes measured as a whole: wall time, CPU time and peak memory of a program from its start to its end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from machine import mebibytes

QUANTITIES = {"wall_seconds": "wall s", "cpu_seconds": "CPU s", "peak_rss_mib": "peak MiB"}


@dataclass(frozen=True)
class Sample:
    """What a finished process took: seconds of wall and CPU (user + system) time, MiB of resident memory."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mib: float


def run_process(command: list[str], environment: Mapping[str, str]) -> Sample:
    """Run a command to its end and measure it; exit with its error output where it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        except OSError as error:
            sys.exit(f"cannot run {shlex.join(command)}: {error.strerror}")
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            last_lines = errors.read().decode(errors="replace").strip().splitlines()[-5:]
            sys.exit("\n".join([f"{shlex.join(command)} ended with exit code {process.returncode}:", *last_lines]))
    return Sample(wall_seconds, usage.ru_utime + usage.ru_stime, mebibytes(usage.ru_maxrss))


def summarize(samples: list[Sample]) -> dict[str, dict[str, float]]:
    """The median and the minimum of every quantity."""
    columns = {quantity: [getattr(sample, quantity) for sample in samples] for quantity in QUANTITIES}
    return {
        "median": {quantity: median(column) for quantity, column in columns.items()},
        "minimum": {quantity: min(column) for quantity, column in columns.items()},
    }
