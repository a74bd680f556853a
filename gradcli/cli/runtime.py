"""What a command sets up before its work starts: compute threads, logging, how warnings look.

gradcli's kernels share their work among threads of their own, and BLAS stays at one. Its thread count must be in the
environment before NumPy is imported, because BLAS libraries read it once when they are loaded. That is why commands
import their workflow inside the function body.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from gradcli.cli.plain_values import without_control_characters
from gradcli.errors import UsageError

BLAS_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

logger = logging.getLogger("gradcli")


@contextlib.contextmanager
def prepared_runtime(*, threads: int | None, quiet: bool, verbose: bool) -> Iterator[None]:
    """Set up the process for one command and put everything back afterwards.

    `threads` is the number of compute threads, None for what the process has: at first, one for each core.
    `quiet` leaves only errors on standard error, `verbose` adds details; together a UsageError.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them")
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    with (
        _single_threaded_blas(),
        _compute_threads(threads),
        _logging_to_standard_error(level),
        warnings.catch_warnings(),
    ):
        warnings.showwarning = _log_warning
        yield


@contextlib.contextmanager
def _single_threaded_blas() -> Iterator[None]:
    # Whatever the environment says: a BLAS thread waits for the next product by spinning, on a core that one of
    # gradcli's own threads wants.
    before = {name: os.environ.get(name) for name in BLAS_THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(BLAS_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _compute_threads(threads: int | None) -> Iterator[None]:
    if threads is None:
        yield
        return
    # Here, because it imports NumPy: BLAS is set by now.
    from gradcli.kernels.threads import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(threads)
    try:
        yield
    finally:
        set_num_threads(before)


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
            message = without_control_characters(record.getMessage(), keep_lines=True)
            sys.stderr.write(f"{prefix}{message}\n")
            sys.stderr.flush()


def _log_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    logger.warning("%s", message)
