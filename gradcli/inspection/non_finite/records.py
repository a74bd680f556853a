"""What is said of a tensor that is not finite, or that went into the operation where that began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradcli.kernels.statistics import Array, finite_statistics, first_non_finite
from gradcli.training.non_finite import index_text

Phase = Literal["given", "forward", "backward"]
Role = Literal["source", "input", "first", "reached"]


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """A tensor on the way of NaN and infinity.

    `role`: `source` is one that is not finite before the pass; `input` one that the first operation (of its phase) with
    something else than numbers in its result was given; `first` that result; `reached` a later one. `order` counts the
    operations of the phase from 1. `min`, `max` and `norm` are of the finite elements; NaN where there are none.
    `first_nonfinite` is the index of the first of the others, None without any.
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
    first_nonfinite: tuple[int, ...] | None

    @property
    def is_finite(self) -> bool:
        """Whether all elements are."""
        return not self.nan and not self.inf

    def counts(self) -> str:
        """How many elements are not finite, in words."""
        parts = [f"{count:,} {word}" for count, word in ((self.nan, "NaN"), (self.inf, "infinite")) if count]
        return f"{' and '.join(parts) or 'no'} of {self.numel:,}"

    def describe(self) -> str:
        """How many elements are not finite, and where the first of them is, in words."""
        first = "" if self.first_nonfinite is None else f", first at {index_text(self.first_nonfinite)}"
        return f"{self.counts()}{first}"


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
    nan = int(np.count_nonzero(np.isnan(array)))
    described = finite_statistics(array)
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
        inf=described.nonfinite - nan,
        min=described.min,
        max=described.max,
        norm=described.norm,
        first_nonfinite=first_non_finite(array),
    )
