"""Writes the files under `fixtures/` with PyTorch: run `python tests/checkpoints/write_fixtures.py` to make them anew.

Each is one dictionary of tensors in a container of torch.save. `expected.npz` holds the same tensors as NumPy arrays,
bfloat16 widened to float32, under the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "fixtures"
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")


def named_tensors() -> dict[str, torch.Tensor]:
    """Every dtype, and windows of every kind into one storage."""
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for name in FLOATS:
        values = torch.randn(3, 4, dtype=torch.float64)
        values[0] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-7])
        tensors[name] = values.to(getattr(torch, name))
    for name in INTEGERS:
        values = torch.randint(0, 2**62, (3, 4)) >> torch.arange(12).reshape(3, 4) * 5
        tensors[name] = (values % 2).bool() if name == "bool" else values.to(getattr(torch, name))
    for name in ("float32", "bfloat16", "int16", "bool"):
        base = tensors[name]
        tensors[f"{name}.tied"] = base
        tensors[f"{name}.transposed"] = base.t()
        tensors[f"{name}.columns"] = base[:, 1:3]
        tensors[f"{name}.rows"] = base[1:]
        tensors[f"{name}.expanded"] = base[0].expand(2, 4)
        tensors[f"{name}.channels_last"] = base.clone().reshape(1, 3, 2, 2).to(memory_format=torch.channels_last)
        tensors[f"{name}.element"] = base[1, 2]
        tensors[f"{name}.empty"] = base[:0]
    tensors["parameter"] = torch.nn.Parameter(torch.randn(5))
    tensors["buffer"] = torch.nn.Buffer(torch.randn(2, 2))
    return tensors


def write_big_endian(source: Path, destination: Path) -> None:
    """The same archive as a machine of the other byte order writes it."""
    item_sizes = {}
    for tensor in torch.load(source, weights_only=True).values():
        item_sizes[len(item_sizes)] = tensor.element_size()
    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(destination))
    for name in reader.get_all_records():
        record = reader.get_record(name)
        if name == "byteorder":
            record = b"big"
        elif name.startswith("data/"):
            swapped = np.frombuffer(record, f"u{item_sizes[int(name.removeprefix('data/'))]}").byteswap()
            record = swapped.tobytes()
        if name not in ("version", ".data/serialization_id"):  # the writer's own
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()


def write_fixtures() -> None:
    """All files, over those that are there."""
    FOLDER.mkdir(exist_ok=True)
    tensors = named_tensors()
    arrays: dict[str, Any] = {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().contiguous().numpy()
        for name, tensor in tensors.items()
    }
    np.savez_compressed(FOLDER / "expected.npz", **arrays)
    torch.save(tensors, FOLDER / "torch_zip.pth")
    torch.save({"epoch": 3, "state_dict": tensors}, FOLDER / "torch_zip_protocol_4.pth", pickle_protocol=4)
    torch.save(tensors, FOLDER / "torch_legacy.pth", _use_new_zipfile_serialization=False)
    apart = {name: tensors[name] for name in (*FLOATS, *INTEGERS)}  # one storage each, in this order
    torch.save(apart, FOLDER / "little_endian.pth")
    write_big_endian(FOLDER / "little_endian.pth", FOLDER / "torch_zip_big_endian.pth")
    (FOLDER / "little_endian.pth").unlink()


if __name__ == "__main__":
    write_fixtures()
