"""Pooling against naive loops, its gradients as adjoints, and PyTorch's ties, NaNs and edge windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import pooling
from gradcli.kernels.pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_input_gradient,
    avg_pool2d,
    avg_pool2d_input_gradient,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_indices,
    max_pool2d_input_gradient,
)
from tests.kernels.references import MEMORY_LAYOUTS, random_array, windows_of

#         input shape, kernel, stride, padding, dilation, ceil_mode
MAX_CASES = [
    ((2, 3, 8, 7), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((2, 3, 8, 7), (3, 3), (2, 2), (1, 1), (1, 1), True),
    ((1, 2, 5, 5), (2, 2), (2, 2), (0, 0), (1, 1), True),
    ((2, 1, 9, 8), (3, 2), (1, 2), (0, 1), (2, 3), False),
    ((1, 2, 6, 7), (2, 3), (3, 1), (1, 0), (1, 1), True),
    ((3, 2, 1, 1), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), False),
    ((0, 2, 6, 6), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((1, 2, 18, 17), (17, 16), (1, 1), (8, 8), (1, 1), False),  # positions need more than a byte
]

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


@pytest.fixture(params=[1, pooling.CHUNK_ELEMENTS], ids=["image-by-image", "default-chunks"], autouse=True)
def chunk_elements(request, monkeypatch):
    monkeypatch.setattr(pooling, "CHUNK_ELEMENTS", request.param)


def naive_max_pool(x, kernel, stride, padding, dilation, output_size):
    """Values and flat indices by the definition: the first of equal values, the last NaN."""
    n, channels, height, width = x.shape
    values = np.full((n, channels, *output_size), -np.inf)
    indices = np.zeros(values.shape, np.int64)
    row_windows = windows_of(height, output_size[0], kernel[0], stride[0], padding[0], dilation[0])
    column_windows = windows_of(width, output_size[1], kernel[1], stride[1], padding[1], dilation[1])
    for image, channel, oh, ow in np.ndindex(*values.shape):
        pixels = list(itertools.product(row_windows[oh], column_windows[ow]))
        best, winner = -np.inf, pixels[0]
        for pixel in pixels:
            value = x[image, channel][pixel]
            if value > best or np.isnan(value):
                best, winner = value, pixel
        values[image, channel, oh, ow] = best
        indices[image, channel, oh, ow] = winner[0] * width + winner[1]
    return values, indices


def with_ties_and_specials(shape, seed):
    """Few distinct values, with infinities and NaNs among them."""
    generator = np.random.RandomState(seed)
    x = generator.randint(-2, 3, shape).astype(np.float64)
    x[generator.random_sample(shape) < 0.3] = -np.inf
    x[generator.random_sample(shape) < 0.05] = np.inf
    x[generator.random_sample(shape) < 0.1] = np.nan
    return x


@pytest.mark.parametrize("make", [random_array, with_ties_and_specials], ids=["distinct", "ties-inf-nan"])
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
def test_max_pool_finds_the_winner_of_each_window(make, input_shape, kernel, stride, padding, dilation, ceil_mode):
    x = make(input_shape, 1)
    out, positions = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    indices = max_pool2d_indices(positions, input_shape[3], kernel, stride, padding, dilation)
    expected, expected_indices = naive_max_pool(x, kernel, stride, padding, dilation, out.shape[2:])
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(indices, expected_indices)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(max_pool2d_gather(x, positions, kernel, stride, padding, dilation), expected)


@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
def test_max_pool_gradient_adds_each_entry_to_its_winner(input_shape, kernel, stride, padding, dilation, ceil_mode):
    geometry = (kernel, stride, padding, dilation)
    x = random_array(input_shape, 1).round()  # rounding makes ties
    out, positions = max_pool2d(x, *geometry, ceil_mode)
    indices = max_pool2d_indices(positions, input_shape[3], *geometry)
    grad = random_array(out.shape, 2)
    expected = np.zeros(input_shape)
    for image, channel, oh, ow in np.ndindex(*out.shape):
        row, column = divmod(indices[image, channel, oh, ow], input_shape[3])
        expected[image, channel, row, column] += grad[image, channel, oh, ow]
    actual = max_pool2d_input_gradient(grad, positions, input_shape, *geometry)
    np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-14)

    other = random_array(input_shape, 3)
    gathered = max_pool2d_gather(other, positions, *geometry)
    assert np.vdot(gathered, grad) == pytest.approx(np.vdot(other, actual), rel=1e-12, abs=1e-12)


def test_max_pool_on_a_constant_image_sends_the_gradient_to_the_first_pixel_of_each_window():
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    _, positions = max_pool2d(np.full((1, 1, 4, 4), 7.0), *geometry, False)
    gradient = max_pool2d_input_gradient(np.ones((1, 1, 2, 2)), positions, (1, 1, 4, 4), *geometry)
    expected = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(gradient[0, 0], expected)


def test_max_pool_gradient_keeps_infinities_out_of_the_losers():
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    _, positions = max_pool2d(np.array([[[[1.0, 2.0], [3.0, 0.0]]]]), *geometry, False)
    gradient = max_pool2d_input_gradient(np.full((1, 1, 1, 1), np.inf), positions, (1, 1, 2, 2), *geometry)
    np.testing.assert_array_equal(gradient[0, 0], [[0, 0], [np.inf, 0]])


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


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_strides_give_the_same_numbers_in_the_inputs_dtype(memory, dtype):
    shape = (2, 3, 6, 5)
    geometry = ((3, 2), (2, 1), (1, 1), (1, 1))
    average = (*geometry[:3], True, False, None)
    x = random_array(shape, 1, dtype, memory)
    dense = np.ascontiguousarray(x)
    out, positions = max_pool2d(x, *geometry, False)
    dense_out, dense_positions = max_pool2d(dense, *geometry, False)
    planar_positions = np.ascontiguousarray(positions)
    grad = random_array(out.shape, 2, dtype, memory)
    dense_grad = np.ascontiguousarray(grad)
    average_grad = random_array(avg_pool2d(x, *average).shape, 3, dtype, memory)
    pairs = [
        (out, dense_out),
        (
            max_pool2d_input_gradient(grad, planar_positions, shape, *geometry),
            max_pool2d_input_gradient(dense_grad, dense_positions, shape, *geometry),
        ),
        (
            max_pool2d_gather(x, planar_positions, *geometry),
            max_pool2d_gather(dense, dense_positions, *geometry),
        ),
        (avg_pool2d(x, *average), avg_pool2d(dense, *average)),
        (
            avg_pool2d_input_gradient(average_grad, shape, *average),
            avg_pool2d_input_gradient(np.ascontiguousarray(average_grad), shape, *average),
        ),
        (adaptive_avg_pool2d(x, (2, 3)), adaptive_avg_pool2d(dense, (2, 3))),
        (
            adaptive_avg_pool2d_input_gradient(grad, shape),
            adaptive_avg_pool2d_input_gradient(dense_grad, shape),
        ),
    ]
    assert positions.dtype == np.uint8
    for actual, expected in pairs:
        assert actual.dtype == dtype
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)


def test_impossible_poolings_are_refused():
    x = np.zeros((1, 1, 2, 2))
    with pytest.raises(RuntimeError, match="padding is 2"):
        max_pool2d(x, (3, 3), (1, 1), (2, 2), (1, 1), False)
    with pytest.raises(RuntimeError, match="doesn't fit an input of 2"):
        avg_pool2d(x, (3, 3), (1, 1), (0, 0), False, True, None)
    with pytest.raises(RuntimeError, match="read nothing but padding"):
        max_pool2d(np.zeros((1, 1, 1, 9)), (2, 2), (1, 1), (2, 0), (3, 1), False)
    with pytest.raises(RuntimeError, match="divisor_override is 0"):
        avg_pool2d(x, (2, 2), (1, 1), (0, 0), False, True, 0)
    with pytest.raises(RuntimeError, match="needs pixels"):
        adaptive_avg_pool2d(np.zeros((1, 1, 0, 2)), (1, 1))


@pytest.mark.parity
@pytest.mark.parametrize("make", [random_array, with_ties_and_specials], ids=["distinct", "ties-inf-nan"])
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_max_pool_agrees_with_pytorch(make, input_shape, kernel, stride, padding, dilation, ceil_mode, channels_last):
    torch = pytest.importorskip("torch")
    x = make(input_shape, 1)
    tensor = torch.from_numpy(x)
    if channels_last:
        tensor = tensor.to(memory_format=torch.channels_last)
    tensor.requires_grad_()
    expected, expected_indices = torch.nn.functional.max_pool2d(
        tensor, kernel, stride, padding, dilation, ceil_mode, return_indices=True
    )
    out, positions = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    np.testing.assert_array_equal(out, expected.detach().numpy())
    indices = max_pool2d_indices(positions, input_shape[3], kernel, stride, padding, dilation)
    np.testing.assert_array_equal(indices, expected_indices.numpy())
    grad = random_array(out.shape, 2)
    expected.backward(torch.from_numpy(grad))
    gradient = max_pool2d_input_gradient(grad, positions, input_shape, kernel, stride, padding, dilation)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-14, atol=1e-14)


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
