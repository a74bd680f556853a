"""What all losses do with the loss of each element: average, sum, or keep them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.ops.reduction import mean_all, sum_all

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> None:
    """ValueError unless `reduction` is one of the three."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")


def chosen_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """`reduction`, or what PyTorch's old options `size_average` and `reduce` stand for where one of them is given."""
    if size_average is None and reduce is None:
        return reduction
    averaged, reduced = size_average is None or size_average, reduce is None or reduce
    meant = "none" if not reduced else "mean" if averaged else "sum"
    warnings.warn(f"size_average and reduce are deprecated: use reduction={meant!r} instead", stacklevel=3)
    return meant


def reduced_array(losses: Array, reduction: str) -> Array:
    """The losses one by one, their sum, or their mean, which is nan where there are none. ValueError for any other."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return np.asarray(np.sum(losses))
    check_reduction(reduction)
    return np.asarray(np.mean(losses)) if losses.size else np.asarray(math.nan, losses.dtype)


def reduced(losses: Any, reduction: str) -> Any:
    """As `reduced_array`, in recorded operations."""
    check_reduction(reduction)
    return losses if reduction == "none" else mean_all(losses) if reduction == "mean" else sum_all(losses)


def spread(grad: Any, count: int, reduction: str) -> Any:
    """The gradient of a reduced loss with respect to each of its `count` losses, before broadcasting."""
    return grad * (1 / count) if reduction == "mean" and count else grad
