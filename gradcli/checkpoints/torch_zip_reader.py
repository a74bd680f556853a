"""Reading the zip container of torch.save (PyTorch 1.6 and later).

One folder at the top holds `data.pkl` (the object), `data/<key>` (the bytes of each storage, stored
plainly) and, in newer files, `byteorder`. What else there is (versions, alignment, an id) is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES
from gradcli.checkpoints.mapped_file import Bytes, map_file
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import is_whole_number
from gradcli.checkpoints.torch_pickle import read_torch_pickle
from gradcli.checkpoints.torch_state_dict import TorchStateDict, find_state_dict
from gradcli.checkpoints.torch_tensors import arrays_from_records
from gradcli.checkpoints.zip_archive import ZipArchive
from gradcli.checkpoints.zip_directory import corrupt, has_directory, missing_directory, opening_members
from gradcli.errors import WeightsError

_PICKLE: Final = "data.pkl"
_WEIGHTS_SUFFIXES: Final = (".pth", ".pt", ".bin", ".safetensors", ".npz", ".tar")
_ADVICE: Final = "load it with PyTorch, and save its state_dict() with torch.save"


def looks_like_zip(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip archive, of any kind."""
    return opening.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_torch_zip(path: Path) -> Checkpoint:
    """The state dict in a zip file of torch.save, without PyTorch.

    Tensors are a private map of the file where their elements lie in order there. The CRC-32 of every record
    that is used is checked. WeightsError if the archive is cut short or corrupt, is of another kind (a
    TorchScript or torch.export archive is told by its members), its pickle is refused, or a tensor does not fit
    its storage.
    """
    data = map_file(path)
    if not has_directory(data):
        raise missing_directory(path, data, _length_needed(path, data))
    archive = ZipArchive(path, data)
    folder = _top_folder(path, archive.members)
    _check_letter_case(path, archive.members)

    byte_order = b"little"
    if folder + "byteorder" in archive.members:
        byte_order = archive.read(folder + "byteorder").tobytes()
    if byte_order not in (b"little", b"big"):
        raise WeightsError(f"{path}: is corrupt: its byte order is {byte_order[:20]!r}, not little or big")

    pickled = archive.read(folder + _PICKLE)
    content, end = read_torch_pickle(pickled, path)
    if end != pickled.size:
        raise WeightsError(f"{path}: its pickle is corrupt ({pickled.size - end} bytes follow its end)")
    found = find_state_dict(content, path)

    def read_storage(key: str) -> Bytes:
        return archive.read(f"{folder}data/{key}")

    tensors = arrays_from_records(found.records, read_storage, path, big_endian=byte_order == b"big")
    dtypes = {name: record.dtype for name, record in found.records.items()}
    return Checkpoint(tensors, found.metadata, path, "torch-zip", dtypes, found.ignored)


def _top_folder(path: Path, members: Iterable[str]) -> str:
    """The folder that holds everything, with its slash; torch.save names it after the file."""
    names = list(members)
    inside = [name.partition("/")[2] for name in names]  # torch.save's folder is any, and the only one
    if any(name == "constants.pkl" or name.startswith("code/") for name in inside):
        raise WeightsError(f"{path}: is a TorchScript archive, which holds code; {_ADVICE}")
    if "archive_format" in inside or "serialized_exported_program.json" in (*inside, *names):
        raise WeightsError(f"{path}: is a program of torch.export (.pt2), not a state dict; {_ADVICE}")
    folders = [name.removesuffix(_PICKLE) for name in names if name.endswith("/" + _PICKLE)]
    folders = [folder for folder in folders if folder.count("/") == 1]
    if len(folders) == 1:
        return folders[0]
    if not folders and (packed := [name for name in names if name.endswith(_WEIGHTS_SUFFIXES)]):
        raise WeightsError(f"{path}: is a zip archive that holds {quoted(packed[0])}; unpack it and name that file")
    count = "no" if not folders else "more than one"
    raise WeightsError(f"{path}: is a zip archive with {count} {_PICKLE}, not a file of torch.save")


def _check_letter_case(path: Path, members: Iterable[str]) -> None:
    """WeightsError if two names differ in nothing but capitals: PyTorch takes one for the other."""
    seen: dict[str, str] = {}
    for name in members:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise corrupt(path, f"members {quoted(other)} and {quoted(name)} differ in capitals only")


def _length_needed(path: Path, data: Bytes) -> int:
    """A length below which the file can't be whole, from the pickle at its start; 0 where that is cut as well."""
    for member in opening_members(data):
        if member.name.endswith("/" + _PICKLE):
            try:
                content, end = read_torch_pickle(data, path, start=member.start)
                return end + _storage_bytes(find_state_dict(content, path))
            except WeightsError:
                return 0
    return 0


def _storage_bytes(found: TorchStateDict) -> int:
    """The bytes that the tensors' storages take, those whose size makes sense."""
    sizes = {}
    for record in found.records.values():
        storage = record.storage
        if (
            storage.dtype in (None, *SUPPORTED_DTYPES)
            and isinstance(storage.key, str)
            and is_whole_number(storage.elements)
        ):
            sizes[storage.key] = storage.size
    return sum(sizes.values())
