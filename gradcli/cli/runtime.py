"""What a command sets up before its work starts: compute threads, logging, how warnings look.

The thread count must be in the environment before NumPy is imported, because BLAS libraries read
it once when they are loaded. That is why commands import their workflow inside the function body.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from gradcli.errors import UsageError

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

logger = logging.getLogger("gradcli")


@contextlib.contextmanager
def prepared_runtime(*, threads: int | None, quiet: bool, verbose: bool) -> Iterator[None]:
    """Set up the process for one command and put everything back afterwards.

    `threads` is the number of compute threads, None for what the environment says, else one.
    `quiet` leaves only errors on standard error, `verbose` adds details; together a UsageError.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them")
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    with _thread_variables(threads), _logging_to_standard_error(level), warnings.catch_warnings():
        warnings.showwarning = _log_warning
        yield


@contextlib.contextmanager
def _thread_variables(threads: int | None) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    elif not any(before.values()):
        # A BLAS thread waits for the next product by spinning: beside any other busy process two of them are not
        # faster than one but five to fifty times slower.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _logging_to_standard_error(level: int) -> Iterator[None]:
    handler = _StandardErrorHandler()
    level_before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)


class _StandardErrorHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment, so that a progress bar can step aside."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        # A closed or full standard error must not end a training run.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{prefix}{record.getMessage()}\n")
            sys.stderr.flush()


def _log_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    logger.warning("%s", message)
