"""Reading the oldest container of torch.save: the tar archive that PyTorch wrote until early in 2017.

Its members are `sys_info` (facts about the machine), `pickle` (the object, in which numbers stand for tensors and
storages), `tensors` and `storages`. All numbers and elements are little-endian: PyTorch converts elements where it has
to, and ignores what the facts say.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.mapped_file import Bytes, map_file
from gradcli.checkpoints.tar_archive import TarMember, find_tar_members, looks_like_tar
from gradcli.checkpoints.tensor_limits import LARGEST_RANK, is_whole_number
from gradcli.checkpoints.torch_pickle import StorageRecord, StorageType, TensorRecord, read_torch_pickle
from gradcli.checkpoints.torch_state_dict import find_state_dict
from gradcli.checkpoints.torch_storage_views import (
    StorageView,
    check_view,
    tensor_of_root,
)
from gradcli.checkpoints.torch_tensors import arrays_from_records
from gradcli.errors import WeightsError

_MEMBERS: Final = ("sys_info", "pickle", "tensors", "storages")
_PROTOCOL_VERSION: Final = 1000
# Entries are small pickles, of some 100 bytes each. A file of so many takes a second to read.
_MOST_ENTRY_BYTES: Final = 2**20
_DECIMAL: Final = re.compile("[0-9]{1,20}")


def looks_like_torch_tar(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a tar archive, of any kind."""
    return looks_like_tar(opening)


def read_torch_tar(path: Path) -> Checkpoint:
    """The state dict in a tar file of torch.save, without PyTorch.

    WeightsError if the archive is cut short (it says after how many bytes, and of how many where the last member is
    reached), is another one, a pickle is corrupt or refused, or a tensor does not fit its storage.
    """
    data = map_file(path)
    members = {
        name: _Member(path, data, name, member) for name, member in find_tar_members(path, data, _MEMBERS).items()
    }
    machine = members["sys_info"].pickle()
    members["sys_info"].check_end()
    version = machine.get("protocol_version") if isinstance(machine, dict) else None
    if version != _PROTOCOL_VERSION:
        raise WeightsError(
            f"{path}: is a tar file of torch.save in an unknown version; the known one is {_PROTOCOL_VERSION}"
        )
    storages = _read_storages(members["storages"])
    tensors = _read_tensors(members["tensors"], storages.records)

    def persistent_load(identifier: Any) -> TensorRecord | StorageRecord:
        key = int(identifier) if type(identifier) is str and _DECIMAL.fullmatch(identifier) else None
        if key in tensors:
            return tensors[key]
        if key in storages.records:
            return storages.records[key]
        raise ValueError("a persistent id that is the number of no tensor or storage")

    member = members["pickle"]
    content = member.pickle(persistent_load)
    member.check_end()
    found = find_state_dict(content, path)
    records = {name: tensor_of_root(path, name, record, storages.views) for name, record in found.records.items()}
    arrays = arrays_from_records(records, storages.data.__getitem__, path)
    dtypes = {name: record.dtype for name, record in records.items()}
    return Checkpoint(arrays, found.metadata, path, "torch-tar", dtypes, found.ignored)


class _Member:
    """A member of the archive that is read from its start to its end."""

    def __init__(self, path: Path, data: Bytes, name: str, place: TarMember) -> None:
        self.path = path
        self.name = name
        self.data = data[: place.end]
        self.position = place.start
        self._entry_bytes = 0

    def pickle(self, persistent_load: Callable[[Any], Any] | None = None) -> Any:
        """The object of the pickle that stands here."""
        value, self.position = read_torch_pickle(self.data, self.path, self.position, persistent_load)
        return value

    def count(self) -> int:
        """How many entries follow, by the pickle that stands here."""
        count = self.pickle()
        if not is_whole_number(count):
            raise self.corrupt("does not say how many entries it has")
        return int(count)

    def entry(self, length: int) -> tuple[Any, ...]:
        """The tuple of that length that stands here as a pickle."""
        start = self.position
        entry = self.pickle()
        self._entry_bytes += self.position - start
        if self._entry_bytes > _MOST_ENTRY_BYTES:
            raise self.corrupt(f"has entries of more than {_MOST_ENTRY_BYTES} bytes together")
        if not isinstance(entry, tuple) or len(entry) != length:
            raise self.corrupt(f"has an entry that is no tuple of {length} values")
        return entry

    def numbers(self, layout: str) -> tuple[int, ...]:
        """The binary numbers that stand here."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)).tobytes())

    def take(self, size: int) -> Bytes:
        """The next so many bytes; WeightsError if the member has fewer."""
        start = self.position
        if size > self.data.size - start:
            raise self.corrupt(f"ends within the {size} bytes that start at byte {start}")
        self.position += size
        return self.data[start : self.position]

    def check_end(self) -> None:
        if self.position < self.data.size:
            raise self.corrupt(f"goes on for {self.data.size - self.position} bytes after its end")

    def corrupt(self, reason: str) -> WeightsError:
        return WeightsError(f"{self.path}: is corrupt: its member {self.name!r} {reason}")


class _Storages(NamedTuple):
    """What the member `storages` holds. Records are by their numbers, and so are those of views."""

    records: dict[int, StorageRecord]
    views: dict[str, StorageView]
    data: dict[str, Bytes]


def _read_storages(member: _Member) -> _Storages:
    """The count, each storage's key, location, type, number of elements and elements, then the list of views."""
    storages = _Storages({}, {}, {})
    for _ in range(member.count()):
        key, _location, kind = member.entry(3)
        if not is_whole_number(key) or not isinstance(kind, StorageType) or kind.dtype is None:
            raise member.corrupt("has a storage without a number and a type")
        (elements,) = member.numbers("<q")
        if elements < 0:
            raise member.corrupt(f"has storage {key} with {elements} elements")
        record = StorageRecord(kind.dtype, str(key), elements)
        _add(member, storages.records, key, record)
        storages.data[record.key] = member.take(record.size)
    views = member.pickle()
    if not isinstance(views, list) or not all(isinstance(view, tuple) and len(view) == 4 for view in views):
        raise member.corrupt("does not end with a list of views")
    for key, root_key, offset, elements in views:
        root = storages.records.get(root_key) if is_whole_number(root_key) else None
        if not is_whole_number(key) or root is None or root.key in storages.views:
            raise member.corrupt("has a view of what is no storage")
        view = StorageView(root, offset, elements)
        check_view(member.path, view)
        storages.views[str(key)] = view
        _add(member, storages.records, key, StorageRecord(root.dtype, str(key), elements))
    member.check_end()
    return storages


def _read_tensors(member: _Member, storages: dict[int, StorageRecord]) -> dict[int, TensorRecord]:
    """The count, then each tensor's key, storage and type, and its rank, sizes, strides and offset as numbers."""
    tensors: dict[int, TensorRecord] = {}
    for _ in range(member.count()):
        key, storage_key, kind = member.entry(3)
        storage = storages.get(storage_key) if is_whole_number(storage_key) else None
        if not is_whole_number(key) or key in storages or storage is None:
            raise member.corrupt("has a tensor of what is no storage")
        if not isinstance(kind, StorageType) or kind.dtype != storage.dtype:
            raise member.corrupt(f"has tensor {key} of another type than its storage of {storage.dtype}")
        (rank,) = member.numbers("<i4x")  # PyTorch wrote 8 bytes, of which the upper 4 mean nothing
        if not 0 <= rank <= LARGEST_RANK:
            raise member.corrupt(f"has tensor {key} with {rank} dimensions")
        shape = member.numbers(f"<{rank}q")
        strides = member.numbers(f"<{rank}q")
        (offset,) = member.numbers("<q")
        _add(member, tensors, key, TensorRecord(storage, offset, shape, strides, storage.dtype))
    member.check_end()
    return tensors


def _add(member: _Member, entries: dict[int, Any], key: int, entry: StorageRecord | TensorRecord) -> None:
    if key in entries:
        raise member.corrupt(f"has the key {key} twice")
    entries[key] = entry
