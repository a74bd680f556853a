"""An array written to a stream as `.npy` or within `.npz`, some rows at a time: it need not fit into memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Blocks = Iterable[NDArray[np.float32]]


def write_npy(file: IO[bytes], shape: tuple[int, ...], blocks: Blocks) -> None:
    """Write a float32 array of this shape; the blocks hold its rows, in their order."""
    fields = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    for block in blocks:
        file.write(np.ascontiguousarray(block, np.float32).data)


def write_npz(
    file: IO[bytes], name: str, shape: tuple[int, ...], blocks: Blocks, others: Mapping[str, NDArray[Any]]
) -> None:
    """Write an archive that holds such an array under `name`, and others, as `numpy.savez` writes one."""
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            write_npy(member, shape, blocks)
        for other, array in others.items():
            with archive.open(f"{other}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
