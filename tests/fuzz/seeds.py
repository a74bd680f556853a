"""Small whole files of every container, to damage."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints.torch_tar_writer import TarStorage, TarTensor, parameter, whole_tensor, write_torch_tar

from gradcli.checkpoints import save_safetensors

FIXTURES = Path(__file__).parents[1] / "checkpoints" / "fixtures"


def seed_files(folder: Path) -> dict[str, bytes]:
    """The files by name, those that no fixture holds written in `folder`."""
    seeds = {path.name: path.read_bytes() for path in FIXTURES.iterdir() if path.suffix == ".pth"}
    for write in (_write_safetensors, _write_index, _write_npz, _write_tar):
        path = write(folder)
        seeds[path.name] = path.read_bytes()
    # Not a file of torch.save, but what someone may take for one.
    seeds["plain.pkl"] = pickle.dumps({"weight": [1.0, 2.0]}, protocol=2)
    return seeds


def _arrays() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.standard_normal((2, 3, 3, 3)).astype(np.float32),
        "bn1.running_mean": rng.standard_normal(2),
        "bn1.num_batches_tracked": np.array(7),
        "fc.weight": rng.standard_normal((4, 2)).astype(np.float16),
        "mask": np.array([True, False]),
    }


def _write_safetensors(folder: Path) -> Path:
    path = folder / "small.safetensors"
    save_safetensors(path, _arrays(), {"gradcli.classes": '["a", "b"]', "é": "x"})
    return path


def _write_index(folder: Path) -> Path:
    path = folder / "model.safetensors.index.json"
    shards = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate(_arrays(), 1)}
    path.write_text(json.dumps({"metadata": {"total_size": 300}, "weight_map": shards}))
    return path


def _write_npz(folder: Path) -> Path:
    path = folder / "small.npz"
    np.savez_compressed(path, **_arrays())
    return path


def _write_tar(folder: Path) -> Path:
    path = folder / "small-tar.pth"
    arrays = _arrays()
    root = TarStorage(np.arange(12, dtype=np.float32))
    content = {
        "conv1.weight": parameter(whole_tensor(arrays["conv1.weight"])),
        "bn1.running_mean": whole_tensor(arrays["bn1.running_mean"], "DoubleStorage"),
        "view": TarTensor(TarStorage(root.data[4:8], root=root, offset=4), 0, (2, 2), (1, 2)),
    }
    write_torch_tar(path, content)
    return path
