"""Records of gradients, of groups and of all, against NumPy in double precision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcli.inspection.gradients.statistics import (
    PERCENTILES,
    gradient_records,
    group_records,
    norm_of,
    total_record,
)

RANDOM = np.random.default_rng(4)
ARRAYS = {
    "conv1.weight": RANDOM.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "bn1.weight": np.array([0.0, 1.0, 0.0, -3.0], np.float32),
    "fc.weight": RANDOM.normal(1, 2, size=(5, 4)).astype(np.float32).T,
    "input": np.full((1, 3, 2, 2), 100.0, np.float32),
}
WEIGHTS = {
    "conv1.weight": np.full((4, 3, 2, 2), 0.5, np.float32),
    "bn1.weight": np.zeros(4, np.float32),
    "fc.weight": RANDOM.normal(size=(4, 5)).astype(np.float32),
}


def expected_statistics(arrays: list[Any], weights: list[Any], lr: float) -> dict[str, Any]:
    values = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
    norm = math.sqrt((values**2).sum())
    weight_norm = math.sqrt(sum((weight.astype(np.float64) ** 2).sum() for weight in weights)) if weights else None
    return {
        "norm": norm,
        "mean": values.mean(),
        "std": values.std(ddof=1),
        "min": values.min(),
        "max": values.max(),
        "zeros": (values == 0).sum(),
        "nonfinite": 0,
        "zero_share": (values == 0).mean(),
        **{field: np.quantile(values, share) for field, share in PERCENTILES.items()},
        "weight_norm": weight_norm,
        "update_ratio": lr * norm / weight_norm if weight_norm else None,
    }


def check(record: Any, expected: dict[str, Any]) -> None:
    found = dataclasses.asdict(record)
    for field, value in expected.items():
        assert found[field] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), field


def test_records_of_single_gradients(gradients_of: Callable[..., Any]) -> None:
    records = gradient_records(gradients_of(ARRAYS, WEIGHTS), lr=0.1)
    assert [(record.name, record.shape, record.dtype) for record in records] == [
        (name, array.shape, "float32") for name, array in ARRAYS.items()
    ]
    for record in records:
        weights = [WEIGHTS[record.name]] if record.name in WEIGHTS else []
        check(record, expected_statistics([ARRAYS[record.name]], weights, 0.1))
    assert records[1].update_ratio is None  # weights that are all zero have no size to compare with
    assert (records[3].weight_norm, records[3].update_ratio) == (None, None)


def test_a_group_is_like_one_array_and_the_input_is_one_by_itself(gradients_of: Callable[..., Any]) -> None:
    groups = {"conv1.weight": "stem", "bn1.weight": "stem", "fc.weight": "head"}
    records = group_records(gradients_of(ARRAYS, WEIGHTS), groups, lr=0.1)
    assert [(record.name, record.tensors, record.numel) for record in records] == [
        ("stem", 2, 52),
        ("head", 1, 20),
        ("input", 1, 12),
    ]
    stem = ["conv1.weight", "bn1.weight"]
    check(records[0], expected_statistics([ARRAYS[name] for name in stem], [WEIGHTS[name] for name in stem], 0.1))
    assert records[2].weight_norm is None


def test_the_total_is_that_of_the_parameters(gradients_of: Callable[..., Any]) -> None:
    record = total_record(gradients_of(ARRAYS, WEIGHTS), lr=1.0)
    assert (record.name, record.tensors, record.numel) == ("total", 3, 72)
    check(record, expected_statistics([ARRAYS[name] for name in WEIGHTS], list(WEIGHTS.values()), 1.0))


def test_there_may_be_no_parameters_at_all(gradients_of: Callable[..., Any]) -> None:
    record = total_record(gradients_of({"input": ARRAYS["input"]}), lr=1.0)
    assert (record.tensors, record.numel, record.norm, record.weight_norm) == (0, 0, 0.0, None)
    assert math.isnan(record.zero_share)


def test_what_is_not_finite_shows_in_the_statistics_but_not_in_the_percentiles(
    gradients_of: Callable[..., Any],
) -> None:
    (record,) = gradient_records(gradients_of({"fc.bias": np.array([np.nan, 1.0, 3.0, np.inf])}), lr=1.0)
    assert record.nonfinite == 2
    assert all(math.isnan(value) for value in (record.norm, record.mean, record.std, record.min, record.max))
    assert (record.p50, record.weight_norm) == (2.0, 2.0)
    assert record.update_ratio is not None
    assert math.isnan(record.update_ratio)


def test_the_norm_of_several_arrays() -> None:
    assert norm_of([np.array([3.0]), np.array([[4.0]])]) == 5.0
    assert norm_of([]) == 0.0
    assert math.isnan(norm_of([np.ones(2), np.array([np.nan])]))
