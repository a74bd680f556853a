"""Max pooling against naive loops, its gradient as adjoint, and PyTorch's ties, NaNs and edge windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import max_pooling
from gradcli.kernels.max_pooling import (
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_indices,
    max_pool2d_input_gradient,
    max_pool2d_values,
)
from gradcli.kernels.threads import get_num_threads, set_num_threads
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
    ((1, 2, 9, 4), (2, 1), (5, 1), (0, 0), (3, 1), False),  # rows between windows are never read
    ((1, 2, 18, 17), (17, 16), (1, 1), (8, 8), (1, 1), False),  # positions need more than a byte
]


@pytest.fixture(params=[1, max_pooling.PIECE_BYTES], ids=["row-by-row", "default-pieces"], autouse=True)
def piece_bytes(request, monkeypatch):
    monkeypatch.setattr(max_pooling, "PIECE_BYTES", request.param)


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
    np.testing.assert_array_equal(max_pool2d_values(x, kernel, stride, padding, dilation, ceil_mode), expected)
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


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_integers_pool_down_to_their_lowest(dtype):
    lowest = np.iinfo(dtype).min
    x = np.full((1, 2, 3, 3), lowest, dtype)
    x[0, 1, 1, 1] = lowest + 1
    out, positions = max_pool2d(x, (2, 2), (1, 1), (1, 1), (1, 1), False)
    assert out.dtype == dtype
    expected, _ = naive_max_pool(x.astype(np.float64), (2, 2), (1, 1), (1, 1), (1, 1), (4, 4))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(positions[0, 0], [[3, 2, 2, 2], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count):
    geometry = ((3, 3), (2, 2), (1, 1), (1, 1))
    before = get_num_threads()
    x = random_array((9, 5, 17, 16), 1, np.float32).round(1)
    x[4, 2, 5, 5] = np.nan
    out, positions = max_pool2d(x, *geometry, False)
    grad = random_array(out.shape, 2, np.float32)
    gradient = max_pool2d_input_gradient(grad, positions, x.shape, *geometry)
    try:
        set_num_threads(count)
        again, positions_again = max_pool2d(x, *geometry, False)
        np.testing.assert_array_equal(again, out)
        np.testing.assert_array_equal(positions_again, positions)
        np.testing.assert_array_equal(max_pool2d_values(x, *geometry, False), out)
        np.testing.assert_array_equal(max_pool2d_input_gradient(grad, positions, x.shape, *geometry), gradient)
        np.testing.assert_array_equal(max_pool2d_gather(x, positions, *geometry), out)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_strides_give_the_same_numbers_in_the_inputs_dtype(memory, dtype):
    shape = (2, 3, 6, 5)
    geometry = ((3, 2), (2, 1), (1, 1), (1, 1))
    x = random_array(shape, 1, dtype, memory)
    dense = np.ascontiguousarray(x)
    out, positions = max_pool2d(x, *geometry, False)
    dense_out, dense_positions = max_pool2d(dense, *geometry, False)
    planar_positions = np.ascontiguousarray(positions)
    grad = random_array(out.shape, 2, dtype, memory)
    dense_grad = np.ascontiguousarray(grad)
    pairs = [
        (out, dense_out),
        (max_pool2d_values(x, *geometry, False), dense_out),
        (
            max_pool2d_input_gradient(grad, planar_positions, shape, *geometry),
            max_pool2d_input_gradient(dense_grad, dense_positions, shape, *geometry),
        ),
        (
            max_pool2d_gather(x, planar_positions, *geometry),
            max_pool2d_gather(dense, dense_positions, *geometry),
        ),
    ]
    assert positions.dtype == np.uint8
    for actual, expected in pairs:
        assert actual.dtype == dtype
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("pool", [max_pool2d, max_pool2d_values])
def test_impossible_poolings_are_refused(pool):
    with pytest.raises(RuntimeError, match="padding is 2"):
        pool(np.zeros((1, 1, 2, 2)), (3, 3), (1, 1), (2, 2), (1, 1), False)
    with pytest.raises(RuntimeError, match="doesn't fit an input of 2"):
        pool(np.zeros((1, 1, 2, 2)), (3, 3), (1, 1), (0, 0), (1, 1), False)
    with pytest.raises(RuntimeError, match="read nothing but padding"):
        pool(np.zeros((1, 1, 1, 9)), (2, 2), (1, 1), (2, 0), (3, 1), False)


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
