"""Two sets of tensors compared name by name, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gradcli.checkpoints.dtypes import FLOATING_POINT_DTYPES
from gradcli.checkpoints.quoting import quoted_if_odd, some_names
from gradcli.errors import CheckError
from gradcli.inspection.differences.array_difference import ArrayDifference, array_difference
from gradcli.inspection.differences.named_arrays import NamedArrays
from gradcli.inspection.differences.tensor_pairs import TensorPair, tensor_pairs
from gradcli.inspection.differences.vector_difference import VectorDifference, joined

Status = Literal["equal", "within", "beyond", "shape", "only-a", "only-b"]
_AGREEING: frozenset[Status] = frozenset({"equal", "within"})
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class TensorComparison:
    """One name: what its tensor is in A and in B, and what sets the two apart.

    `status` is "equal" (no element differs), "within" or "beyond" the tolerance, "shape" (the shapes differ, nothing
    else was compared), or "only-a" and "only-b". `shape` and `dtype` are A's, or B's where A has none; `shape_b` and
    `dtype_b` are B's where they are others. The numbers are those of `ArrayDifference`, None where nothing was
    compared; `relative` is |a - b| / |b| and `cosine` that of the angle between the two.
    """

    name: str
    status: Status
    shape: tuple[int, ...]
    shape_b: tuple[int, ...] | None = None
    dtype: str
    dtype_b: str | None = None
    max_abs: float | None = None
    relative: float | None = None
    cosine: float | None = None
    ulp_max: int | None = None
    ulp_median: int | None = None
    elements: int | None = None
    differing: int | None = None
    unmatched_nonfinite: int | None = None
    norm_a: float | None = None
    norm_b: float | None = None
    position: tuple[int, ...] | None = None
    value_a: float | int | bool | None = None
    value_b: float | int | bool | None = None

    @property
    def agrees(self) -> bool:
        """Whether both sides have it, and no further apart than the tolerance allows."""
        return self.status in _AGREEING

    def describe(self) -> str:
        """Name and difference in a few words."""
        name = quoted_if_odd(self.name)
        if self.relative is None:
            return name
        cosine = "" if self.cosine is None else f", cosine {self.cosine:.12g}"
        ulp = "" if self.ulp_max is None else f", up to {self.ulp_max:,} ULP"
        return f"{name} (relative {self.relative:.3g}{cosine}{ulp})"


@dataclass(frozen=True, kw_only=True)
class Side:
    """Where one side came from, what kind of file that is, and its tensors, compared or not."""

    source: str
    container: str
    tensors: int
    ignored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OverallDifference:
    """All floating-point tensors that were compared, taken as one vector."""

    elements: int
    differing: int
    max_abs: float
    relative: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sets of tensors, name by name in the order in which a backward pass reaches them.

    `counts` has the number of tensors of each status. `first_to_depart` is the first of the tensors in both that do
    not agree. `other_dtypes` names those that agree or not in numbers but have two dtypes, which is no disagreement.
    """

    a: Side
    b: Side
    tolerance: float
    atol: float
    renamed: bool
    counts: dict[Status, int]
    overall: OverallDifference
    first_to_depart: TensorComparison | None
    other_dtypes: tuple[str, ...] = field(repr=False)
    tensors: list[TensorComparison] = field(repr=False)

    @property
    def agrees(self) -> bool:
        """Whether both have the same names, and each tensor agrees."""
        return all(tensor.agrees for tensor in self.tensors)

    def describe(self) -> str:
        """The counts in a line."""
        equal, within, beyond = (self.counts[status] for status in ("equal", "within", "beyond"))
        compared = equal + within + beyond
        parts = [f"{equal:,} equal"]
        if self.tolerance or self.atol:
            parts += [f"{within:,} within the tolerance", f"{beyond:,} beyond it"]
        else:
            parts += [f"{beyond:,} different"]
        text = f"{compared:,} tensor{'' if compared == 1 else 's'} compared: {', '.join(parts)}"
        if self.overall.differing:  # not of integers alone, which are no part of it
            text += f"; as one vector: relative {self.overall.relative:.3g}, cosine {self.overall.cosine:.12g}"
        return text

    def check(self) -> None:
        """CheckError, which says what departs first and what is missing, unless both agree."""
        if self.agrees:
            return
        reasons = []
        if beyond := self.counts["beyond"]:
            limits = [f"relative {self.tolerance:g}"] * bool(self.tolerance) + [f"absolute {self.atol:g}"] * bool(
                self.atol
            )
            reasons.append(f"{beyond:,} beyond {' and '.join(limits)}" if limits else f"{beyond:,} differ")
        for status, meaning in (
            ("shape", "of other shapes"),
            ("only-a", f"only in {self.a.source}"),
            ("only-b", f"only in {self.b.source}"),
        ):
            names = [tensor.name for tensor in self.tensors if tensor.status == status]
            if names:
                reasons.append(f"{len(names):,} {meaning}: {some_names(names, _MOST_NAMES)}")
        first = self.first_to_depart
        if beyond and first is not None:
            reasons.insert(1, f"the first in backward order is {first.describe()}")
        raise CheckError(f"{self.a.source} and {self.b.source} do not agree: {'; '.join(reasons)}")


def compare(
    a: NamedArrays,
    b: NamedArrays,
    *,
    tolerance: float = 0.0,
    atol: float = 0.0,
    patterns: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> Comparison:
    """Compare the tensors of two sides by name: all, or those of `patterns` without those of `ignored`.

    Tensors agree if no element differs, if the Euclidean norm of their difference is at most `tolerance` times that of
    B, or if no element differs by more than `atol`. What agrees has no NaN or infinity that the other doesn't have.
    Shapes must be equal; dtypes may differ. One pair is in memory at a time, where files can be mapped.
    UsageError for a pattern without match, and where nothing is left to compare.
    """
    paired = tensor_pairs(a, b, patterns, ignored)
    tensors: list[TensorComparison] = []
    vectors: list[VectorDifference] = []
    floating: list[TensorComparison] = []
    for pair in paired.pairs:
        tensor, difference = _compare_pair(pair, a, b, tolerance, atol)
        tensors.append(tensor)
        if difference is not None and tensor.dtype in FLOATING_POINT_DTYPES:
            vectors.append(difference.vectors)
            floating.append(tensor)
    both = joined(vectors)
    counts: Counter[Status] = Counter(tensor.status for tensor in tensors)
    return Comparison(
        a=_side(a),
        b=_side(b),
        tolerance=tolerance,
        atol=atol,
        renamed=paired.renamed,
        counts={status: counts[status] for status in ("equal", "within", "beyond", "shape", "only-a", "only-b")},
        overall=OverallDifference(
            elements=sum(tensor.elements or 0 for tensor in floating),
            differing=sum(tensor.differing or 0 for tensor in floating),
            # NaN where there is one, unlike Python's `max`.
            max_abs=float(np.max([tensor.max_abs or 0.0 for tensor in floating], initial=0.0)),
            relative=both.relative,
            cosine=both.cosine,
        ),
        first_to_depart=next((tensor for tensor in tensors if tensor.status in ("beyond", "shape")), None),
        other_dtypes=tuple(tensor.name for tensor in tensors if tensor.dtype_b is not None),
        tensors=tensors,
    )


def _side(named: NamedArrays) -> Side:
    return Side(source=named.source, container=named.container, tensors=len(named.arrays), ignored=named.ignored)


def _compare_pair(
    pair: TensorPair, a: NamedArrays, b: NamedArrays, tolerance: float, atol: float
) -> tuple[TensorComparison, ArrayDifference | None]:
    if pair.in_a is None or pair.in_b is None:
        side, name = (b, pair.in_b) if pair.in_a is None else (a, pair.in_a)
        assert name is not None
        status: Status = "only-b" if pair.in_a is None else "only-a"
        return TensorComparison(
            name=pair.name, status=status, shape=side.arrays[name].shape, dtype=side.dtypes[name]
        ), None
    array_a, array_b = a.arrays[pair.in_a], b.arrays[pair.in_b]
    dtype_a, dtype_b = a.dtypes[pair.in_a], b.dtypes[pair.in_b]
    heading: dict[str, Any] = {
        "name": pair.name,
        "shape": array_a.shape,
        "shape_b": array_b.shape if array_b.shape != array_a.shape else None,
        "dtype": dtype_a,
        "dtype_b": dtype_b if dtype_b != dtype_a else None,
    }
    if array_a.shape != array_b.shape:
        return TensorComparison(**heading, status="shape"), None
    difference = array_difference(array_a, array_b, dtype_a, dtype_b)
    a.release(pair.in_a)
    b.release(pair.in_b)
    tensor = TensorComparison(
        **heading,
        status=_status(difference, tolerance, atol),
        max_abs=difference.max_abs,
        relative=difference.vectors.relative,
        cosine=difference.vectors.cosine,
        ulp_max=difference.ulp_max,
        ulp_median=difference.ulp_median,
        elements=difference.elements,
        differing=difference.differing,
        unmatched_nonfinite=difference.unmatched_nonfinite,
        norm_a=difference.vectors.norm_a,
        norm_b=difference.vectors.norm_b,
        position=difference.position,
        value_a=difference.value_a,
        value_b=difference.value_b,
    )
    return tensor, difference


def _status(difference: ArrayDifference, tolerance: float, atol: float) -> Status:
    if difference.differing == 0:
        return "equal"
    if difference.unmatched_nonfinite:
        return "beyond"
    # Without a tolerance nothing that differs agrees, be the quotient so small that it is 0.
    is_near = 0 < tolerance >= difference.vectors.relative or difference.max_abs <= atol
    return "within" if is_near else "beyond"
