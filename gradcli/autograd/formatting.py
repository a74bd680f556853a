"""The text of a tensor, character for character as PyTorch prints it with its default print options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 4
LINE_WIDTH = 80
SUMMARY_THRESHOLD = 1000
EDGE_ITEMS = 3
# Scientific notation starts where fixed point would need too many digits or would show too few.
LARGEST_FIXED = 1e8
SMALLEST_FIXED = 1e-4
LARGEST_FIXED_RATIO = 1000.0
DTYPES_LEFT_UNSAID = frozenset({"float32", "int64", "bool"})


def format_tensor(
    array: NDArray[Any],
    *,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    prefix: str = "tensor(",
) -> str:
    """Write `array` (any shape; float16/32/64, integers or bool) as PyTorch 2.13 prints a tensor.

    Four digits after the point, lines of 80 columns, and, beyond 1000 elements, only the first and last three
    along each axis, so that a large array costs no more than a small one. The dtype is said unless it is
    float32, int64 or bool (of an empty tensor: unless it is float32). `grad_fn_name` is the bare name of the
    node, such as `SubBackward0`; where it is given, `requires_grad` goes without saying. Continuation lines
    are indented by the length of `prefix`.
    """
    indent = len(prefix)
    text = prefix + (_format_elements(array, indent) if array.size else "[]")
    # PyTorch keeps two columns more free behind elements than behind a suffix that starts a line.
    column = len(text) - (text.rfind("\n") + 1) + 2
    for suffix in _suffixes(array, requires_grad, grad_fn_name):
        if column + len(", ") + len(suffix) > LINE_WIDTH:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(", ") + len(suffix)
    return text + ")"


def _suffixes(array: NDArray[Any], requires_grad: bool, grad_fn_name: str | None) -> Iterator[str]:
    """What stands behind the elements, in PyTorch's order: size, dtype, the part taken in autograd."""
    if array.size == 0 and array.ndim != 1:
        yield f"size={array.shape}"
    name = array.dtype.name
    if name not in DTYPES_LEFT_UNSAID or (array.size == 0 and name != "float32"):
        yield f"dtype=torch.{name}"
    if grad_fn_name is not None:
        yield f"grad_fn=<{grad_fn_name}>"
    elif requires_grad:
        yield "requires_grad=True"


def _format_elements(array: NDArray[Any], indent: int) -> str:
    """The nested brackets of a non-empty array whose opening bracket stands in column `indent`."""
    elided = [array.size > SUMMARY_THRESHOLD and length > 2 * EDGE_ITEMS for length in array.shape]
    if any(elided):
        shown_along_axes = [
            np.r_[:EDGE_ITEMS, length - EDGE_ITEMS : length] if cut else np.arange(length)
            for length, cut in zip(array.shape, elided, strict=True)
        ]
        array = array[np.ix_(*shown_along_axes)]
    write, width = _element_format(array)
    if array.ndim == 0:
        return write(array.item()).rjust(width)
    # The brackets before an inner row count against the width of its lines.
    cells_per_line = max(1, (LINE_WIDTH - indent - (array.ndim - 1)) // (width + len(", ")))

    def format_axis(values: list[Any], axis: int) -> str:
        line_start = " " * (indent + axis + 1)
        if axis == array.ndim - 1:
            cells = [write(value).rjust(width) for value in values]
            if elided[axis]:
                cells.insert(EDGE_ITEMS, " ...")
            lines = [", ".join(cells[i : i + cells_per_line]) for i in range(0, len(cells), cells_per_line)]
            return "[" + (",\n" + line_start).join(lines) + "]"
        blocks = [format_axis(value, axis + 1) for value in values]
        if elided[axis]:
            blocks.insert(EDGE_ITEMS, "...")
        blank_lines = "\n" * (array.ndim - 2 - axis)
        return "[" + (",\n" + blank_lines + line_start).join(blocks) + "]"

    return format_axis(array.tolist(), 0)


def _element_format(shown: NDArray[Any]) -> tuple[Callable[[Any], str], int]:
    """How one element is written, and the common width, both decided by the elements that are shown.

    Floats are written like 3. where all are whole numbers, like 3.0000 otherwise, and like 3.0000e+00 where
    the largest or smallest magnitude, or their ratio, asks for it. Only finite non-zero elements decide.
    """
    if shown.dtype.kind != "f":
        return str, max(len(str(value)) for value in shown.ravel().tolist())
    deciding = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    if deciding.size == 0:
        return _whole_number, 1
    magnitudes = np.abs(deciding)
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    whole = bool(np.all(deciding == np.ceil(deciding)))
    write: Callable[[float], str]
    if largest > LARGEST_FIXED or largest / smallest > LARGEST_FIXED_RATIO or (smallest < SMALLEST_FIXED and not whole):
        write = _scientific
    else:
        write = _whole_number if whole else _fixed_point
    return write, max(len(write(value)) for value in deciding.tolist())


def _whole_number(value: float) -> str:
    return f"{value:.0f}." if math.isfinite(value) else str(value)


def _fixed_point(value: float) -> str:
    return f"{value:.{PRECISION}f}"


def _scientific(value: float) -> str:
    return f"{value:.{PRECISION}e}"
