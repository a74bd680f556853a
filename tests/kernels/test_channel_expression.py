"""Sums of scaled images, rectified or masked, against the same in plain NumPy."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest

from gradcli.kernels import channel_expression
from gradcli.kernels.channel_expression import ChannelExpression, Term, UnfinishedImages
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.numpy_settings import BUFFER_ELEMENTS
from tests.kernels.references import MEMORY_LAYOUTS, random_array

SHAPE = (3, 6, 5, 4)
SHAPES = [SHAPE, (1, 1, 1, 1), (0, 3, 2, 2), (2, 64, 1, 7)]
DTYPES = [(np.float16, 2e-3), (np.float32, 1e-6), (np.float64, 1e-14)]


def nhwc(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def per_channel(vector):
    return vector[:, None, None]


@pytest.fixture(params=[7, channel_expression.BLOCK_ELEMENTS], ids=["small-blocks", "one-block"])
def _block_size(request, monkeypatch):
    monkeypatch.setattr(channel_expression, "BLOCK_ELEMENTS", request.param)
    monkeypatch.setattr(channel_expression, "SPREAD_FROM", 100 if request.param == 7 else 1 << 20)


def vectors(channels, dtype, seed):
    return random_array((channels,), seed, np.result_type(dtype, np.float32))


def scaled(x, seed):
    """An expression (x - center) * factors + constant, and its value in float64."""
    center, factors, constant = (vectors(x.shape[1], x.dtype, seed + i) for i in range(3))
    expression = ChannelExpression(x.dtype, [Term(nhwc(x), factors, center)], constant)
    value = (x.astype(np.float64) - per_channel(center)) * per_channel(factors) + per_channel(constant)
    return expression, value


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_values_of_sums_rectified_and_masked(shape, dtype, tolerance):
    close = {"rtol": tolerance, "atol": tolerance * 10}
    x, y, mask = (random_array(shape, seed, dtype) for seed in (1, 2, 3))
    mask[mask > 1] = 0
    first, first_value = scaled(x, 10)
    np.testing.assert_allclose(first.array(), first_value, **close)
    first, _ = scaled(x, 10)
    second, second_value = scaled(y, 20)
    total, total_value = (first + second).plus(y), first_value + second_value + y
    for expression, value in (
        (total, total_value),
        (total.rectified(), np.maximum(total_value, 0)),
        (total.masked(mask), np.where(mask <= 0, 0, total_value)),
        (ChannelExpression.of(x).masked(mask), np.where(mask <= 0, 0, x)),
        (ChannelExpression.of(x) + y, x.astype(np.float64) + y),
        (total.rectified() + x, np.maximum(total_value, 0) + x),
    ):
        assert expression.shape == shape
        assert expression.array().dtype == dtype
        np.testing.assert_allclose(expression.array(), value, **close)


@pytest.mark.parametrize("computed", [False, True])
def test_rows_can_be_read_without_storing_the_rest(computed):
    expression, value = scaled(random_array(SHAPE, 1, np.float32), 10)
    mask = scaled(random_array(SHAPE, 2, np.float32), 30)[0]
    expression = expression.masked(mask)
    value = np.where(scaled(random_array(SHAPE, 2, np.float32), 30)[1] <= 0, 0, value)
    if computed:
        expression.array()
    target = np.full((2, 4, 6, 6), 9.0, np.float32)[:, 1:3, 1:5]  # inside of a border
    expression.write(target, slice(1, 3), slice(2, 4))
    np.testing.assert_allclose(target, nhwc(value)[1:3, 2:4], rtol=1e-5, atol=1e-5)
    assert expression.is_computed == computed


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_masking_drops_zeros_of_both_signs_and_keeps_gradients_whole(dtype):
    mask = np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, np.finfo(dtype).tiny], dtype)
    grad = np.array([np.inf, np.nan, np.nan, np.inf, -0.0, -np.inf, 5.0, 2.0], dtype)
    masked = ChannelExpression.of(grad.reshape(1, 8, 1, 1)).masked(mask.reshape(1, 8, 1, 1)).array().reshape(-1)
    np.testing.assert_array_equal(masked, np.where(mask <= 0, dtype(0), grad))
    assert np.signbit(masked[4])


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
def test_arrays_of_any_strides_can_be_added(layout):
    expression, value = scaled(random_array(SHAPE, 1), 10)
    other = random_array(SHAPE, 2, np.float64, layout)
    np.testing.assert_allclose((expression + other).array(), value + other, rtol=1e-13)
    np.testing.assert_allclose(other + scaled(random_array(SHAPE, 1), 10)[0].array(), value + other, rtol=1e-13)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_task_sees_every_pixel_once_whether_it_is_computed_now_or_was_before(threads, monkeypatch):
    monkeypatch.setattr(channel_expression, "BLOCK_ELEMENTS", 50)
    monkeypatch.setattr(channel_expression, "SPREAD_FROM", 0)
    before = get_num_threads()
    set_num_threads(threads)
    try:
        expression, value = scaled(random_array(SHAPE, 1), 10)
        for _ in range(2):
            pieces = {}
            rows = expression.compute(lambda first, piece, pieces=pieces: pieces.__setitem__(first, piece.copy()))
            np.testing.assert_array_equal(np.concatenate([pieces[first] for first in sorted(pieces)]), rows)
            np.testing.assert_allclose(rows, nhwc(value).reshape(-1, SHAPE[1]), rtol=1e-12)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("fails", [False, True])
def test_numpys_buffers_are_as_large_afterwards_as_before(fails, monkeypatch):
    monkeypatch.setattr(channel_expression, "SPREAD_FROM", 1)
    during = []

    def task(first, rows):
        during.append(np.getbufsize())
        if fails:
            raise ValueError(first)

    before = np.setbufsize(4096)
    try:
        with pytest.raises(ValueError, match="0") if fails else contextlib.nullcontext():
            scaled(random_array(SHAPE, 1), 10)[0].compute(task)
        assert (during, np.getbufsize()) == ([BUFFER_ELEMENTS], 4096)
    finally:
        np.setbufsize(before)


class Unfinished(UnfinishedImages):
    """An array that becomes known later, piece by piece between `cuts`."""

    def __init__(self, value, cuts=(0, 60)):
        super().__init__(value.shape, value.dtype)
        self.value = value
        self.cuts = cuts

    def finished_by(self, task):
        images = nhwc(self.value)
        rows = images.reshape(-1, images.shape[3])
        for first, last in reversed(list(itertools.pairwise(self.cuts))):
            task(first, rows[first:last])
        return images

    def _compute(self):
        return self.value


@pytest.mark.parametrize("cuts", [[0, 5, 10, 60], [0, 1, 7, 8, 60], [0, 60]], ids=["lines", "anywhere", "at-once"])
@pytest.mark.parametrize("spread_from", [1, 1000], ids=["repeated-vectors", "vectors"])
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_what_is_being_computed_can_be_finished_in_place(cuts, spread_from, position, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(channel_expression, "SPREAD_FROM", spread_from)
    x, y, z, mask = (random_array((3, 6, 4, 5), seed, dtype) for seed in (1, 2, 3, 4))
    (center, factors, constant) = (vectors(6, dtype, seed) for seed in (5, 6, 7))
    pending = Unfinished(z, cuts)
    terms = [Term(nhwc(x), factors, center), Term(nhwc(y))]
    terms.insert(position, Term(pending, factors, center))

    def value():
        return ChannelExpression(x.dtype, terms, constant, mask=ChannelExpression.of(mask))

    finished = value()
    assert finished.shape == z.shape
    finished.array()
    assert not pending.is_computed
    pending.array()
    np.testing.assert_allclose(finished.array(), value().array(), rtol=tolerance, atol=tolerance * 10)


def test_of_several_pending_terms_the_first_is_finished_and_the_others_are_stored():
    values = [random_array(SHAPE, seed, np.float32) for seed in (1, 2)]
    first, second = (Unfinished(value) for value in values)
    total = ChannelExpression(np.dtype(np.float32), [Term(first), Term(second)])
    np.testing.assert_allclose(total.array(), values[0] + values[1], rtol=1e-6)
    assert (first.is_computed, second.is_computed) == (False, True)


def test_reading_rows_finishes_what_is_pending_first():
    value = random_array(SHAPE, 1, np.float32)
    expression = ChannelExpression(np.dtype(np.float32), [Term(Unfinished(value))]).rectified()
    rows = np.empty((1, 2, 4, 6), np.float32)
    expression.write(rows, slice(1, 2), slice(1, 3))
    np.testing.assert_array_equal(rows, np.maximum(nhwc(value)[1:2, 1:3], 0))


def test_a_mask_may_have_a_mask_itself():
    (first, value), (second, second_value), (third, third_value) = (
        scaled(random_array(SHAPE, seed), 10 * seed) for seed in (1, 2, 3)
    )
    expected = np.where(np.where(third_value <= 0, 0, second_value) <= 0, 0, value)
    np.testing.assert_allclose(first.masked(second.masked(third)).array(), expected, rtol=1e-13)


def test_float16_is_masked_by_what_is_not_computed_yet():
    x, y = random_array(SHAPE, 1, np.float16), random_array(SHAPE, 2, np.float16)
    mask, mask_value = scaled(y, 10)
    expression, value = scaled(x, 20)
    masked = expression.masked(mask).array()
    np.testing.assert_allclose(masked, np.where(mask_value.astype(np.float16) <= 0, 0, value), rtol=2e-3, atol=2e-2)
