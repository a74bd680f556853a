"""Either side of a comparison: named arrays from a file of whatever container, a folder, a run, or standard input."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES
from gradcli.checkpoints.file_opening import read_opening
from gradcli.checkpoints.mapped_file import release_pages
from gradcli.checkpoints.quoting import quoted_if_odd
from gradcli.data.standard_input import STANDARD_INPUT_NAME, open_standard_input
from gradcli.errors import DataError, WeightsError
from gradcli.models.weights_source import RUN_WEIGHTS, find_source

Array = np.ndarray[Any, Any]

STANDARD_INPUT: Final = "-"
RANDOM: Final = "random"
_NPY_SUFFIX: Final = ".npy"
_NPY_MAGIC: Final = b"\x93NUMPY"


@dataclass(frozen=True, eq=False)
class NamedArrays:
    """What was read from `source`.

    `container` is as `Checkpoint` has it, or "npy" (one array, under its file's name), "npy-folder", or "random" for
    weights that were drawn. `dtypes` are those in the file, under PyTorch's names. Files are mapped where their
    container allows it (safetensors, `torch.save` since 2020, `.npy`): an array's memory is taken when it is used.
    `ignored` are the file's entries that are no tensors.
    """

    source: str
    container: str
    arrays: dict[str, Array]
    dtypes: dict[str, str]
    ignored: tuple[str, ...] = ()

    @property
    def is_unnamed(self) -> bool:
        """Whether it is one array that nobody gave a name but its file."""
        return self.container == "npy"

    def release(self, name: str) -> None:
        """Let go of the memory of an array that is mapped from a file; it can be used again, and is read again then."""
        if self.container != RANDOM:  # no file: what is let go there is lost
            release_pages(self.arrays[name].ravel(order="K").view(np.uint8))


def read_named_arrays(source: str) -> NamedArrays:
    """The arrays that `source` means.

    That is a file of safetensors, `torch.save` (of which nothing is unpickled by Python), `.npz` or `.npy`; a folder of
    `.npy` files; a run folder (its best weights); the name of known weights, which are fetched if need be; random
    weights (`random:SEED`); or `-`, any of these files on standard input.
    WeightsError or DataError, one line, for what can't be read, and for what holds no tensors.
    """
    if source == STANDARD_INPUT:
        found = _from_standard_input()
    elif files := _npy_files(Path(source)):
        arrays = {file.name.removesuffix(_NPY_SUFFIX): _map_npy(file) for file in files}
        found = _of_arrays(source, "npy-folder", arrays)
    elif source.partition(":")[0] == RANDOM and not Path(source).exists():
        from gradcli.models.loading import load_model, state_arrays

        found = _of_arrays(source, RANDOM, state_arrays(load_model(source).model))
    else:
        found = _from_file(find_source(source, verify=False).path, source)
    if not found.arrays:
        raise DataError(f"{found.source}: holds no tensors; expected a dump of gradients or weights by name")
    return found


def _npy_files(path: Path) -> list[Path]:
    """The `.npy` files of a folder in which there are no weights."""
    if not path.is_dir() or (path / RUN_WEIGHTS).exists():
        return []
    return sorted(path.glob(f"*{_NPY_SUFFIX}"))


def _from_file(path: Path, source: str) -> NamedArrays:
    if read_opening(path).startswith(_NPY_MAGIC):
        return _of_arrays(source, "npy", {path.name.removesuffix(_NPY_SUFFIX): _map_npy(path)})
    checkpoint = load_checkpoint(path)
    return NamedArrays(source, checkpoint.container, checkpoint.tensors, checkpoint.dtypes, checkpoint.ignored)


def _from_standard_input() -> NamedArrays:
    """As `_from_file`, of a copy: readers go back and forth in a file, which a pipe doesn't allow."""
    stream = open_standard_input("a file of tensors")
    # Where a file can't be removed while it is mapped, the system does it some time later.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / STANDARD_INPUT_NAME
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        try:
            return _from_file(path, STANDARD_INPUT_NAME)
        except (WeightsError, DataError) as error:
            raise type(error)(str(error).replace(str(path), STANDARD_INPUT_NAME)) from error


def _map_npy(path: Path) -> Array:
    from gradcli.data.numpy_files import map_npy

    array = map_npy(path)
    name = array.dtype.newbyteorder("=").name
    if name not in SUPPORTED_DTYPES:
        raise DataError(f"{path}: has the dtype {quoted_if_odd(name)}; supported are {', '.join(SUPPORTED_DTYPES)}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _of_arrays(source: str, container: str, arrays: dict[str, Array]) -> NamedArrays:
    return NamedArrays(source, container, arrays, {name: array.dtype.name for name, array in arrays.items()})
