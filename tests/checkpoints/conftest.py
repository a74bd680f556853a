"""Files of torch.save made by hand: a pickle from opcodes, in a zip archive, without PyTorch."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest


@dataclass(frozen=True)
class Global:
    """A name that the pickle asks its reader to import."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call that the pickle asks its reader to make."""

    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Storage:
    """A storage, named in the pickle by a persistent id. `elements` is None for as many as `data` has."""

    type_name: str
    key: Any
    data: np.ndarray
    elements: Any = None
    module: str = "torch"


def pickle_value(value: Any) -> bytes:
    """The opcodes of pickle protocol 2 that leave `value` on the stack."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(digits)]) + digits
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(pickle_value, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickle_value, value)) + b"e"
    if isinstance(value, dict):
        items = b"".join(pickle_value(key) + pickle_value(entry) for key, entry in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return pickle_value(value.function) + pickle_value(value.arguments) + b"R"
    if isinstance(value, Storage):
        elements = value.data.size if value.elements is None else value.elements
        storage_type = Global(value.module, value.type_name)
        return pickle_value(("storage", storage_type, value.key, "cpu", elements)) + b"Q"
    raise TypeError(f"no opcodes for {value!r}")


def tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Call:
    """A tensor as torch.save describes it."""
    hooks = Call(Global("collections", "OrderedDict"), ())
    arguments = (storage, offset, shape, strides, False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


@dataclass(frozen=True)
class TorchZip:
    """Builds files of torch.save under a folder. Its members are the pieces they are made of."""

    folder: Path
    storages: list[Storage] = field(default_factory=list)
    Global: ClassVar = Global
    Call: ClassVar = Call
    Storage: ClassVar = Storage
    tensor: ClassVar = staticmethod(tensor)
    pickle_value: ClassVar = staticmethod(pickle_value)

    def whole(self, array: np.ndarray, type_name: str = "FloatStorage") -> Call:
        """A tensor that is all of its own storage, in order."""
        storage = Storage(type_name, str(len(self.storages)), np.ascontiguousarray(array).reshape(-1))
        self.storages.append(storage)
        strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
        return tensor(storage, 0, array.shape, strides)

    def write(
        self,
        content: Any,
        storages: list[Storage] | None = None,
        byteorder: bytes | None = b"little",
        extra: Mapping[str, bytes] | None = None,
        compression: int = zipfile.ZIP_STORED,
        name: str = "weights.pth",
    ) -> Path:
        """A file whose pickle is `content` (a value, or bytes as they are) with these storages."""
        data = content if isinstance(content, bytes) else b"\x80\x02" + pickle_value(content) + b"."
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


@pytest.fixture
def torch_zip(tmp_path: Path) -> TorchZip:
    """A builder of torch.save files in the test's folder."""
    return TorchZip(tmp_path)
