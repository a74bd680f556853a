"""Collected gradients: which are there, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcli import nn
from gradcli.errors import DivergedError, UsageError
from gradcli.inspection.gradients.collection import Gradients, collect_gradients, flat_values
from gradcli.training.passes import Pass, PassSettings, prepare


def two_images(**settings: Any) -> Pass:
    return prepare(PassSettings(**({"shape": (2, 3, 32, 32)} | settings)))


def test_every_trainable_parameter_in_the_models_order() -> None:
    run = two_images()
    gradients = collect_gradients(run)
    assert list(gradients.arrays) == [name for name, _ in run.model.named_parameters()]
    for name, parameter in run.model.named_parameters():
        assert gradients.arrays[name].shape == tuple(parameter.shape)
    assert (gradients.weights, gradients.mode) == ("emoji1k", "train")
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


def test_a_parameter_that_trains_and_has_no_gradient_is_named() -> None:
    run = two_images()
    run.model.fc.register_parameter("unused", nn.Parameter(np.ones(3, np.float32)))
    gradients = collect_gradients(run, ["fc.*"])
    assert list(gradients.arrays) == list(gradients.parameters) == ["fc.weight", "fc.bias"]
    assert gradients.unreached == ["fc.unused"]
    assert gradients.parameters["fc.bias"] is run.model.fc.bias.array


def test_numbers_that_are_not_finite_are_found_by_name() -> None:
    gradients = Gradients(
        arrays={"a": np.ones(3), "b": np.array([1.0, np.nan])},
        parameters={"a": np.ones(3), "b": np.ones(2)},
        unreached=[],
        loss=1.0,
        seconds=0.1,
        weights="random:0",
        mode="train",
        kernels="exact",
    )
    with pytest.raises(DivergedError, match="the gradient of b is not finite"):
        gradients.check_finite()


def test_values_are_in_row_major_order() -> None:
    assert flat_values(np.array([[0.0, 3.0], [-4.0, 0.0]]).T) == [0.0, -4.0, 3.0, 0.0]
