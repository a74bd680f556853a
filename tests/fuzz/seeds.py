"""Small whole files of every container, to damage."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcli.checkpoints import save_safetensors
from gradcli.checkpoints.naming import names_in
from tests.checkpoints.torch_legacy_writer import LegacyStorage, legacy_bytes, legacy_tensor
from tests.checkpoints.torch_pickler import TorchCall, TorchName
from tests.checkpoints.torch_tar_writer import TarStorage, TarTensor, parameter, whole_tensor, write_torch_tar
from tests.checkpoints.torch_zip_writer import TorchZip

FIXTURES = Path(__file__).parents[1] / "checkpoints" / "fixtures"
INDEX = "model.safetensors.index.json"
State = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Seeds:
    """Whole files by name. `shards` lie beside the file `INDEX`, which names them."""

    files: Mapping[str, bytes]
    shards: Mapping[str, bytes]


def seed_files(folder: Path) -> Seeds:
    """The seeds; those that no fixture holds are written in `folder`."""
    files = {path.name: path.read_bytes() for path in FIXTURES.iterdir() if path.suffix == ".pth"}
    files |= {
        "small.safetensors": _safetensors(folder, _arrays(), {"gradcli.classes": '["a", "b"]', "é": "x"}),
        "bfloat16.safetensors": _safetensors(folder, _bfloat16_arrays(), {}, "bfloat16"),
        "resnet18-hf.safetensors": _safetensors(folder, _hugging_face(_resnet18()), {"format": "pt"}),
        "small.npz": _npz(np.savez_compressed),
        "stored.npz": _npz(np.savez),
        "small-tar.pth": _tar(folder),
        "resnet18-zip.pth": _training_zip(folder),
        "training-legacy.pth": _training_legacy(),
        # Not a file of torch.save, but what someone may take for one.
        "plain.pkl": pickle.dumps({"weight": [1.0, 2.0]}, protocol=2),
    }
    names = list(_arrays())
    parts = {
        "model-00001-of-00002.safetensors": {name: _arrays()[name] for name in names[:2]},
        "model-00002-of-00002.safetensors": {name: _arrays()[name] for name in names[2:]},
    }
    shards = {part: _safetensors(folder, state, {"format": "pt"}) for part, state in parts.items()}
    weight_map = {name: part for part, state in parts.items() for name in state}
    files[INDEX] = json.dumps({"metadata": {"total_size": 300}, "weight_map": weight_map}).encode()
    return Seeds(files, shards)


def _arrays() -> State:
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.standard_normal((2, 3, 3, 3)).astype(np.float32),
        "bn1.running_mean": rng.standard_normal(2),
        "bn1.num_batches_tracked": np.array(7),
        "fc.weight": rng.standard_normal((4, 2)).astype(np.float16),
        "mask": np.array([True, False]),
    }


def _bfloat16_arrays() -> State:
    return {"layer1.0.conv1.weight": np.arange(24, dtype=np.float32).reshape(4, 6), "fc.bias": np.ones(3, np.float32)}


def _resnet18() -> State:
    """The names of a ResNet-18's tensors, with the ranks of its shapes and as few channels as tell the network."""
    state = {"conv1.weight": np.ones((2, 3, 7, 7), np.float32)}

    def add_norm(name: str) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{entry}"] = np.ones(2, np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(1)

    add_norm("bn1")
    for stage in range(1, 5):
        for block in range(2):
            for convolution in (1, 2):
                state[f"layer{stage}.{block}.conv{convolution}.weight"] = np.ones((2, 2, 3, 3), np.float32)
                add_norm(f"layer{stage}.{block}.bn{convolution}")
            if stage > 1 and block == 0:
                state[f"layer{stage}.0.downsample.0.weight"] = np.ones((2, 2, 1, 1), np.float32)
                add_norm(f"layer{stage}.0.downsample.1")
    state["layer1.0.conv2.weight"] = np.ones((64, 2, 1, 1), np.float32)
    return state | {"fc.weight": np.ones((4, 2), np.float32), "fc.bias": np.ones(4, np.float32)}


def _hugging_face(state: State) -> State:
    return {new: state[name] for name, new in names_in("hf", state).items()}


def _safetensors(folder: Path, state: State, metadata: dict[str, str], dtype: str | None = None) -> bytes:
    path = folder / "written.safetensors"
    save_safetensors(path, state, metadata, dict.fromkeys(state, dtype) if dtype else None)
    return path.read_bytes()


def _npz(save: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, **_arrays())
    return stream.getvalue()


def _training_entries() -> dict[str, Any]:
    """What a script keeps beside its weights."""
    arguments = TorchCall(TorchName("argparse", "Namespace"), new=True, state={"lr": 0.1, "arch": "resnet18"})
    moment = TorchCall(TorchName("datetime", "datetime"), (b"\x07\xe4\x01\x02\x00\x00\x00\x00\x00\x00",))
    groups = [{"lr": 0.1, "momentum": 0.9, "params": [0, 1, 2]}]
    return {"epoch": 90, "best_acc1": 69.75, "args": arguments, "date": moment, "param_groups": groups}


def _training_zip(folder: Path) -> bytes:
    builder = TorchZip(folder)
    weights = {
        f"module.{name}": builder.whole(array, "LongStorage" if array.dtype == np.int64 else "FloatStorage")
        for name, array in _resnet18().items()
    }
    state = {number: {"momentum_buffer": builder.whole(np.ones(4, np.float32))} for number in range(3)}
    entries = _training_entries()
    optimizer = {"state": state, "param_groups": entries.pop("param_groups")}
    return builder.write({"state_dict": weights, "optimizer": optimizer, **entries}).read_bytes()


def _training_legacy() -> bytes:
    storage = LegacyStorage("1", np.arange(12, dtype=np.float32))
    view = LegacyStorage("1", storage.data, view=("2", 4, 6))
    weights = {
        "conv1.weight": legacy_tensor(storage, 0, (3, 4), (1, 3)),
        "conv1.tied": legacy_tensor(storage, 0, (3, 4), (1, 3)),
        "fc.bias": legacy_tensor(view, 1, (5,), (1,)),
    }
    buffer = legacy_tensor(LegacyStorage("3", np.ones(4, np.float32)), 0, (4,), (1,))
    entries = _training_entries()
    optimizer = {"state": {0: {"momentum_buffer": buffer}}, "param_groups": entries.pop("param_groups")}
    return legacy_bytes({"model": weights, "optimizer": optimizer, **entries})


def _tar(folder: Path) -> bytes:
    arrays = _arrays()
    root = TarStorage(np.arange(12, dtype=np.float32))
    content = {
        "conv1.weight": parameter(whole_tensor(arrays["conv1.weight"])),
        "bn1.running_mean": whole_tensor(arrays["bn1.running_mean"], "DoubleStorage"),
        "view": TarTensor(TarStorage(root.data[4:8], root=root, offset=4), 0, (2, 2), (1, 2)),
    }
    return write_torch_tar(folder / "small-tar.pth", content).read_bytes()
