"""Reading the zip container of torch.save (PyTorch 1.6 and later).

One folder at the top holds `data.pkl` (the object), `data/<key>` (the bytes of each storage, stored
plainly) and, in newer files, `byteorder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.torch_pickle import read_torch_pickle
from gradcli.checkpoints.torch_state_dict import find_state_dict
from gradcli.checkpoints.torch_tensors import arrays_from_records
from gradcli.errors import WeightsError

if TYPE_CHECKING:
    import zipfile

_ENCRYPTED: Final = 0x1
_PIECE: Final = 2**20


def looks_like_zip(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip archive, of any kind."""
    return opening.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_torch_zip(path: Path) -> Checkpoint:
    """The state dict in a zip file of torch.save, without PyTorch.

    WeightsError if the archive is cut short or corrupt, is of another kind, its pickle is refused, or a
    tensor does not fit its storage.
    """
    import zipfile

    if not zipfile.is_zipfile(path):
        raise WeightsError(
            f"{path}: cut short after {path.stat().st_size} bytes: the directory at the end of its zip "
            "archive is missing; download or write it again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(path, archive)
    except (WeightsError, OSError):
        raise
    except Exception as error:  # a damaged directory makes zipfile raise more than BadZipFile
        raise WeightsError(f"{path}: its zip archive is corrupt ({' '.join(str(error).split())})") from error


def _read_archive(path: Path, archive: zipfile.ZipFile) -> Checkpoint:
    members = _members(path, archive)
    folder = _top_folder(path, members)

    def read(record: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if folder + record not in members:
            raise WeightsError(f"{path}: is corrupt: its archive has no record {record!r}")
        return _read_record(path, archive, members[folder + record])

    byte_order = read("byteorder").tobytes() if folder + "byteorder" in members else b"little"
    if byte_order not in (b"little", b"big"):
        raise WeightsError(f"{path}: is corrupt: its byte order is {byte_order[:20]!r}, not little or big")
    found = find_state_dict(read_torch_pickle(read("data.pkl").tobytes(), path), path)
    tensors = arrays_from_records(found.records, lambda key: read(f"data/{key}"), path, big_endian=byte_order == b"big")
    dtypes = {name: record.dtype for name, record in found.records.items()}
    return Checkpoint(tensors, found.metadata, path, "torch-zip", dtypes, found.ignored)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise WeightsError(f"{path}: is corrupt: its archive holds two records of one name; refused")
    return members


def _top_folder(path: Path, members: dict[str, zipfile.ZipInfo]) -> str:
    """The folder that holds everything, with its slash; torch.save names it after the file."""
    folders = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    folders = [folder for folder in folders if folder.count("/") == 1]
    if len(folders) != 1:
        count = "no" if not folders else "more than one"
        raise WeightsError(f"{path}: is a zip archive with {count} data.pkl, not a file of torch.save")
    return folders[0]


def _read_record(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of one member, checked against its CRC-32."""
    import zipfile

    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        raise WeightsError(f"{path}: record {info.filename!r} is compressed or encrypted, as torch.save never makes it")
    # A stored member can't be longer than its file: this bounds the allocation below.
    if info.file_size != info.compress_size or info.file_size > path.stat().st_size:
        raise WeightsError(f"{path}: is corrupt: record {info.filename!r} declares {info.file_size} bytes")
    if info.CRC == 0:
        # What PyTorch writes where checksums are switched off; zipfile checks none if there is none.
        del info.CRC
    data = np.empty(info.file_size, np.uint8)
    position = 0
    with archive.open(info) as stream:
        while count := stream.readinto(data[position : position + _PIECE]):  # type: ignore[attr-defined]
            position += count
    if position < data.size:
        raise WeightsError(f"{path}: is corrupt: record {info.filename!r} ends after {position} bytes")
    return data
