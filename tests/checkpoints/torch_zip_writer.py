"""The zip format of torch.save, made without PyTorch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tests.checkpoints.torch_pickler import TorchCall, TorchName, torch_pickle


@dataclass(frozen=True, eq=False)
class ZipStorage:
    """A storage, named in the pickle by a persistent id. `elements` is None for as many as `data` has."""

    type_name: str
    key: Any
    data: np.ndarray
    elements: Any = None
    module: str = "torch"


def zip_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TorchCall:
    """A window into a storage; strides and offset count elements."""
    hooks = TorchCall(TorchName("collections", "OrderedDict"))
    return TorchCall(TorchName("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, hooks))


def zip_pickle(content: Any) -> bytes:
    """The pickle of the object, whose storages are named and stand in members of their own."""

    def persistent_id(value: Any) -> Any:
        if not isinstance(value, ZipStorage):
            return None
        elements = value.data.size if value.elements is None else value.elements
        return ("storage", TorchName(value.module, value.type_name), value.key, "cpu", elements)

    return torch_pickle(content, persistent_id=persistent_id)


@dataclass(frozen=True)
class TorchZip:
    """Builds files of torch.save under a folder. Its members are the pieces they are made of."""

    folder: Path
    storages: list[ZipStorage] = field(default_factory=list)
    Storage: ClassVar = ZipStorage
    tensor: ClassVar = staticmethod(zip_tensor)

    def whole(self, array: np.ndarray, type_name: str = "FloatStorage") -> TorchCall:
        """A tensor that is all of its own storage, in order."""
        storage = ZipStorage(type_name, str(len(self.storages)), np.ascontiguousarray(array).reshape(-1))
        self.storages.append(storage)
        strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
        return zip_tensor(storage, 0, array.shape, strides)

    def write(
        self,
        content: Any,
        storages: list[ZipStorage] | None = None,
        byteorder: bytes | None = b"little",
        extra: Mapping[str, bytes] | None = None,
        compression: int = zipfile.ZIP_STORED,
        name: str = "weights.pth",
    ) -> Path:
        """A file whose pickle is `content` (a value, or bytes as they are) with these storages."""
        data = content if isinstance(content, bytes) else zip_pickle(content)
        path = self.folder / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", data)
            if byteorder is not None:
                archive.writestr("archive/byteorder", byteorder)
            for storage in self.storages if storages is None else storages:
                archive.writestr(f"archive/data/{storage.key}", storage.data.tobytes())
            archive.writestr("archive/version", b"3\n")
            for record, record_data in (extra or {}).items():
                archive.writestr(record, record_data)
        return path

    def state_dict_bytes(self) -> bytes:
        """A small complete file: one float32 and one int64 tensor."""
        weight = self.whole(np.arange(6, dtype=np.float32).reshape(2, 3))
        steps = self.whole(np.array(7, dtype=np.int64), "LongStorage")
        return self.write({"fc.weight": weight, "steps": steps}, name="small.pth").read_bytes()
