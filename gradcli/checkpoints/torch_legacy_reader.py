"""Reading the legacy container of torch.save (PyTorch from 2017 up to 1.5, and on request ever since).

Five pickles stand in a row: a magic number, the version of the protocol, facts about the machine, the object, and the
keys of the storages. The storages follow in the order of those keys, each a count of its elements and the elements.
All of that is little-endian on every machine: PyTorch converts where it has to, and ignores what the facts say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.cut_files import cut_short
from gradcli.checkpoints.mapped_file import Bytes, map_file
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import is_whole_number
from gradcli.checkpoints.torch_pickle import StorageRecord, read_torch_pickle, storage_record
from gradcli.checkpoints.torch_state_dict import find_state_dict
from gradcli.checkpoints.torch_storage_views import (
    StorageView,
    check_view,
    tensor_of_root,
)
from gradcli.checkpoints.torch_tensors import arrays_from_records
from gradcli.errors import WeightsError

_MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION: Final = 1001
_COUNT_SIZE: Final = 8
# The opcodes of the first pickle: LONG1 and its 10 bytes; before them PROTO and, from protocol 4 on, FRAME.
_MAGIC_OPCODES: Final = b"\x8a\x0a" + _MAGIC_NUMBER.to_bytes(10, "little")
_PROTO: Final = b"\x80"
_FRAME: Final = b"\x95"


def looks_like_torch_legacy(opening: bytes) -> bool:
    """Whether a file that starts with these bytes begins with the magic number of torch.save."""
    if not opening.startswith(_PROTO):
        return False
    number = opening[2 + 9 :] if opening[2:3] == _FRAME else opening[2:]
    return number.startswith(_MAGIC_OPCODES)


def read_torch_legacy(path: Path) -> Checkpoint:
    """The state dict in a legacy file of torch.save, without PyTorch.

    WeightsError if the file is cut short (it says after how many bytes of how many), a pickle is corrupt or
    refused, the storages are not those that the object names, or a tensor does not fit its storage.
    """
    data = map_file(path)
    magic, position = read_torch_pickle(data, path)
    if magic != _MAGIC_NUMBER:
        raise WeightsError(f"{path}: is no legacy file of torch.save: it begins with another number than its magic one")
    version, position = read_torch_pickle(data, path, position)
    if version != _PROTOCOL_VERSION:
        raise WeightsError(
            f"{path}: is a legacy file of torch.save in an unknown version; the known one is {_PROTOCOL_VERSION}"
        )
    _machine, position = read_torch_pickle(data, path, position)
    declared = _DeclaredStorages(path)
    content, position = read_torch_pickle(data, path, position, declared.persistent_load)
    keys, position = read_torch_pickle(data, path, position)
    storages = _placed_storages(path, data, position, declared.in_order(keys))

    found = find_state_dict(content, path)
    records = {name: tensor_of_root(path, name, record, declared.views) for name, record in found.records.items()}
    tensors = arrays_from_records(records, storages.__getitem__, path)
    dtypes = {name: record.dtype for name, record in records.items()}
    return Checkpoint(tensors, found.metadata, path, "torch-legacy", dtypes, found.ignored)


class _DeclaredStorages:
    """What the persistent ids of the object's pickle say about storages and the views into them, by key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._roots: dict[str, StorageRecord] = {}
        self.views: dict[str, StorageView] = {}

    def persistent_load(self, identifier: Any) -> StorageRecord:
        """The storage of ("storage", type, key, location, number of elements, view), or the view of it.

        The last is None or (key, offset, number of elements). ValueError if it is something else.
        """
        if type(identifier) is not tuple or len(identifier) != 6 or identifier[0] != "storage":
            raise ValueError("a persistent id that names no storage")
        _, storage_type, key, _location, elements, view = identifier
        root = self._root(storage_record(storage_type, key, elements))
        return root if view is None else self._view(root, view)

    def in_order(self, keys: Any) -> list[StorageRecord]:
        """The storages in the order of the keys at the end of the pickles; WeightsError if they are others."""
        if not isinstance(keys, list) or not all(type(key) is str for key in keys):
            raise self._corrupt("its list of storages is no list of keys")
        if len(set(keys)) < len(keys):
            raise self._corrupt("its list of storages has a key twice")
        if other := set(keys) ^ self._roots.keys():
            raise self._corrupt(f"storage {quoted(min(other))} is either listed or used by an object, but not both")
        return [self._roots[key] for key in keys]

    def _root(self, record: StorageRecord) -> StorageRecord:
        if type(record.key) is not str or not is_whole_number(record.elements):
            raise ValueError("a storage without a key and a number of elements")
        first = self._roots.setdefault(record.key, record)
        if first != record or record.key in self.views:
            raise ValueError(f"storage {quoted(record.key)} is declared twice, differently")
        return record

    def _view(self, root: StorageRecord, identifier: Any) -> StorageRecord:
        if type(identifier) is not tuple or len(identifier) != 3 or type(identifier[0]) is not str:
            raise ValueError("a persistent id that names no view of a storage")
        if root.dtype is None:
            raise ValueError("a view of a storage without a type")
        key, offset, elements = identifier
        view = StorageView(root, offset, elements)
        check_view(self._path, view)
        if self.views.setdefault(key, view) != view or key in self._roots:
            raise ValueError(f"storage {quoted(key)} is declared twice, differently")
        return StorageRecord(root.dtype, key, elements)

    def _corrupt(self, reason: str) -> WeightsError:
        return WeightsError(f"{self._path}: is corrupt: {reason}")


def _placed_storages(path: Path, data: Bytes, position: int, records: list[StorageRecord]) -> dict[str, Bytes]:
    """The storages that follow the last pickle; WeightsError if they end before or after the file does."""
    end = position + sum(_COUNT_SIZE + record.size for record in records)
    if data.size < end:
        raise cut_short(path, data.size, end)
    if data.size > end:
        raise WeightsError(f"{path}: is corrupt: {data.size - end} bytes follow the end of its storages")
    storages = {}
    for record in records:
        start = position + _COUNT_SIZE
        count = int.from_bytes(data[position:start].tobytes(), "little", signed=True)
        if count != record.elements:
            raise WeightsError(
                f"{path}: is corrupt: storage {quoted(record.key)} has {count} elements at byte {position}, not the "
                f"{record.elements} that its pickle declares"
            )
        position = start + record.size
        storages[record.key] = data[start:position]
    return storages
