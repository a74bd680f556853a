"""A worker of gradcli and one of PyTorch that take turns at the same cases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from machine import BLAS_THREAD_VARIABLES, thread_environment
from processes import Worker, require_modules

HERE = Path(__file__).resolve().parent


def prepared_environment(pytorch_python: str, threads: int) -> dict[str, str]:
    """The environment of workers, which import what lies beside this file.

    Exits with one line where this Python lacks gradcli or the other one PyTorch.
    """
    require_modules(sys.executable, ["gradcli"], "install it there, in a checkout with pip install -e .")
    require_modules(pytorch_python, ["torch"], "install its CPU build there or name another Python: --pytorch-python")
    environment = thread_environment(threads)
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [environment.get("PYTHONPATH")])])
    return environment


@contextmanager
def paired_workers(
    subject: str, pytorch_python: str, environment: Mapping[str, str], options: Sequence[str]
) -> Iterator[tuple[Worker, Worker]]:
    """Processes of the modules `workers.gradcli_SUBJECT` and `workers.pytorch_SUBJECT`, started with these options."""
    # gradcli's own threads divide the work; those of BLAS would only stand in their way.
    own_environment = dict(environment) | dict.fromkeys(BLAS_THREAD_VARIABLES, "1")
    with (
        Worker([sys.executable, "-P", "-m", f"workers.gradcli_{subject}", *options], own_environment) as gradcli,
        Worker([pytorch_python, "-P", "-m", f"workers.pytorch_{subject}", *options], environment) as pytorch,
    ):
        yield gradcli, pytorch
