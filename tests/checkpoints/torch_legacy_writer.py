"""The legacy format of torch.save, five pickles and the storages, made without PyTorch."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints.torch_pickler import TorchCall, TorchName, torch_pickle

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True, eq=False)
class LegacyStorage:
    """A storage. `elements` is what its persistent id says of its length, `view` what follows (key, offset, length)."""

    key: str
    data: np.ndarray[Any, Any]
    type_name: str = "FloatStorage"
    elements: Any = None
    view: Any = None

    def persistent_id(self) -> tuple[Any, ...]:
        elements = self.data.size if self.elements is None else self.elements
        return ("storage", TorchName("torch", self.type_name), self.key, "cpu", elements, self.view)


def legacy_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TorchCall:
    """A window into a storage; strides and offset count elements."""
    hooks = TorchCall(TorchName("collections", "OrderedDict"))
    return TorchCall(TorchName("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, hooks))


def legacy_pickles(
    content: Any, protocol: int = 2, magic: Any = MAGIC_NUMBER, version: Any = 1001, little_endian: bool = True
) -> tuple[bytes, dict[str, LegacyStorage]]:
    """The first four pickles, and the storages that the fourth, the object's, names."""
    storages: dict[str, LegacyStorage] = {}

    def persistent_id(value: Any) -> Any:
        if isinstance(value, LegacyStorage):
            storages.setdefault(value.key, value)
            return value.persistent_id()
        return None

    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    pickles = [torch_pickle(value, protocol) for value in (magic, version, machine)]
    return b"".join([*pickles, torch_pickle(content, protocol, persistent_id)]), storages


def legacy_bytes(content: Any, keys: Sequence[Any] | None = None, counts: Any = None, **options: Any) -> bytes:
    """The whole file. `keys` and `counts` stand in for the true ones after the object."""
    pickles, storages = legacy_pickles(content, **options)
    pieces = [pickles, torch_pickle(sorted(storages) if keys is None else keys, options.get("protocol", 2))]
    for key in sorted(storages):
        data = storages[key].data
        pieces += [struct.pack("<q", (counts or {}).get(key, data.size)), data.tobytes()]
    return b"".join(pieces)


def write_torch_legacy(path: Path, content: Any, **options: Any) -> Path:
    path.write_bytes(legacy_bytes(content, **options))
    return path
