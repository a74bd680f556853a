"""Reading `.npz` files, NumPy's zip archive of `.npy` members, without ever unpickling."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES, array_from_bytes
from gradcli.checkpoints.mapped_file import Bytes, map_file, release_pages
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import LARGEST_NUMBER, LARGEST_RANK
from gradcli.checkpoints.zip_archive import ZipArchive
from gradcli.errors import WeightsError

_SUFFIX: Final = ".npy"
_LOCAL_MARK: Final = b"PK\x03\x04"
_LOCAL_LENGTH: Final = 30
_NAME_LENGTH: Final = slice(26, 28)

# NumPy parses headers as Python literals. Those of numeric arrays take less; longer ones only cost time.
_LONGEST_HEADER: Final = 4096
_LONGEST_PREFIX: Final = 12  # magic, version and length of the header
_MOST_HEADER_BYTES: Final = 2**21  # of all arrays together: those of 16,000
_LONGEST_REASON: Final = 100


def looks_like_npz(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip archive whose first member is a `.npy` file."""
    if not opening.startswith(_LOCAL_MARK):
        return False
    name_length = int.from_bytes(opening[_NAME_LENGTH], "little")
    return opening[_LOCAL_LENGTH : _LOCAL_LENGTH + name_length].endswith(_SUFFIX.encode())


def read_npz(path: Path) -> Checkpoint:
    """The arrays of a file of numpy.savez or numpy.savez_compressed, under the names they were saved with.

    WeightsError if the archive is cut short or corrupt, holds something that is no `.npy` file, or an array is
    of an unsupported dtype (objects, text, complex numbers, records) or not as long as its header says.
    """
    archive = ZipArchive(path, map_file(path))
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    dtypes = {}
    header_bytes = 0
    for member in archive.members:
        if not member.endswith(_SUFFIX):
            raise WeightsError(f"{path}: is no .npz file: its member {quoted(member)} is no .npy file")
        name = member.removesuffix(_SUFFIX)
        content = archive.read(member)
        try:
            tensors[name], dtypes[name], header_length = _array(content)
        except _ArrayError as error:
            raise WeightsError(f"{path}: array {quoted(name)} {error}") from None
        if not np.may_share_memory(tensors[name], content):
            release_pages(content)
        header_bytes += header_length
        if header_bytes > _MOST_HEADER_BYTES:
            raise WeightsError(
                f"{path}: holds {len(archive.members)} arrays, whose headers take more than {_MOST_HEADER_BYTES} "
                "bytes; refused"
            )
    return Checkpoint(tensors, {}, path, "npz", dtypes)


class _ArrayError(Exception):
    """What is wrong with one array, to follow its name."""


def _array(content: Bytes) -> tuple[np.ndarray[Any, Any], str, int]:
    """The array of a `.npy` file, aligned, native, C-contiguous and writable, its dtype's name, its header's length."""
    shape, fortran_order, stored, start = _header(content)
    # NumPy knows bfloat16 no more than text: whatever is not in the list by its own name is refused.
    dtype = stored.newbyteorder("=").name
    if stored.hasobject or dtype not in SUPPORTED_DTYPES:
        raise _ArrayError(f"has the dtype {stored.name}; supported are {', '.join(SUPPORTED_DTYPES)}")
    if len(shape) > LARGEST_RANK or not all(type(n) is int and n >= 0 for n in shape):
        raise _ArrayError("is corrupt: its header has no sizes of an array")
    declared = math.prod(shape) * stored.itemsize
    data = content[start:]
    if declared != data.size:
        raise _ArrayError(f"is corrupt: its header declares {_count(declared)} bytes, {data.size} follow it")
    if math.prod(n or 1 for n in shape) * stored.itemsize > LARGEST_NUMBER:
        raise _ArrayError("is corrupt: its sizes are too large together")
    big_endian = stored.newbyteorder(">") == stored and stored.itemsize > 1
    array = array_from_bytes(data, dtype, big_endian)
    array = array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"]), dtype, start


def _header(content: Bytes) -> tuple[tuple[Any, ...], bool, np.dtype[Any], int]:
    """Sizes, order and dtype of a `.npy` file, and where its data start."""
    stream = io.BytesIO(content[: _LONGEST_PREFIX + _LONGEST_HEADER].tobytes())
    try:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:  # 3.0 is for the names of fields, which no tensor has
            raise _ArrayError(f"is in version {version[0]}.{version[1]} of the .npy format; 1.0 and 2.0 are read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of files of Python 2 is of no use here
            shape, fortran_order, dtype = readers[version](stream, max_header_size=_LONGEST_HEADER)
    except _ArrayError:
        raise
    except Exception as error:  # whatever Python's parser and NumPy's dtypes make of damaged text
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise _ArrayError(f"has a corrupt .npy header ({type(error).__name__}: {reason})") from None
    return shape, fortran_order, dtype, stream.tell()


def _count(number: int) -> str:
    return str(number) if number < 2**64 else f"over {2**64}"
