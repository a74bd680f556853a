"""Max pooling against naive loops: ties, NaNs and edge windows as in PyTorch, stored or while it is computed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import max_pooling
from gradcli.kernels.channel_expression import ChannelExpression, Term
from gradcli.kernels.max_pooling import max_pool2d, max_pool2d_indices, max_pool2d_values
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
    out, (positions, *_) = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    indices = max_pool2d_indices(positions, input_shape[3], kernel, stride, padding, dilation)
    expected, expected_indices = naive_max_pool(x, kernel, stride, padding, dilation, out.shape[2:])
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(max_pool2d_values(x, kernel, stride, padding, dilation, ceil_mode), expected)
    np.testing.assert_array_equal(indices, expected_indices)
    assert indices.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
def test_an_expression_is_pooled_while_it_is_computed(dtype, input_shape, kernel, stride, padding, dilation, ceil_mode):
    geometry = (kernel, stride, padding, dilation, ceil_mode)
    images = with_ties_and_specials(input_shape, 1).transpose(0, 2, 3, 1).copy().astype(dtype)
    factors, center = (random_array(input_shape[1:2], seed, np.result_type(dtype, np.float32)) for seed in (2, 3))

    def expression():
        return ChannelExpression(np.dtype(dtype), [Term(images, factors, center)], center, rectified=True)

    expected, expected_winners = max_pool2d(expression().array(), *geometry)
    assert expected_winners.source is None
    source = expression()
    out, winners = max_pool2d(source, *geometry)
    values = max_pool2d_values(source, *geometry)
    assert not source.is_computed
    assert winners.source is source
    assert out.dtype == values.dtype == dtype
    for actual in (out, winners.values, values):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(winners.positions, expected_winners.positions)
    source.array()
    again, winners = max_pool2d(source, *geometry)
    np.testing.assert_array_equal(again, expected)
    assert winners.source is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_integers_pool_down_to_their_lowest(dtype):
    lowest = np.iinfo(dtype).min
    x = np.full((1, 2, 3, 3), lowest, dtype)
    x[0, 1, 1, 1] = lowest + 1
    out, (positions, *_) = max_pool2d(x, (2, 2), (1, 1), (1, 1), (1, 1), False)
    assert out.dtype == dtype
    expected, _ = naive_max_pool(x.astype(np.float64), (2, 2), (1, 1), (1, 1), (1, 1), (4, 4))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(positions[0, 0], [[3, 2, 2, 2], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("computed", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count, computed):
    geometry = ((3, 3), (2, 2), (1, 1), (1, 1), False)
    before = get_num_threads()
    x = random_array((9, 5, 17, 16), 1, np.float32).round(1)
    x[4, 2, 5, 5] = np.nan
    images = x.transpose(0, 2, 3, 1).copy()
    out, (positions, *_) = max_pool2d(x, *geometry)
    pooled = ChannelExpression.stored(images) if computed else ChannelExpression(x.dtype, [Term(images)])
    try:
        set_num_threads(count)
        again, (positions_again, *_) = max_pool2d(pooled, *geometry)
        np.testing.assert_array_equal(again, out)
        np.testing.assert_array_equal(positions_again, positions)
        np.testing.assert_array_equal(max_pool2d_values(pooled, *geometry), out)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_strides_give_the_same_numbers_in_the_inputs_dtype(memory, dtype):
    geometry = ((3, 2), (2, 1), (1, 1), (1, 1), False)
    x = random_array((2, 3, 6, 5), 1, dtype, memory)
    out, (positions, *_) = max_pool2d(x, *geometry)
    expected, (expected_positions, *_) = max_pool2d(np.ascontiguousarray(x), *geometry)
    assert positions.dtype == np.uint8
    np.testing.assert_array_equal(positions, expected_positions)
    for actual in (out, max_pool2d_values(x, *geometry)):
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
    expected, expected_indices = torch.nn.functional.max_pool2d(
        tensor, kernel, stride, padding, dilation, ceil_mode, return_indices=True
    )
    out, (positions, *_) = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    np.testing.assert_array_equal(out, expected.numpy())
    indices = max_pool2d_indices(positions, input_shape[3], kernel, stride, padding, dilation)
    np.testing.assert_array_equal(indices, expected_indices.numpy())
