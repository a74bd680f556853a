"""A short run of the fuzzer, in a process of its own with limited memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory limit needs Linux")
def test_damaged_files_load_or_are_refused_in_one_line():
    tests = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-m", "fuzz", "--count", "3000", "--seed", "1"],
        cwd=tests,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3000 files"), result.stdout
