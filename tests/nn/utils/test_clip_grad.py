"""Clipping by norm and by value: what changes, what does not, what is refused; and PyTorch's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.autograd.versions import version
from gradcli.kernels.policy import using_kernels
from gradcli.nn.utils import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm


def parameters_with(*gradients: list[float] | None) -> list[nn.Parameter]:
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(gradcli.zeros(2 if gradient is None else len(gradient)))
        parameter.grad = None if gradient is None else gradcli.tensor(gradient)
        made.append(parameter)
    return made


def test_gradients_are_scaled_together_to_the_norm():
    first, without, second = parameters_with([3.0, 0.0], None, [0.0, 4.0])
    held = first.grad
    assert clip_grad_norm_([first, without, second], 1.0).item() == 5
    assert first.grad is held
    np.testing.assert_allclose(first.grad.array, [0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(second.grad.array, [0, 0.8], rtol=1e-6)
    assert without.grad is None


def test_gradients_of_a_smaller_norm_stay_as_they_are():
    (parameter,) = parameters_with([0.3, 0.4])
    before = version(parameter.grad.array)
    assert clip_grad_norm_(parameter, 0.6).item() == pytest.approx(0.5)
    assert parameter.grad.array.tolist() == np.float32([0.3, 0.4]).tolist()
    assert version(parameter.grad.array) == before


@pytest.mark.parametrize(
    ("order", "expected"), [(1, 10.0), (2, math.sqrt(38)), (3, 160 ** (1 / 3)), (math.inf, 5.0), ("inf", 5.0)]
)
def test_norms_of_any_order(order, expected):
    gradients = [gradcli.tensor([3.0, -5.0]), gradcli.tensor([[2.0], [0.0]])]
    assert get_total_norm(gradients, order).item() == pytest.approx(expected, rel=1e-6)


def test_the_norm_of_nothing_is_zero():
    assert get_total_norm([]).item() == 0
    (parameter,) = parameters_with(None)
    assert clip_grad_norm_([parameter], 1.0).item() == 0


def test_the_norm_has_the_widest_type():
    gradients = [gradcli.ones(2), gradcli.ones(2, dtype=gradcli.float64)]
    assert get_total_norm(gradients).dtype is gradcli.float64
    assert get_total_norm(gradients[:1]).dtype is gradcli.float32
    assert get_total_norm([gradcli.full((4,), 3e38)]).item() == math.inf


def test_a_total_norm_may_be_given():
    (parameter,) = parameters_with([3.0, 4.0])
    clip_grads_with_norm_(parameter, 1.0, gradcli.tensor(10.0))
    np.testing.assert_allclose(parameter.grad.array, [0.3, 0.4], rtol=1e-6)


@pytest.mark.parametrize(("value", "clipped"), [(math.inf, [math.nan, 0.0]), (math.nan, [math.nan, math.nan])])
def test_norms_that_are_not_finite(value, clipped):
    (parameter,) = parameters_with([value, 1.0])
    with pytest.raises(RuntimeError, match=f"the total norm of order 2.0 of the gradients is {value}"):
        clip_grad_norm_(parameter, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(parameter.grad.array, [value, 1.0])
    with np.errstate(all="raise"):
        clip_grad_norm_(parameter, 1.0)
    np.testing.assert_array_equal(parameter.grad.array, clipped)


def test_values_are_brought_into_the_range():
    first, without, second = parameters_with([3.0, -0.25], None, [-7.0])
    clip_grad_value_([first, without, second], 0.5)
    assert first.grad.tolist() == [0.5, -0.25]
    assert second.grad.tolist() == [-0.5]
    assert without.grad is None


def test_an_empty_generator_is_suspicious():
    with pytest.warns(UserWarning, match="empty generator"):
        clip_grad_norm_((parameter for parameter in []), 1.0)


def test_changes_count_as_such_in_graphs_that_saved_the_gradient():
    (parameter,) = parameters_with([3.0, 4.0])
    weight = gradcli.ones(2, requires_grad=True)
    product = (weight * parameter.grad).sum()
    clip_grad_norm_(parameter, 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_gradients_that_are_not_formed_stay_so():
    conv = nn.Conv2d(256, 256, 3, padding=1)
    with using_kernels("fast"):
        conv(gradcli.randn(1, 256, 2, 2)).square().sum().backward()
    gradient = conv.weight.grad.deferred_array()
    assert not gradient.is_computed
    norm = clip_grad_norm_(conv.parameters(), 1.0).item()
    assert not gradient.is_computed
    assert norm > 1
    assert get_total_norm([parameter.grad for parameter in conv.parameters()]).item() == pytest.approx(1, rel=1e-5)
    squares = sum(np.square(parameter.grad.array.astype(np.float64)).sum() for parameter in conv.parameters())
    assert math.sqrt(squares) == pytest.approx(1, rel=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("order", [1.0, 2.0, 3.5, 0.5, 0.0, math.inf, -math.inf])
@pytest.mark.parametrize("most", [0.3, 1e4])
def test_norms_and_gradients_are_pytorchs(order, most):
    torch = pytest.importorskip("torch")
    results: list[Any] = []
    for library in (gradcli, torch):
        generator = np.random.default_rng(0)
        parameters = [library.nn.Parameter(library.zeros(shape)) for shape in ((3, 4), (70_000,), (2, 3, 3, 3))]
        for parameter in parameters:
            gradient = generator.normal(size=tuple(parameter.shape)).astype(np.float32)
            parameter.grad = library.from_numpy(gradient)
        norm = library.nn.utils.clip_grad_norm_(parameters, most, norm_type=order)
        results.append([norm.item(), *(parameter.grad.numpy() for parameter in parameters)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("order", [2.0, 1.0, math.inf])
def test_what_is_not_finite_goes_on_as_in_pytorch(value, order):
    torch = pytest.importorskip("torch")
    results = []
    for library in (gradcli, torch):
        parameter = library.nn.Parameter(library.zeros(3))
        parameter.grad = library.tensor([value, 1.0, -2.0])
        with pytest.raises(RuntimeError):
            library.nn.utils.clip_grad_norm_(parameter, 1.0, order, error_if_nonfinite=True)
        norm = library.nn.utils.clip_grad_norm_(parameter, 1.0, order)
        library.nn.utils.clip_grad_value_(parameter, 0.5)
        results.append([norm.item(), *parameter.grad.tolist()])
    np.testing.assert_array_equal(*results)
