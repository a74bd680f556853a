"""Convolution against naive loops in float64, and both gradients as its adjoints."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import convolution
from gradcli.kernels.convolution import conv2d_weight_gradient
from tests.kernels.references import MEMORY_LAYOUTS, naive_conv2d, random_array, relative_error

#         input shape, weight shape, stride, padding, dilation, groups
CASES = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 9, 8), (4, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((3, 4, 7, 5), (6, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 5, 4, 4), (3, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 5, 5, 4), (3, 5, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 5, 3, 3), (3, 5, 1, 1), (1, 1), (2, 1), (1, 1), 1),
    ((1, 2, 1, 1), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 8, 2, 2), (40, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # few positions, many filters
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 3, 9, 10), (2, 3, 3, 2), (2, 3), (2, 0), (2, 3), 1),
    ((2, 3, 4, 5), (2, 3, 2, 3), (1, 1), (4, 3), (1, 1), 1),  # padding beyond the window
    ((2, 4, 6, 5), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((2, 4, 6, 5), (8, 1, 3, 3), (2, 1), (1, 0), (1, 2), 4),
    ((3, 6, 3, 4), (6, 2, 1, 1), (1, 1), (0, 0), (1, 1), 3),
    ((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
]


def conv2d(x, weight, *geometry):
    return convolution.conv2d(x, weight, *geometry).array()


def conv2d_input_gradient(*arguments):
    return convolution.conv2d_input_gradient(*arguments).array()


@pytest.mark.parametrize(("input_shape", "weight_shape", "stride", "padding", "dilation", "groups"), CASES)
def test_convolution_matches_the_definition_and_its_gradients_are_adjoint(
    input_shape, weight_shape, stride, padding, dilation, groups
):
    geometry = (stride, padding, dilation, groups)
    x, weight = random_array(input_shape, 1), random_array(weight_shape, 2)
    out = conv2d(x, weight, *geometry)
    expected = naive_conv2d(x, weight, *geometry)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)

    grad = random_array(out.shape, 3)
    product = np.vdot(out, grad)
    grad_x = conv2d_input_gradient(grad, weight, input_shape, *geometry)
    grad_weight = conv2d_weight_gradient(grad, x, weight_shape, *geometry)
    assert grad_x.shape == input_shape
    assert grad_weight.shape == weight_shape
    assert np.vdot(x, grad_x) == pytest.approx(product, rel=1e-11, abs=1e-11)
    assert np.vdot(weight, grad_weight) == pytest.approx(product, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize(("input_shape", "weight_shape", "stride", "padding", "dilation", "groups"), CASES)
def test_gradients_match_the_definition_entry_by_entry(input_shape, weight_shape, stride, padding, dilation, groups):
    geometry = (stride, padding, dilation, groups)
    x, weight = random_array(input_shape, 1), random_array(weight_shape, 2)
    grad = random_array(conv2d(x, weight, *geometry).shape, 3)
    grad_x = conv2d_input_gradient(grad, weight, input_shape, *geometry)
    grad_weight = conv2d_weight_gradient(grad, x, weight_shape, *geometry)
    generator = np.random.RandomState(4)
    for array, gradient, derivative in (
        (x, grad_x, lambda unit: naive_conv2d(unit, weight, *geometry)),
        (weight, grad_weight, lambda unit: naive_conv2d(x, unit, *geometry)),
    ):
        for flat_index in generator.permutation(array.size)[:3]:
            unit = np.zeros(array.size)
            unit[flat_index] = 1.0
            expected = np.vdot(derivative(unit.reshape(array.shape)), grad)
            position = np.unravel_index(flat_index, array.shape)
            assert gradient[position] == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[3], CASES[14]])
def test_any_strides_give_the_same_numbers_in_channels_last_memory(memory, dtype, case):
    input_shape, weight_shape, *geometry = case
    x = random_array(input_shape, 1, dtype, memory)
    weight = random_array(weight_shape, 2, dtype, "strided" if memory == "broadcast-batch" else memory)
    dense_x, dense_weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)
    out = conv2d(x, weight, *geometry)
    grad = random_array(out.shape, 3, dtype, memory)
    dense_grad = np.ascontiguousarray(grad)
    pairs = [
        (out, conv2d(dense_x, dense_weight, *geometry)),
        (
            conv2d_input_gradient(grad, weight, input_shape, *geometry),
            conv2d_input_gradient(dense_grad, dense_weight, input_shape, *geometry),
        ),
        (
            conv2d_weight_gradient(grad, x, weight_shape, *geometry),
            conv2d_weight_gradient(dense_grad, dense_x, weight_shape, *geometry),
        ),
    ]
    for actual, expected in pairs:
        assert actual.dtype == dtype
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)


def test_float32_stays_close_to_float64():
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    x, weight = random_array((4, 64, 12, 12), 1), random_array((64, 64, 3, 3), 2)
    grad = random_array((4, 64, 12, 12), 3)
    x32, weight32, grad32 = (a.astype(np.float32) for a in (x, weight, grad))
    x, weight, grad = (a.astype(np.float64) for a in (x32, weight32, grad32))
    for actual, expected in (
        (conv2d(x32, weight32, *geometry), conv2d(x, weight, *geometry)),
        (
            conv2d_input_gradient(grad32, weight32, x.shape, *geometry),
            conv2d_input_gradient(grad, weight, x.shape, *geometry),
        ),
        (
            conv2d_weight_gradient(grad32, x32, weight.shape, *geometry),
            conv2d_weight_gradient(grad, x, weight.shape, *geometry),
        ),
    ):
        assert relative_error(actual, expected) < 2e-6


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "groups", "message"),
    [
        ((1, 3, 4, 4), (2, 4, 3, 3), 1, "expects an input with 4 channels"),
        ((1, 4, 4, 4), (3, 2, 3, 3), 2, "must divide the 3 output channels"),
        ((1, 4, 4, 4), (3, 2, 3, 3), 0, "groups is 0"),
        ((1, 4, 2, 2), (3, 4, 3, 3), 1, "doesn't fit"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(input_shape, weight_shape, groups, message):
    with pytest.raises(RuntimeError, match=message):
        conv2d(np.zeros(input_shape), np.zeros(weight_shape), (1, 1), (0, 0), (1, 1), groups)


def test_mixed_dtypes_and_wrong_gradient_shapes_are_refused():
    x, weight = np.zeros((1, 2, 4, 4), np.float32), np.zeros((3, 2, 3, 3), np.float32)
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    with pytest.raises(RuntimeError, match="float64"):
        conv2d(x, weight.astype(np.float64), *geometry)
    with pytest.raises(RuntimeError, match="gradient has shape"):
        conv2d_input_gradient(np.zeros((1, 3, 5, 5), np.float32), weight, x.shape, *geometry)
    with pytest.raises(RuntimeError, match="gradient has shape"):
        conv2d_weight_gradient(np.zeros((1, 3, 5, 5), np.float32), x, weight.shape, *geometry)


@pytest.mark.parity
@pytest.mark.parametrize(("input_shape", "weight_shape", "stride", "padding", "dilation", "groups"), CASES)
def test_convolution_and_gradients_agree_with_pytorch(input_shape, weight_shape, stride, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    geometry = (stride, padding, dilation, groups)
    x = torch.tensor(random_array(input_shape, 1), requires_grad=True)
    weight = torch.tensor(random_array(weight_shape, 2), requires_grad=True)
    out = torch.nn.functional.conv2d(x, weight, None, *geometry)
    grad = random_array(tuple(out.shape), 3)
    out.backward(torch.from_numpy(grad))
    x_array, weight_array = x.detach().numpy(), weight.detach().numpy()
    for actual, expected in (
        (conv2d(x_array, weight_array, *geometry), out.detach()),
        (conv2d_input_gradient(grad, weight_array, input_shape, *geometry), x.grad),
        (conv2d_weight_gradient(grad, x_array, weight_shape, *geometry), weight.grad),
    ):
        np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("input_shape", "weight_shape", "stride", "padding", "dilation", "groups"), CASES)
def test_both_gradients_at_once_are_those_one_by_one(input_shape, weight_shape, stride, padding, dilation, groups):
    geometry = (stride, padding, dilation, groups)
    x, weight = random_array(input_shape, 1), random_array(weight_shape, 2)
    out = convolution.conv2d(x, weight, *geometry, keep=True)
    out.array()
    grad = random_array(out.shape, 3)
    grad_x, grad_weight = convolution.conv2d_gradients(grad, x, weight, out, *geometry)
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(grad_x.array(), conv2d_input_gradient(grad, weight, input_shape, *geometry), **close)
    np.testing.assert_allclose(grad_weight, conv2d_weight_gradient(grad, x, weight_shape, *geometry), **close)


def test_an_epilogue_sees_the_whole_result_and_may_leave_its_own():
    x, weight = random_array((2, 3, 5, 6), 1), random_array((4, 3, 3, 3), 2)
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    expected = conv2d(x, weight, *geometry)
    seen = {}
    out = convolution.conv2d(x, weight, *geometry)
    computed = out.compute(lambda first, rows: seen.__setitem__(first, rows.copy()))
    np.testing.assert_array_equal(computed, expected)
    assert out.array() is computed
    pixels = np.concatenate([seen[first] for first in sorted(seen)])
    np.testing.assert_array_equal(pixels, expected.transpose(0, 2, 3, 1).reshape(-1, 4))

    def double(first, rows):
        rows *= 2

    other = convolution.conv2d(x, weight, *geometry)
    np.testing.assert_array_equal(other.finished_by(double).transpose(0, 3, 1, 2), 2 * expected)
    np.testing.assert_array_equal(other.array(), expected)
