"""Refusing a gradient that would be computed from values that were changed in place after they were saved for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.graph import Node
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import staleness
from gradcli.deferred import computed

_TENSOR_TYPES = {
    "float16": "HalfTensor",
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "int8": "CharTensor",
    "int16": "ShortTensor",
    "int32": "IntTensor",
    "int64": "LongTensor",
    "uint8": "ByteTensor",
    "bool": "BoolTensor",
}


def check_unchanged(saved: Any, needed_by: Node, made_by: str | None, output_nr: int) -> None:
    """RuntimeError, in PyTorch's words, if an array, or one of several, was changed in place since it was saved.

    It was saved for the node that it is `needed_by`, and is result `output_nr` of the node called `made_by`.
    """
    for value in saved if isinstance(saved, tuple | list) else (saved,):
        array = computed(value.deferred_array() if isinstance(value, Tensor) else value)
        if isinstance(array, np.ndarray):
            _check_array(array, needed_by, made_by, output_nr)


def _check_array(array: Array, needed_by: Node, made_by: str | None, output_nr: int) -> None:
    stale = staleness(array, needed_by.sequence_number)
    if stale is None:
        return
    origin = "" if made_by is None else f", which is output {output_nr} of {made_by},"
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{_TENSOR_TYPES[array.dtype.name]} {list(array.shape)}]{origin} is at version {stale.version}; "
        f"expected version {stale.expected} instead. It is needed by {needed_by.name()}. Hint: enable anomaly "
        "detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True)."
    )
