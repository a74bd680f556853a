"""What the parameters of a transform may be."""

from __future__ import annotations

import math

from gradcli.errors import UsageError


def is_number(value: object) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_range(values: object, low: float, high: float) -> bool:
    """Whether these are two numbers, the smaller first, from low to high."""
    if not isinstance(values, tuple) or len(values) != 2 or not all(is_number(value) for value in values):
        return False
    first, second = values
    return bool(low <= first <= second <= high)


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """UsageError that names an augmentation's parameter which is no number from low to high."""
    if not is_number(value) or not low <= value <= high:
        end = "" if high == math.inf else f" to {high:g}"
        raise UsageError(f"augmentation {name} {value}: expected a number from {low:g}{end}")


def check_probability(name: str, value: float) -> None:
    """UsageError that names an augmentation's parameter which is no probability."""
    if not is_number(value) or not 0 <= value <= 1:
        raise UsageError(f"augmentation {name} {value}: expected a probability from 0 to 1")
