"""Loading takes little more memory than the file has bytes, whatever the container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import save_safetensors
from tests.checkpoints.torch_legacy_writer import LegacyStorage, legacy_tensor, write_torch_legacy
from tests.checkpoints.torch_tar_writer import TarStorage, TarTensor, write_torch_tar

# Every element is used; reading the file would have been enough for tensors that are a map of it.
MEASURE = """
import importlib, sys, pathlib
import numpy
from gradcli.checkpoints import load_checkpoint
for reader in ("npz_reader", "safetensors_index", "torch_legacy_reader", "torch_tar_reader", "torch_zip_reader"):
    importlib.import_module(f"gradcli.checkpoints.{reader}")
import safetensors
def status(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024
path = pathlib.Path(sys.argv[1])
before = status("VmRSS")
tensors = load_checkpoint(path).tensors
assert sum(float(tensor.sum()) for tensor in tensors.values()) > 0
print((status("VmHWM") - before) / path.stat().st_size)
"""
SHAPE, STRIDES = (512, 1024), (1024, 1)
TRANSPOSED = (1024, 512), (1, 1024)


def write_zip(torch_zip: Any, values: np.ndarray, byteorder: bytes = b"little", window: Any = (SHAPE, STRIDES)) -> Path:
    content = {}
    for number, value in enumerate(values):
        storage = torch_zip.Storage("FloatStorage", str(number), value.reshape(-1))
        torch_zip.storages.append(storage)
        content[str(number)] = torch_zip.tensor(storage, 0, *window)
    return torch_zip.write(content, byteorder=byteorder)


def write_legacy(folder: Path, values: np.ndarray, window: Any = (SHAPE, STRIDES)) -> Path:
    storages = {str(number): LegacyStorage(str(number), value.reshape(-1)) for number, value in enumerate(values)}
    content = {name: legacy_tensor(storage, 0, *window) for name, storage in storages.items()}
    return write_torch_legacy(folder / "legacy.pth", content)


def write_tar(folder: Path, values: np.ndarray, window: Any = (SHAPE, STRIDES)) -> Path:
    content = {str(number): TarTensor(TarStorage(value.reshape(-1)), 0, *window) for number, value in enumerate(values)}
    return write_torch_tar(folder / "tar.pth", content)


def write_npz(folder: Path, values: np.ndarray) -> Path:
    np.savez(folder / "w.npz", **{str(number): value for number, value in enumerate(values)})
    return folder / "w.npz"


def write_safetensors(folder: Path, values: np.ndarray) -> Path:
    save_safetensors(folder / "w.safetensors", {str(number): value for number, value in enumerate(values)})
    return folder / "w.safetensors"


WRITERS = {
    "zip": lambda builder, values: write_zip(builder, values),
    "zip, transposed": lambda builder, values: write_zip(builder, values, window=TRANSPOSED),
    "zip, big-endian": lambda builder, values: write_zip(builder, values.astype(">f4"), b"big"),
    "legacy": lambda builder, values: write_legacy(builder.folder, values),
    "legacy, transposed": lambda builder, values: write_legacy(builder.folder, values, TRANSPOSED),
    "tar": lambda builder, values: write_tar(builder.folder, values),
    "tar, transposed": lambda builder, values: write_tar(builder.folder, values, TRANSPOSED),
    "npz": lambda builder, values: write_npz(builder.folder, values),
    "npz, other order": lambda builder, values: write_npz(builder.folder, values.transpose(0, 2, 1)),
    "safetensors": lambda builder, values: write_safetensors(builder.folder, values),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("case", WRITERS)
def test_peak_memory_is_at_most_one_and_a_half_times_the_file(torch_zip: Any, case: str) -> None:
    values = np.random.default_rng(0).random((12, *SHAPE), np.float32)  # 25 MB in 12 tensors
    path = WRITERS[case](torch_zip, values)
    child = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert 0.9 < float(child.stdout) < 1.5
