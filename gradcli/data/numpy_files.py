"""Read `.npy` and `.npz` files without pickles, and find the channel axis of an array of images."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.standard_input import STANDARD_INPUT_NAME, open_standard_input
from gradcli.errors import DataError


def read_npy(path: str | Path) -> NDArray[Any]:
    """The array in a `.npy` file. Pickled objects are refused; any failure is a DataError naming it."""
    with _reading(str(path), "a .npy file of numbers"), open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def map_npy(path: str | Path) -> NDArray[Any]:
    """The array in a `.npy` file, read piece by piece when it is used; errors as `read_npy`'s.

    As with every map, a file that is cut short while its array is in use ends the process.
    """
    with _reading(str(path), "a .npy file of numbers"):
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def read_npy_from_standard_input() -> NDArray[Any]:
    """The array of a `.npy` stream on standard input, read to its end first: a pipe can't seek."""
    stream = open_standard_input("a .npy file")
    with _reading(STANDARD_INPUT_NAME, "a .npy file of numbers"):
        return np.lib.format.read_array(BytesIO(stream.read()), allow_pickle=False)


def npz_names(path: str | Path) -> list[str]:
    """The names of the arrays in a `.npz` file, in file order."""
    with _reading(str(path), "a .npz file"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    if not names:
        raise DataError(f"{path}: holds no arrays; expected a .npz file written by numpy.savez")
    return names


def read_npz(path: str | Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """The named arrays of a `.npz` file; no other array is read."""
    with _reading(str(path), "a .npz file of numbers"), np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in names]


def channels_last(images: NDArray[Any], source: str) -> NDArray[Any]:
    """A view of an array of images with the channels last: (N, H, W) when grey, else (N, H, W, 3 or 4).

    Takes (N, H, W), (N, H, W, C) and (N, C, H, W) with C 1, 3 or 4, where a fourth channel is
    the opacity. An axis of 4 is one of channels only where none of 1 or 3 is. An array that fits no
    layout, or two, is a DataError naming `source`.
    """
    if images.ndim == 3:
        return images
    shape = images.shape
    first = last = False
    for channels in ((1, 3), (4,)):
        if images.ndim == 4 and not (first or last):
            first, last = shape[1] in channels, shape[3] in channels
    if first and last:
        raise DataError(
            f"{source}: shape {shape} could be (N, C, H, W) or (N, H, W, C); "
            f"expected images more than {4 if 4 in shape[1::2] else 3} pixels high and wide"
        )
    if not first and not last:
        raise DataError(
            f"{source}: shape {shape} is no array of images; "
            "expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4"
        )
    if first:
        images = images.transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    return images[..., 0] if images.shape[3] == 1 else images


def check_finite(array: NDArray[Any], source: str) -> None:
    """Raise DataError with the count and first position of NaN or infinite values, if there are any."""
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = np.argwhere(~finite)
    first = tuple(int(position) for position in bad[0])
    raise DataError(
        f"{source}: {len(bad)} NaN or infinite value{'s' if len(bad) > 1 else ''}, the first "
        f"at {list(first)} ({array[first]}); expected finite numbers"
    )


@contextmanager
def _reading(source: str, expected: str) -> Iterator[None]:
    """Turn whatever NumPy and zipfile raise on a bad file into a one-line DataError."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such file; expected {expected}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{source}: can't be read ({reason}); expected {expected}") from error
    except (ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{source}: corrupt, or no such file format ({_one_line(error)}); expected {expected}"
        ) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{source}: truncated or corrupt ({_one_line(error)}); expected {expected}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
