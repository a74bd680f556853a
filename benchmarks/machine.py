"""What the benchmarks tell about the machine and their processes: processor, thread variables, units of memory.

Standard library only, and no NumPy: a process inherits its parent's peak memory until it has replaced the parent's
program by its own, so a program that measures others must stay smaller than they are.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BLAS_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def thread_environment(threads: int) -> dict[str, str]:
    """This process's environment with every library's thread count set, for processes that have yet to start."""
    environment = os.environ | {variable: str(threads) for variable in ("GRADCLI_THREADS", *BLAS_THREAD_VARIABLES)}
    environment.pop("GRADCLI_KERNELS", None)
    # An installed package has its byte code compiled; let the warm-up do that for a checkout.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def mebibytes(maximum_resident_set: int) -> float:
    """The `ru_maxrss` of a resource usage, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB elsewhere
    return maximum_resident_set * unit / 2**20


def describe_measurement(threads: int) -> dict[str, Any]:
    """When and where: the head of every report."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor_name(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "load_average": os.getloadavg()[0],
        },
        "threads": threads,
    }


def processor_name() -> str:
    """The processor's model, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def format_measurement(report: Mapping[str, Any]) -> str:
    """`describe_measurement` in one line, without a full stop."""
    machine = report["machine"]
    return (
        f"{report['date']}: {machine['processor']}, {machine['cpus']} CPUs, {machine['system']}, "
        f"Python {machine['python']}, threads {report['threads']}, load {machine['load_average']:.1f}"
    )
