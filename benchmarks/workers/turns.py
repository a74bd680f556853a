"""The worker's half of a benchmark in turns: nothing until asked, then as many runs as asked, and their median time."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from machine import mebibytes


def serve_turns(library: str, run: Callable[[], Any]) -> None:
    """Announce `library` (name and version), then take a turn for every line on standard input until it ends.

    The line is a number of calls of `run`, and the turn's time their median. One more comes before them: it wakes
    sleeping threads and fetches the weights back into the caches that other workers have used meanwhile. `run` returns
    a tensor whose mean magnitude is reported too, so that the parent can tell that all workers compute the same thing.
    """
    _write({"library": library})
    for line in sys.stdin:
        result = run()
        seconds = []
        for _ in range(int(line)):
            del result  # or it would take room during the next call
            start = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - start)
        _write(
            {
                "seconds": median(seconds),
                "mean_magnitude": result.abs().mean().item(),
                "peak_rss_mib": mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
            }
        )
        del result


def _write(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)
