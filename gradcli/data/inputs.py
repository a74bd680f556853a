"""What `--input` and `--target` name: a batch for the network, and what its prediction is held against."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcli.data.images import list_images, load_images
from gradcli.data.numpy_files import (
    channels_last,
    check_finite,
    npz_names,
    read_npy,
    read_npy_from_standard_input,
    read_npz,
)
from gradcli.data.preprocessing import Preprocessing, normalise_channels_last
from gradcli.data.transparency import pixels_over_white
from gradcli.errors import DataError

STANDARD_INPUT = "-"
INPUT_ARRAY_NAMES = ("input", "x", "images", "data")


def load_input(
    spec: str, preprocessing: Preprocessing, dtype: DTypeLike = np.float32
) -> tuple[NDArray[Any], list[str]]:
    """The batch that `spec` names, of shape (N, 3, H, W), and a name for each of its images.

    An image file, or a folder of them in the order of their names, is decoded and preprocessed. An
    array comes from a `.npy` file, from standard input (`-`), or from a `.npz` file: its array
    called input, x, images or data, or its only one. Floats of shape (N, 3, H, W) are taken as they
    are. uint8 of shape (N, 3, H, W) or (N, H, W, 3) are pixels: scaled and normalised, not resized.
    With a fourth channel, the opacity, they are shown over white.
    Any other dtype or shape, an empty batch, NaN and infinity are a DataError naming the file.
    `dtype` is the result's.
    """
    path = Path(spec)
    if spec == STANDARD_INPUT:
        array, source = read_npy_from_standard_input(), "standard input"
    elif os.path.isdir(spec):
        paths = list_images(path)
        return load_images(paths, preprocessing).astype(dtype, copy=False), [str(image) for image in paths]
    elif path.suffix.lower() == ".npy":
        array, source = read_npy(path), spec
    elif path.suffix.lower() == ".npz":
        name = _input_array_name(path)
        array, source = read_npz(path, [name])[0], f"{spec}: {name}"
    else:
        return load_images([path], preprocessing).astype(dtype, copy=False), [spec]
    batch = _checked_batch(array, source, preprocessing, dtype)
    return batch, [f"{spec}[{index}]" for index in range(len(batch))]


def load_target(spec: str, batch_size: int) -> NDArray[Any]:
    """The targets that `spec` names: a `.npy` file, or one class index for the whole batch.

    Integers come back as int64, floats as float32 or float64 as stored (float16 as float32); NaN,
    infinity and other dtypes are a DataError. `check_target` compares them with a prediction.
    """
    try:
        index = int(spec)
    except ValueError:
        pass
    else:
        if abs(index) > np.iinfo(np.int64).max:
            raise DataError(f"target {spec}: expected a class index")
        return np.full(batch_size, index, dtype=np.int64)
    if Path(spec).suffix.lower() != ".npy":
        raise DataError(f"target {spec}: expected a .npy file or a whole number, the class index for the whole batch")
    target = read_npy(spec)
    if target.dtype.kind in "iu":
        if target.size and int(target.max()) > np.iinfo(np.int64).max:
            raise DataError(f"{spec}: holds {target.max()}; expected class indices")
        return target.astype(np.int64)
    if target.dtype.kind != "f":
        raise DataError(f"{spec}: dtype {target.dtype}; expected integer class indices or floats")
    check_finite(target, spec)
    return target.astype(np.float64 if target.dtype.itemsize >= 8 else np.float32)


def check_target(
    target: NDArray[Any], prediction_shape: tuple[int, ...], kind: Literal["indices", "values"], source: str
) -> None:
    """Check a target against the shape (N, C) of a prediction; DataError names `source`.

    `indices`: integers of shape (N,) from 0 to C - 1, as cross-entropy takes them. `values`: floats
    of the prediction's shape, as the other losses take them.
    """
    batch_size, classes = prediction_shape[0], prediction_shape[1]
    if kind == "values":
        if target.dtype.kind != "f" or target.shape != prediction_shape:
            raise DataError(
                f"{source}: {_described(target)}; this loss expects floats "
                f"of the prediction's shape {prediction_shape} (class indices go with --loss cross-entropy)"
            )
        return
    if target.dtype.kind not in "iu" or target.shape != (batch_size,):
        raise DataError(
            f"{source}: {_described(target)}; expected integer class indices of shape ({batch_size},), one per image"
        )
    outside = np.flatnonzero((target < 0) | (target >= classes))
    if outside.size:
        place = f" at position {outside[0]}" if outside.size < len(target) else ""
        raise DataError(
            f"{source}: class index {target[outside[0]]}{place} is out of range; expected 0 to {classes - 1}"
        )


def _input_array_name(path: Path) -> str:
    """Which array of a `.npz` file is the input."""
    names = npz_names(path)
    for name in INPUT_ARRAY_NAMES:
        if name in names:
            return name
    if len(names) > 1:
        expected = f"one array, or one called {', '.join(INPUT_ARRAY_NAMES[:-1])} or {INPUT_ARRAY_NAMES[-1]}"
        raise DataError(f"{path}: holds {', '.join(names)}; expected {expected}")
    return names[0]


def _checked_batch(array: NDArray[Any], source: str, preprocessing: Preprocessing, dtype: DTypeLike) -> NDArray[Any]:
    """An array from a file as a finite, C-contiguous batch of `dtype`."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{source}: dtype {array.dtype}; expected floats, or uint8 pixels")
    channels = {array.shape[1], array.shape[3]} if array.ndim == 4 else set()
    as_pixels = array.dtype == np.uint8 and (3 in channels or (4 in channels and 1 not in channels))
    if not as_pixels and (array.ndim != 4 or array.shape[1] != 3):
        raise DataError(f"{source}: shape {array.shape}; expected (N, 3, H, W){_shape_advice(array)}")
    if 0 in array.shape:
        raise DataError(f"{source}: shape {array.shape} is empty; expected at least one image of one pixel")
    if as_pixels:
        pixels = channels_last(array, source)
        if pixels.shape[3] == 4:
            pixels = pixels_over_white(pixels)
        return normalise_channels_last(pixels, preprocessing).astype(dtype, copy=False)
    check_finite(array, source)
    with np.errstate(over="ignore"):
        batch = np.ascontiguousarray(array, dtype=dtype)
    check_finite(batch, f"{source} as {batch.dtype}")
    return batch


def _shape_advice(array: NDArray[Any]) -> str:
    """What to do about a shape that is one step away from the right one."""
    if array.ndim == 3 and 3 in (array.shape[0], array.shape[2]):
        return ": add the batch axis with array[None]"
    if array.ndim == 4 and array.shape[3] == 3:
        return ": move the channels with array.transpose(0, 3, 1, 2)"
    if array.ndim == 4 and array.shape[1] == 1:
        return ": repeat the grey channel with array.repeat(3, axis=1)"
    return ", with uint8 pixels also (N, H, W, 3), or 4 channels with the opacity last"


def _described(target: NDArray[Any]) -> str:
    return f"{target.dtype} of shape {target.shape}"
