"""Layers of gradient records as numbers, and where update ratios are large."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradcli.inspection.training_runs.layers import (
    LayerStep,
    first_large_update,
    is_large,
    largest_update,
    layer_records,
)


def record(step: int, **ratios: Any) -> dict[str, Any]:
    layers = [{"name": name, "grad_norm": "inf", "update_ratio": ratio} for name, ratio in ratios.items()]
    return {"kind": "gradients", "epoch": 1, "step": step, "layers": layers}


def test_layers_have_numbers_where_records_have_text() -> None:
    found = layer_records(record(1, conv1=0.5, fc=None, bn1="nan"))
    assert [layer["name"] for layer in found] == ["conv1", "fc", "bn1"]
    assert [layer["grad_norm"] for layer in found] == [math.inf] * 3
    assert [layer["update_ratio"] for layer in found[:2]] == [0.5, None]
    assert math.isnan(found[2]["update_ratio"])


@pytest.mark.parametrize(
    ("ratio", "large"), [(None, False), (0.0, False), (0.1, False), (0.11, True), (math.inf, True)]
)
def test_ratios_above_a_tenth_are_large(ratio: float | None, large: bool) -> None:
    assert is_large(ratio) is large


def test_what_is_no_number_is_large() -> None:
    assert is_large(math.nan)


RECORDS = [record(5, conv1=0.01, fc=0.09), record(10, conv1=0.2, fc=0.3), record(15, conv1=4.0, fc=None)]


def test_the_largest_update_is_of_all_steps_and_the_first_large_one_of_the_first_step_that_has_any() -> None:
    assert largest_update(RECORDS) == LayerStep("conv1", 15, 4.0)
    assert first_large_update(RECORDS) == LayerStep("fc", 10, 0.3)
    assert largest_update([*RECORDS, record(20, conv1="inf", fc="inf")]) == LayerStep("conv1", 20, math.inf)


def test_where_no_step_is_large_or_has_a_ratio() -> None:
    assert first_large_update(RECORDS[:1]) is None
    assert largest_update([record(1, fc=None)]) is None
    assert first_large_update([record(1, fc=None), record(2)]) is None
    assert largest_update([]) is None
