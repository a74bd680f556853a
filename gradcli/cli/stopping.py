"""Signals that ask a long run to stop, so that it can save what it has."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Inside the block SIGINT, SIGTERM and SIGHUP only ask to stop; yields the function that says whether one did.

    A second SIGINT raises KeyboardInterrupt, as one does outside. Belongs into the main thread.
    """
    requested = False

    def request(signal_number: int, frame: Any) -> None:
        nonlocal requested
        if requested and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        requested = True
        logger.info("stopping after this batch; Ctrl-C stops at once")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):  # not on Windows
        numbers.append(signal.SIGHUP)
    handlers = {number: signal.signal(number, request) for number in numbers}
    try:
        yield lambda: requested
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
