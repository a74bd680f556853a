"""Average and adaptive average pooling against naive loops, and their gradients as adjoints."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import average_pooling
from gradcli.kernels.average_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_input_gradient,
    avg_pool2d,
    avg_pool2d_input_gradient,
)
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import MEMORY_LAYOUTS, random_array

#         input shape, kernel, stride, padding, ceil_mode
AVERAGE_CASES = [
    ((2, 3, 8, 7), (3, 3), (2, 2), (1, 1), False),
    ((2, 3, 8, 7), (3, 3), (2, 2), (1, 1), True),
    ((1, 2, 5, 6), (2, 3), (2, 3), (1, 1), True),
    ((1, 2, 7, 5), (4, 2), (3, 4), (2, 0), True),
    ((3, 2, 1, 1), (3, 3), (1, 1), (1, 1), False),
    ((0, 2, 6, 6), (2, 2), (2, 2), (0, 0), False),
]
DIVISORS = [(True, None), (False, None), (True, 5), (False, 3)]

ADAPTIVE_CASES = [
    ((2, 3, 7, 5), (1, 1)),
    ((2, 3, 7, 5), (3, 2)),
    ((1, 2, 4, 4), (4, 4)),
    ((1, 2, 2, 3), (5, 4)),
    ((0, 2, 4, 4), (1, 1)),
    ((1, 1, 1, 1), (1, 1)),
]


@pytest.fixture(params=[1, average_pooling.PIECE_BYTES], ids=["image-by-image", "default-pieces"], autouse=True)
def piece_bytes(request, monkeypatch):
    monkeypatch.setattr(average_pooling, "PIECE_BYTES", request.param)


def naive_avg_pool(x, kernel, stride, padding, count_include_pad, divisor_override, output_size):
    n, channels, height, width = x.shape
    out = np.zeros((n, channels, *output_size))
    for oh, ow in np.ndindex(*output_size):
        top, left = oh * stride[0] - padding[0], ow * stride[1] - padding[1]
        bottom, right = min(top + kernel[0], height + padding[0]), min(left + kernel[1], width + padding[1])
        padded_count = (bottom - top) * (right - left)
        window = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        count = padded_count if count_include_pad else window.shape[2] * window.shape[3]
        out[:, :, oh, ow] = window.sum(axis=(2, 3)) / (divisor_override or count)
    return out


@pytest.mark.parametrize(("count_include_pad", "divisor_override"), DIVISORS)
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "ceil_mode"), AVERAGE_CASES)
def test_avg_pool_matches_the_definition_and_its_gradient_is_adjoint(
    input_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    x = random_array(input_shape, 1)
    out = avg_pool2d(x, *options)
    expected = naive_avg_pool(x, kernel, stride, padding, count_include_pad, divisor_override, out.shape[2:])
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)
    grad = random_array(out.shape, 2)
    gradient = avg_pool2d_input_gradient(grad, input_shape, *options)
    assert gradient.shape == input_shape
    assert np.vdot(out, grad) == pytest.approx(np.vdot(x, gradient), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("input_shape", "output_size"), ADAPTIVE_CASES)
def test_adaptive_avg_pool_averages_regions_and_its_gradient_is_adjoint(input_shape, output_size):
    x = random_array(input_shape, 1)
    out = adaptive_avg_pool2d(x, output_size)
    assert out.shape == (*input_shape[:2], *output_size)
    for oh, ow in np.ndindex(*output_size):
        rows = slice(
            int(np.floor(oh * input_shape[2] / output_size[0])),
            int(np.ceil((oh + 1) * input_shape[2] / output_size[0])),
        )
        columns = slice(
            int(np.floor(ow * input_shape[3] / output_size[1])),
            int(np.ceil((ow + 1) * input_shape[3] / output_size[1])),
        )
        np.testing.assert_allclose(out[:, :, oh, ow], x[:, :, rows, columns].mean(axis=(2, 3)), rtol=1e-13)
    grad = random_array(out.shape, 2)
    gradient = adaptive_avg_pool2d_input_gradient(grad, input_shape)
    assert gradient.shape == input_shape
    assert np.vdot(out, grad) == pytest.approx(np.vdot(x, gradient), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count):
    options = ((3, 2), (2, 1), (1, 1), True, False, None)
    before = get_num_threads()
    x = random_array((9, 5, 7, 6), 1, np.float32)
    out = avg_pool2d(x, *options)
    gradient = avg_pool2d_input_gradient(out, x.shape, *options)
    try:
        set_num_threads(count)
        np.testing.assert_array_equal(avg_pool2d(x, *options), out)
        np.testing.assert_array_equal(avg_pool2d_input_gradient(out, x.shape, *options), gradient)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_strides_give_the_same_numbers_in_the_inputs_dtype(memory, dtype):
    shape = (2, 3, 6, 5)
    options = ((3, 2), (2, 1), (1, 1), True, False, None)
    x = random_array(shape, 1, dtype, memory)
    out = avg_pool2d(x, *options)
    grad, small_grad = random_array(out.shape, 2, dtype, memory), random_array((2, 3, 2, 3), 3, dtype, memory)
    pairs = [
        (out, avg_pool2d(np.ascontiguousarray(x), *options)),
        (
            avg_pool2d_input_gradient(grad, shape, *options),
            avg_pool2d_input_gradient(np.ascontiguousarray(grad), shape, *options),
        ),
        (adaptive_avg_pool2d(x, (2, 3)), adaptive_avg_pool2d(np.ascontiguousarray(x), (2, 3))),
        (
            adaptive_avg_pool2d_input_gradient(small_grad, shape),
            adaptive_avg_pool2d_input_gradient(np.ascontiguousarray(small_grad), shape),
        ),
    ]
    for actual, expected in pairs:
        assert actual.dtype == dtype
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)


def test_impossible_poolings_are_refused():
    x = np.zeros((1, 1, 2, 2))
    with pytest.raises(RuntimeError, match="doesn't fit an input of 2"):
        avg_pool2d(x, (3, 3), (1, 1), (0, 0), False, True, None)
    with pytest.raises(RuntimeError, match="divisor_override is 0"):
        avg_pool2d(x, (2, 2), (1, 1), (0, 0), False, True, 0)
    with pytest.raises(RuntimeError, match="needs pixels"):
        adaptive_avg_pool2d(np.zeros((1, 1, 0, 2)), (1, 1))


@pytest.mark.parity
@pytest.mark.parametrize(("count_include_pad", "divisor_override"), DIVISORS)
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "ceil_mode"), AVERAGE_CASES)
def test_avg_pool_agrees_with_pytorch(
    input_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    torch = pytest.importorskip("torch")
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    x = torch.tensor(random_array(input_shape, 1), requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(x, *options)
    grad = random_array(tuple(expected.shape), 2)
    expected.backward(torch.from_numpy(grad))
    out = avg_pool2d(x.detach().numpy(), *options)
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    gradient = avg_pool2d_input_gradient(grad, input_shape, *options)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parity
@pytest.mark.parametrize(("input_shape", "output_size"), ADAPTIVE_CASES)
def test_adaptive_avg_pool_agrees_with_pytorch(input_shape, output_size):
    torch = pytest.importorskip("torch")
    x = torch.tensor(random_array(input_shape, 1), requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, output_size)
    grad = random_array(tuple(expected.shape), 2)
    expected.backward(torch.from_numpy(grad))
    out = adaptive_avg_pool2d(x.detach().numpy(), output_size)
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    gradient = adaptive_avg_pool2d_input_gradient(grad, input_shape)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-13, atol=1e-14)
