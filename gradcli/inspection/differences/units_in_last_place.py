"""How many floating-point numbers lie between two: their distance in units in the last place (ULP)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gradcli.checkpoints.dtypes import bfloat16_bits, item_size

Array = np.ndarray[Any, Any]

_SIGNIFICANT_BITS: Final = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}


def coarser_dtype(first: str, second: str) -> str | None:
    """Of two floating-point dtypes under PyTorch's names the one with fewer significant bits; None if one is none."""
    if first not in _SIGNIFICANT_BITS or second not in _SIGNIFICANT_BITS:
        return None
    return min(first, second, key=_SIGNIFICANT_BITS.__getitem__)


def distance_dtype(dtype: str) -> np.dtype[Any]:
    """The unsigned integers that hold any distance between two numbers of this dtype."""
    return np.dtype(f"u{item_size(dtype)}")


def ulp_distances(first: Array, second: Array, dtype: str) -> Array:
    """How many steps to the next number of `dtype` lead from each element to the other array's, as unsigned integers.

    Both are rounded to `dtype` before. The two zeros are one number, and infinity is the one after the largest. What it
    says of a NaN means nothing.
    """
    ordered = _ordered(first, dtype), _ordered(second, dtype)
    # The difference may wrap around; read as an unsigned number it is right again.
    distances: Array = np.subtract(np.maximum(*ordered), np.minimum(*ordered)).view(distance_dtype(dtype))
    return distances


def _ordered(array: Array, dtype: str) -> Array:
    """Integers in the order of the numbers, one apart where the numbers are neighbours."""
    if dtype == "bfloat16":
        bits: Array = bfloat16_bits(array).view(np.int16)
    else:
        bits = array.astype(dtype, copy=False).view(f"i{item_size(dtype)}")
    # Sign and magnitude become two's complement: a negative number's magnitude is negated, and so -0 is 0.
    sign = bits >> (8 * bits.itemsize - 1)  # -1 for negative numbers, else 0
    ordered: Array = ((bits & np.iinfo(bits.dtype).max) ^ sign) - sign
    return ordered
