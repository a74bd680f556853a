"""What is said of a tensor that is not finite, or that went into the operation where that began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradcli.kernels.statistics import Array, statistics

Phase = Literal["given", "forward", "backward"]
Role = Literal["source", "input", "first", "reached"]


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """A tensor on the way of NaN and infinity.

    `role`: `source` is one that is not finite before the pass; `input` one that the first operation (of its phase) with
    something else than numbers in its result was given; `first` that result; `reached` a later one. `order` counts the
    operations of the phase from 1. `min`, `max` and `norm` are of the finite elements; NaN where there are none.
    """

    phase: Phase
    role: Role
    order: int | None
    module: str | None
    operation: str | None
    tensor: str
    shape: tuple[int, ...]
    dtype: str
    numel: int
    nan: int
    inf: int
    min: float
    max: float
    norm: float

    @property
    def is_finite(self) -> bool:
        """Whether all elements are."""
        return not self.nan and not self.inf

    def counts(self) -> str:
        """How many elements are not finite, in words."""
        parts = [f"{count:,} {word}" for count, word in ((self.nan, "NaN"), (self.inf, "infinite")) if count]
        return f"{' and '.join(parts) or 'no'} of {self.numel:,}"


def tensor_record(
    array: Array,
    *,
    tensor: str,
    phase: Phase,
    role: Role,
    order: int | None = None,
    module: str | None = None,
    operation: str | None = None,
) -> TensorRecord:
    """Describe an array."""
    finite = np.isfinite(array)
    nan = int(np.count_nonzero(np.isnan(array)))
    described = statistics(array if finite.all() else array[finite])
    empty = not finite.any()
    return TensorRecord(
        phase=phase,
        role=role,
        order=order,
        module=module,
        operation=operation,
        tensor=tensor,
        shape=array.shape,
        dtype=str(array.dtype),
        numel=array.size,
        nan=nan,
        inf=array.size - int(np.count_nonzero(finite)) - nan,
        min=described.min,
        max=described.max,
        norm=math.nan if empty else described.norm,
    )
