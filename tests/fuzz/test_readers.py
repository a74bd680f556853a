"""A short run of the fuzzer, in a process of its own with limited memory; every seed must be whole to be worth it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.errors import WeightsError
from tests.fuzz.seeds import INDEX, seed_files


def test_every_seed_but_the_plain_pickle_loads(tmp_path: Path) -> None:
    seeds = seed_files(tmp_path)
    for name, data in {**seeds.files, **seeds.shards}.items():
        (tmp_path / name).write_bytes(data)
    containers = {name: load_checkpoint(tmp_path / name).container for name in seeds.files if name != "plain.pkl"}
    assert set(containers.values()) == {
        *("safetensors", "safetensors-sharded", "torch-zip", "torch-legacy", "torch-tar", "npz")
    }
    assert containers[INDEX] == "safetensors-sharded"
    with pytest.raises(WeightsError, match="a plain Python pickle"):
        load_checkpoint(tmp_path / "plain.pkl")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory limit needs Linux")
def test_damaged_files_load_or_are_refused_in_one_line() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--count", "2000", "--seed", "1"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2000 files"), result.stdout
