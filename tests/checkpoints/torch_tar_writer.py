"""The oldest format of torch.save, a tar archive as PyTorch 0.1 wrote it in 2017, made without PyTorch."""

from __future__ import annotations

import io
import itertools
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints.torch_pickler import TorchCall, TorchName, torch_pickle

# What PyTorch used as keys were addresses.
_KEYS = itertools.count(404_880_640, 16)


@dataclass(frozen=True, eq=False)
class TarStorage:
    """A storage: elements of its own, or (with a root) a run of another storage's that starts at `offset`."""

    data: np.ndarray[Any, Any]
    type_name: str = "FloatStorage"
    root: TarStorage | None = None
    offset: int = 0
    location: str = "cpu"
    key: int = field(default_factory=lambda: next(_KEYS))


@dataclass(frozen=True, eq=False)
class TarTensor:
    """A window into a storage; strides and offset count elements."""

    storage: TarStorage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    module: str = "torch"
    key: int = field(default_factory=lambda: next(_KEYS))


def parameter(tensor: TarTensor) -> TorchCall:
    """A torch.nn.Parameter of a tensor: made without one, which is then set with the rest of its state."""
    kind = TorchName("torch.nn.parameter", "Parameter")
    return TorchCall(kind, new=True, state=(tensor, None, None, True, False))


def whole_tensor(array: np.ndarray[Any, Any], type_name: str = "FloatStorage") -> TarTensor:
    """A tensor that is all of its own storage, in order."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    strides = tuple(step // array.itemsize for step in array.strides)
    return TarTensor(TarStorage(array.reshape(-1), type_name), 0, array.shape, strides)


def tar_members(content: Any, little_endian: bool = True, protocol: int = 2) -> dict[str, bytes]:
    """The four members of the archive by name, in their order, for an object that holds TarTensor and TarStorage."""
    tensors: dict[int, TarTensor] = {}
    storages: dict[int, TarStorage] = {}

    def persistent_id(value: Any) -> str | None:
        if isinstance(value, TarTensor):
            tensors[value.key] = value
            return str(value.key)
        if isinstance(value, TarStorage):
            storages[value.key] = value
            return str(value.key)
        return None

    pickled_content = torch_pickle(content, protocol, persistent_id)
    storages |= {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    system = {
        "protocol_version": 1000,
        "little_endian": little_endian,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    return {
        "sys_info": torch_pickle(system, protocol),
        "pickle": pickled_content,
        "tensors": tensors_member(tensors.values(), protocol),
        "storages": storages_member(storages.values(), protocol),
    }


def tensors_member(tensors: Iterable[TarTensor], protocol: int = 2) -> bytes:
    tensors = list(tensors)
    pieces = [torch_pickle(len(tensors), protocol)]
    for tensor in tensors:
        kind = TorchName(tensor.module, tensor.storage.type_name.replace("Storage", "Tensor"))
        rank = len(tensor.shape)
        # PyTorch wrote the rank as 8 bytes of which only the lower 4 mean something.
        pieces += [
            torch_pickle((tensor.key, tensor.storage.key, kind), protocol),
            struct.pack(f"<ii{rank}q{rank}qq", rank, 7, *tensor.shape, *tensor.strides, tensor.offset),
        ]
    return b"".join(pieces)


def storages_member(storages: Iterable[TarStorage], protocol: int = 2) -> bytes:
    storages = list(storages)
    roots = {root.key: root for root in (storage.root or storage for storage in storages)}
    pieces = [torch_pickle(len(roots), protocol)]
    for root in roots.values():
        pieces += [
            torch_pickle((root.key, root.location, TorchName("torch", root.type_name)), protocol),
            struct.pack("<q", root.data.size),
            root.data.astype(root.data.dtype.newbyteorder("<")).tobytes(),
        ]
    views = [(view.key, view.root.key, view.offset, view.data.size) for view in storages if view.root]
    return b"".join([*pieces, torch_pickle(views, protocol)])


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """An archive with pax headers, which hold the fractions of a second of each member's time."""
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            header.mtime = 1483719550.5
            header.mode = 0o600
            archive.addfile(header, io.BytesIO(data))
    return path


def write_torch_tar(path: Path, content: Any) -> Path:
    return write_tar(path, tar_members(content))
