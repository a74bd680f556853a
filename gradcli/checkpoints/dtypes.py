"""The element types of weights files: PyTorch's names, safetensors' codes, and their NumPy arrays."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

# PyTorch and NumPy agree on these names.
_NUMPY_DTYPES: Final = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
SUPPORTED_DTYPES: Final = (*_NUMPY_DTYPES, "bfloat16")
FLOATING_POINT_DTYPES: Final = ("float16", "bfloat16", "float32", "float64")

# Known by name, so that a file that holds one is told so; never read.
UNSUPPORTED_DTYPES: Final = (
    "complex32",
    "complex64",
    "complex128",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)

SAFETENSORS_DTYPES: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "BF16": "bfloat16",
}

# Known by name as well; PyTorch has no elements of 4 or 6 bits.
UNSUPPORTED_SAFETENSORS_DTYPES: Final = {
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F4": "4-bit floats, packed",
    "F6_E2M3": "6-bit floats, packed",
    "F6_E3M2": "6-bit floats, packed",
}

TORCH_STORAGE_DTYPES: Final = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}


def item_size(dtype: str) -> int:
    """Bytes per element of a supported dtype in a file."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def array_from_bytes(
    data: np.ndarray[Any, np.dtype[np.uint8]], dtype: str, big_endian: bool = False
) -> np.ndarray[Any, Any]:
    """A one-dimensional array in native byte order from the bytes of a file.

    `data` is a uint8 array whose length is a multiple of the item size; its memory is reused where the
    file's representation is NumPy's. bfloat16 becomes float32 exactly: its 16 bits are the upper half
    of a float32. A bool is True where its byte is not 0, as NumPy knows only the bytes 0 and 1.
    """
    if dtype == "bool":
        truth: np.ndarray[Any, Any] = data != 0
        return truth
    stored = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder(">" if big_endian else "<")
    array: np.ndarray[Any, Any] = data.view(stored).astype(stored.newbyteorder("="), copy=False)
    return float32_from_bfloat16_bits(array) if dtype == "bfloat16" else array


def bfloat16_bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """The bits of the bfloat16 nearest to each element of a floating-point array, ties to the even one.

    Wider types than float32 are rounded to float32 first, as PyTorch does it. What lies beyond the largest bfloat16
    becomes infinite. A NaN keeps its sign and the upper bits of its payload, and stays a NaN where those are zero
    (PyTorch makes every NaN the same).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.asarray(array).astype(np.float32, copy=False)
        bits = single.view(np.uint32)
        upper = bits >> 16
        # Half of the last place that stays, less one where that is even already, carries into it.
        rounded = (bits + (np.uint32(0x7FFF) + (upper & 1))) >> 16
    quiet_nan = upper | np.where(upper & 0x7F, np.uint32(0), np.uint32(0x40))
    nearest: np.ndarray[Any, np.dtype[np.uint16]] = np.where(np.isnan(single), quiet_nan, rounded).astype(np.uint16)
    return nearest


def is_bfloat16(array: np.ndarray[Any, Any]) -> bool:
    """Whether every element of a float32 array is a bfloat16, NaN payloads included."""
    return not np.any(array.view(np.uint32) & np.uint32(0xFFFF))


def float32_from_bfloat16_bits(bits: np.ndarray[Any, np.dtype[np.uint16]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The float32 array with the values of these bfloat16 bits, NaN payloads included: they are its upper half."""
    wide = bits.astype(np.uint32)
    np.left_shift(wide, 16, out=wide)
    return wide.view(np.float32)
