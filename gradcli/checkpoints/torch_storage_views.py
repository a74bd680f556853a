"""Storages that are a run of another's elements, as the older containers of torch.save can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import is_whole_number
from gradcli.checkpoints.torch_pickle import StorageRecord, TensorRecord
from gradcli.errors import WeightsError


class StorageView(NamedTuple):
    """A run of the elements of a storage, its root. Older versions of PyTorch made one where a storage was sliced."""

    root: StorageRecord
    offset: int
    elements: int


def check_view(path: Path, view: StorageView) -> None:
    """WeightsError if a view reaches beyond its root, or its numbers are no sizes."""
    root, offset, elements = view
    if not is_whole_number(offset) or not is_whole_number(elements) or offset + elements > root.elements:
        raise WeightsError(
            f"{path}: is corrupt: a view of storage {quoted(root.key)} does not fit its {root.elements} elements"
        )


def tensor_of_root(path: Path, name: str, record: TensorRecord, views: Mapping[str, StorageView]) -> TensorRecord:
    """The tensor, if it is one of a checked view, as one of the view's root, so that each storage is read once.

    WeightsError if it reaches beyond the view. Numbers that are none stay as they are, to be refused with all others.
    """
    view = views.get(record.storage.key) if isinstance(record.storage, StorageRecord) else None
    if view is None:
        return record
    shape, strides, offset = record.shape, record.strides, record.offset
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else ()
    if not numbers or not all(map(is_whole_number, numbers)):
        return record._replace(storage=view.root)
    end = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=False)) + 1
    if 0 not in shape and end > view.elements:
        raise WeightsError(
            f"{path}: tensor {quoted(name)} is corrupt: it reaches element {end} of a view of {view.elements} elements"
        )
    return record._replace(storage=view.root, offset=offset + view.offset)
