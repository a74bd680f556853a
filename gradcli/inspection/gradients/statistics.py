"""What gradients look like: statistics of each, of groups of them and of all together, beside the weights' size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from gradcli.inspection.gradients.collection import Gradients
from gradcli.kernels.statistics import Array, Statistics, quantiles, statistics, sum_of_squares

PERCENTILES: Final = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
"""The percentiles of a record, by the names of their fields."""


@dataclass(frozen=True, kw_only=True)
class _Heading:
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class _GroupHeading:
    name: str
    tensors: int
    numel: int


@dataclass(frozen=True, kw_only=True)
class GradientStatistics(Statistics):
    """Statistics of all elements, NaN where there is NaN among them, but percentiles of the finite elements alone.

    `zero_share` is the share of zeros (0 to 1). `update_ratio` is lr * norm / `weight_norm`: by how much of their size
    one step of plain SGD (no momentum, no weight decay) moves the weights, None for weights that are all zero. Both are
    None for what is no parameter.
    """

    zero_share: float
    p1: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    weight_norm: float | None
    update_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class GradientRecord(GradientStatistics, _Heading):  # in this order the name is the first field
    """One gradient's name, shape, dtype and statistics."""


@dataclass(frozen=True, kw_only=True)
class GroupRecord(GradientStatistics, _GroupHeading):
    """The statistics of several gradients as if they were one array: of `tensors` parameters, `numel` numbers."""


def gradient_records(gradients: Gradients, lr: float) -> list[GradientRecord]:
    """The statistics of each gradient, with the update ratio for the learning rate `lr`."""
    described = _described([[name] for name in gradients.arrays], gradients, lr)
    return [
        GradientRecord(name=name, shape=array.shape, dtype=str(array.dtype), **asdict(found))
        for (name, array), found in zip(gradients.arrays.items(), described, strict=True)
    ]


def group_records(gradients: Gradients, group_of: Mapping[str, str], lr: float) -> list[GroupRecord]:
    """The statistics of the gradients that `group_of` gives the same group; the input is a group by itself."""
    members: dict[str, list[str]] = {}
    for name in gradients.arrays:
        members.setdefault(group_of.get(name, name), []).append(name)
    return _group_records(members, gradients, lr)


def total_record(gradients: Gradients, lr: float) -> GroupRecord:
    """The statistics of the gradients of all parameters together, named `total`; the input's is left out."""
    (record,) = _group_records({"total": list(gradients.parameters)}, gradients, lr)
    return record


def _group_records(members: Mapping[str, Sequence[str]], gradients: Gradients, lr: float) -> list[GroupRecord]:
    return [
        GroupRecord(
            name=group,
            tensors=len(names),
            numel=sum(gradients.arrays[name].size for name in names),
            **asdict(found),
        )
        for (group, names), found in zip(members.items(), _described(members.values(), gradients, lr), strict=True)
    ]


def norm_of(arrays: Sequence[Array]) -> float:
    """Euclidean norm of all elements of the arrays together."""
    squares = sum(sum_of_squares(array) for array in arrays)
    return math.sqrt(squares) if squares == squares else math.nan


def together(arrays: Sequence[Array]) -> Array:
    """The elements of all arrays in one of one dimension, in the order of memory."""
    if len(arrays) == 1:
        return arrays[0].ravel(order="K")
    return np.concatenate([array.ravel(order="K") for array in arrays]) if arrays else np.empty(0, np.float32)


def _described(groups: Iterable[Sequence[str]], gradients: Gradients, lr: float) -> list[GradientStatistics]:
    """The statistics of the gradients of each group of names, as if they were one array."""
    groups = list(groups)
    arrays = [together([gradients.arrays[name] for name in names]) for names in groups]
    described = []
    for names, array, percentiles in zip(groups, arrays, quantiles(arrays, list(PERCENTILES.values())), strict=True):
        basic = statistics(array)
        weights = [gradients.parameters[name] for name in names if name in gradients.parameters]
        weight_norm = norm_of(weights) if weights else None
        described.append(
            GradientStatistics(
                **asdict(basic) | dict(zip(PERCENTILES, percentiles, strict=True)),
                zero_share=basic.zeros / array.size if array.size else math.nan,
                weight_norm=weight_norm,
                update_ratio=lr * basic.norm / weight_norm if weight_norm else None,
            )
        )
    return described
