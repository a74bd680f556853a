"""What the workers that load weights files have in common."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def answer_lines(ways: Mapping[str, Callable[[str], Any]]) -> None:
    """For each line `{"path": ..., "way": ...}` load the file that way, once; print the seconds."""
    for line in sys.stdin:
        request = json.loads(line)
        load = ways[request["way"]]
        start = time.perf_counter()
        content = load(request["path"])
        seconds = time.perf_counter() - start
        del content
        print(json.dumps({"seconds": seconds}), flush=True)
