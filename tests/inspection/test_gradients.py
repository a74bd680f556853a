"""Collected gradients: which are there, their records, sums by layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradcli.errors import DivergedError, UsageError
from gradcli.inspection.gradients import (
    Gradients,
    collect_gradients,
    flat_values,
    gradient_record,
    norms_by_layer,
    total_norm,
)
from gradcli.training.passes import Pass, PassSettings, prepare


def two_images(**settings: Any) -> Pass:
    return prepare(PassSettings(**({"shape": (2, 3, 32, 32)} | settings)))


def test_every_trainable_parameter_in_the_models_order() -> None:
    run = two_images()
    gradients = collect_gradients(run)
    assert list(gradients.arrays) == [name for name, _ in run.model.named_parameters()]
    for name, parameter in run.model.named_parameters():
        assert gradients.arrays[name].shape == tuple(parameter.shape)
    assert (gradients.weights, gradients.mode) == ("random:0", "train")
    assert gradients.seconds > 0


def test_chosen_parameters_have_the_same_gradients_and_nothing_else_is_computed() -> None:
    every = collect_gradients(two_images()).arrays
    run = two_images()
    chosen = collect_gradients(run, ["layer3.1.*", "fc.bias"]).arrays
    assert list(chosen) == [name for name in every if name.startswith("layer3.1.") or name == "fc.bias"]
    for name, array in chosen.items():
        np.testing.assert_array_equal(array, every[name])
    assert run.model.conv1.weight.grad is None


def test_the_input_alone() -> None:
    gradients = collect_gradients(two_images(freeze=[("freeze", "*")]), wrt_input=True)
    assert list(gradients.arrays) == ["input"]
    assert gradients.arrays["input"].shape == (2, 3, 32, 32)


def test_what_has_no_gradient_is_refused() -> None:
    with pytest.raises(UsageError, match="--param 'layer9' matches no parameter"):
        collect_gradients(two_images(), ["layer9"])
    with pytest.raises(UsageError, match=r"--param: bn1\.weight is frozen, so it has no gradient; --unfreeze it"):
        collect_gradients(two_images(freeze=[("freeze", "bn1.*")]), ["bn1.weight", "fc.bias"])
    with pytest.raises(UsageError, match="every parameter is frozen, so there is no gradient"):
        collect_gradients(two_images(freeze=[("freeze", "*")]))


def test_a_record_is_name_shape_dtype_and_statistics() -> None:
    array = np.array([[0.0, 3.0], [-4.0, 0.0]])
    record = gradient_record("fc.weight", array)
    assert (record.name, record.shape, record.dtype, record.norm, record.mean) == (
        "fc.weight",
        (2, 2),
        "float64",
        5.0,
        -0.25,
    )
    assert record.std == pytest.approx(array.std(ddof=1))
    assert (record.min, record.max, record.zeros, record.nonfinite) == (-4.0, 3.0, 2, 0)
    assert flat_values(array.T) == [0.0, -4.0, 3.0, 0.0]


def test_norms_by_layer_and_in_total() -> None:
    arrays = {
        "conv1.weight": np.full((2, 2), 2.0, np.float32),
        "bn1.weight": np.array([3.0], np.float32),
        "bn1.bias": np.array([4.0], np.float32),
        "input": np.array([12.0], np.float32),
    }
    layers = norms_by_layer(arrays)
    assert [(layer.name, layer.norm, layer.numel) for layer in layers] == [
        ("conv1", 4.0, 4),
        ("bn1", 5.0, 2),
        ("input", 12.0, 1),
    ]
    assert total_norm(arrays) == pytest.approx(math.sqrt(16 + 25 + 144))


def test_numbers_that_are_not_finite_are_found_by_name() -> None:
    arrays = {"a": np.ones(3), "b": np.array([1.0, np.nan])}
    gradients = Gradients(
        arrays=arrays, loss=1.0, seconds=0.1, weights="random:0", mode="train", frozen_batch_norms=0, kernels="exact"
    )
    with pytest.raises(DivergedError, match="the gradient of b is not finite"):
        gradients.check_finite()
    assert math.isnan(norms_by_layer(arrays)[1].norm)
    assert math.isnan(total_norm(arrays))
    assert [record.nonfinite for record in gradients.records()] == [0, 1]
