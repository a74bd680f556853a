"""Batch normalisation against float64 formulas, and its float32 error against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.deferred import settled
from gradcli.kernels import channel_expression, normalization
from gradcli.kernels.normalization import ChannelMoments, channel_moments
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import MEMORY_LAYOUTS, random_array

SHAPES = [(2, 3, 4, 5), (1, 4, 1, 1), (1, 5, 3, 3), (4, 1, 7, 6), (3, 70, 33, 35)]
EPS = 1e-5


def batch_norm(*arguments):
    return normalization.batch_norm(*arguments).array()


def batch_norm_gradients(*arguments, **options):
    return tuple(settled(gradient) for gradient in normalization.batch_norm_gradients(*arguments, **options))


def reference_statistics(x):
    """Mean and sqrt(variance + eps) per channel in float64."""
    x = x.astype(np.float64)
    return x.mean(axis=(0, 2, 3)), np.sqrt(x.var(axis=(0, 2, 3)) + EPS)


def per_channel(vector):
    return vector[:, None, None]


def reference_gradients(grad, x, mean, deviation, weight, training):
    """The three gradients in float64, by the textbook formulas."""
    grad, x = grad.astype(np.float64), x.astype(np.float64)
    normalised = (x - per_channel(mean)) / per_channel(deviation)
    grad_weight = (grad * normalised).sum(axis=(0, 2, 3))
    grad_bias = grad.sum(axis=(0, 2, 3))
    inner = grad
    if training:
        count = x.size // x.shape[1]
        inner = grad - per_channel(grad_bias / count) - normalised * per_channel(grad_weight / count)
    return inner * per_channel(weight / deviation), grad_weight, grad_bias


@pytest.fixture(autouse=True)
def _as_within_operations():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-13)])
def test_channel_moments(shape, memory, dtype, tolerance):
    x = random_array(shape, 1, dtype, memory)
    mean, variance = channel_moments(x)
    assert mean.dtype == variance.dtype == np.float64
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(variance, exact.var(axis=(0, 2, 3)), rtol=tolerance, atol=tolerance**2)


def test_channel_moments_survive_a_mean_far_from_zero():
    x = (random_array((8, 3, 30, 30), 1) * 1e-2 + 100.0).astype(np.float32)
    mean, variance = channel_moments(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(variance, exact.var(axis=(0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 1, 2), (4, 3, 5, 5), (16, 32, 40, 40)])
@pytest.mark.parametrize("value", [123.456, 1e6 + 0.5, -1e-3])
def test_the_moments_of_a_constant_are_itself_and_zero(shape, value):
    mean, variance = channel_moments(np.full(shape, value, np.float32))
    np.testing.assert_allclose(mean, np.float32(value), rtol=1e-15)
    np.testing.assert_allclose(variance, 0, atol=1e-30 * value**2)


@pytest.mark.parametrize("pixel", [0, 7, 99])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_the_moments_of_values_that_are_not_finite(pixel, value):
    x = random_array((4, 3, 5, 5), 1, np.float32, "channels-last")
    x.transpose(0, 2, 3, 1).reshape(100, 3)[pixel, 1] = value  # (N, C, H, W) -> (N * H * W, C)
    mean, variance = channel_moments(x)
    assert mean[1] == value or np.isnan(value)
    assert np.isnan(variance[1])
    assert np.isfinite([mean[[0, 2]], variance[[0, 2]]]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_channel_moments_of_blocks_in_any_order(dtype):
    rows = (random_array((60, 5, 1, 1), 1).reshape(60, 5) * 0.1 + np.arange(5)).astype(dtype)
    rows[20:] += dtype(3)
    exact = rows.astype(np.float64)
    moments = ChannelMoments(5)
    for first, last in ((33, 60), (0, 1), (20, 33), (1, 20)):
        moments.add(first, rows[first:last])
    mean, variance = moments.result()
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=3e-7, atol=1e-7)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("block", [64, 1 << 18])
def test_neither_moments_nor_gradients_depend_on_the_number_of_threads(block, monkeypatch):
    monkeypatch.setattr(normalization, "BLOCK_ELEMENTS", block)
    monkeypatch.setattr(channel_expression, "BLOCK_ELEMENTS", block)
    monkeypatch.setattr(normalization, "SPREAD_FROM", block // 8)
    monkeypatch.setattr(channel_expression, "SPREAD_FROM", block // 8)
    x, grad = (random_array((5, 3, 8, 7), seed, np.float32, "channels-last") for seed in (1, 2))
    vector = np.array([1.0, 2.0, -3.0], np.float32)
    before = get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            mean, variance = channel_moments(x)
            results.append((mean, variance, *batch_norm_gradients(grad, x, mean, variance, vector, True)))
    finally:
        set_num_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_a_weight_of_zero_leaves_the_bias():
    x = random_array((2, 4, 5, 5), 1, np.float32)
    weight, bias = np.array([0, 1, 1e-45, -0.0], np.float32), np.array([3, 4, 5, 0], np.float32)
    out = batch_norm(x, *reference_statistics(x), weight, bias)
    for channel in (0, 2, 3):
        np.testing.assert_array_equal(out[:, channel], bias[channel])
    assert out[:, 1].mean() == pytest.approx(4)


def test_a_bias_beyond_what_float32_squares_hold_is_kept():
    x = random_array((2, 3, 5, 5), 1, np.float32)
    weight, bias = np.array([1, 1e-20, 2], np.float32), np.array([1e25, 3, -4], np.float32)
    out = batch_norm(x, *reference_statistics(x), weight, bias)
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3), dtype=np.float64), bias, rtol=1e-6)


def test_a_gradient_of_zero_stays_zero():
    x = random_array((2, 3, 4, 4), 1, np.float32)
    grad_x, grad_weight, grad_bias = batch_norm_gradients(
        np.zeros_like(x), x, *reference_statistics(x), np.ones(3, np.float32), True
    )
    for gradient in (grad_x, grad_weight, grad_bias):
        np.testing.assert_array_equal(gradient, 0)


def test_channel_moments_of_nothing_are_nan():
    mean, variance = channel_moments(np.zeros((0, 3, 4, 4), np.float32))
    assert np.isnan(mean).all()
    assert np.isnan(variance).all()
    assert mean.shape == variance.shape == (3,)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory", ["planar", "channels-last", "strided"])
def test_batch_norm_and_its_gradients_match_the_formulas(shape, affine, training, memory):
    x, grad = random_array(shape, 1, memory=memory), random_array(shape, 2, memory=memory)
    generator = np.random.RandomState(3)
    mean, deviation = reference_statistics(x)
    if not training:
        mean, deviation = mean + 0.3, deviation * 1.5
    weight, bias = generator.standard_normal((2, shape[1]))
    out = batch_norm(x, mean, deviation, weight if affine else None, bias if affine else None)
    scale, shift = (weight, bias) if affine else (np.ones(shape[1]), np.zeros(shape[1]))
    expected = (x - per_channel(mean)) * per_channel(scale / deviation) + per_channel(shift)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    actual = batch_norm_gradients(grad, x, mean, deviation, weight if affine else None, training)
    expected_gradients = reference_gradients(grad, x, mean, deviation, scale, training)
    for gradient, reference in zip(actual, expected_gradients, strict=True):
        assert gradient is not None
        np.testing.assert_allclose(gradient, reference, rtol=1e-9, atol=1e-9)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    assert actual[0].transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("needs", [(i, w, b) for i in (0, 1) for w in (0, 1) for b in (0, 1)])
def test_only_the_gradients_asked_for_are_made(training, needs):
    x, grad = random_array((2, 3, 4, 4), 1), random_array((2, 3, 4, 4), 2)
    mean, deviation = reference_statistics(x)
    weight = np.array([0.5, -1.0, 2.0])
    everything = batch_norm_gradients(grad, x, mean, deviation, weight, training)
    some = batch_norm_gradients(grad, x, mean, deviation, weight, training, tuple(map(bool, needs)))
    for need, full, partial in zip(needs, everything, some, strict=True):
        if need:
            np.testing.assert_array_equal(partial, full)
        else:
            assert partial is None


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_has_empty_and_zero_gradients(training):
    x = np.zeros((0, 3, 4, 4), np.float32)
    vector = np.ones(3, np.float32)
    assert batch_norm(x, vector, vector, vector, vector).shape == x.shape
    grad_x, grad_weight, grad_bias = batch_norm_gradients(x, x, vector, vector, vector, training)
    assert grad_x.shape == x.shape
    np.testing.assert_array_equal(grad_weight, np.zeros(3, np.float32))
    np.testing.assert_array_equal(grad_bias, np.zeros(3, np.float32))


def test_the_training_gradient_agrees_with_finite_differences():
    x, grad = random_array((2, 2, 3, 3), 1), random_array((2, 2, 3, 3), 2)
    direction = random_array(x.shape, 3)
    weight, bias = np.array([1.5, -0.5]), np.array([0.1, 0.2])

    def loss(values):
        return np.vdot(batch_norm(values, *reference_statistics(values), weight, bias), grad)

    gradient, _, _ = batch_norm_gradients(grad, x, *reference_statistics(x), weight, True)
    step = 1e-6
    difference = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert np.vdot(gradient, direction) == pytest.approx(difference, rel=1e-7)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(4, 64, 32, 32), (8, 16, 56, 57), (32, 128, 4, 4), (2, 512, 2, 2)])
@pytest.mark.parametrize(("spread", "offset"), [(1.0, 0.0), (2.0, 3.0), (1.0, 30.0)])
def test_float32_error_is_about_pytorchs_or_less(shape, spread, offset):
    torch = pytest.importorskip("torch")
    x = (random_array(shape, 1) * spread + offset).astype(np.float32)
    grad = random_array(shape, 2, np.float32)
    weight = (random_array(shape[1:2], 3) + 2).astype(np.float32)
    bias = random_array(shape[1:2], 4, np.float32)

    def pytorch(dtype):
        leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in (x, weight, bias)]
        out = torch.nn.functional.batch_norm(leaves[0], None, None, *leaves[1:], training=True, eps=EPS)
        out.backward(torch.tensor(grad, dtype=dtype))
        return [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    mean, variance = channel_moments(x)
    deviation = np.sqrt(variance + EPS)
    ours = [
        batch_norm(x, mean, deviation, weight, bias),
        *batch_norm_gradients(grad, x, mean, deviation, weight, True),
    ]
    for actual, theirs, exact in zip(ours, pytorch(torch.float32), pytorch(torch.float64), strict=True):
        error = np.linalg.norm(actual - exact) / np.linalg.norm(exact)
        pytorch_error = np.linalg.norm(theirs - exact) / np.linalg.norm(exact)
        assert error <= 1.5 * pytorch_error
