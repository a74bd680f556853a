"""Convolution, batch norm and what follows in one call: the values of the separate operations, bit for bit if exact."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.deferred import puts_off, settled
from gradcli.kernels.policy import using_kernels
from gradcli.ops.activation import relu
from gradcli.ops.convolution import conv2d
from gradcli.ops.inference import (
    PoolingWindows,
    RunningBatchNorm,
    conv2d_batch_norm,
    conv2d_batch_norm_max_pool2d,
)
from gradcli.ops.max_pooling import max_pool2d
from gradcli.ops.normalization import batch_norm

# Input and weight; stride, padding, dilation, groups: as in ResNet-18, and odd ones.
CONVOLUTIONS = [
    ((2, 3, 32, 32), (8, 3, 7, 7), ((2, 2), (3, 3), (1, 1), 1)),
    ((8, 64, 4, 4), (64, 64, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((4, 16, 16, 16), (16, 16, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((1, 64, 8, 8), (128, 64, 1, 1), ((2, 2), (0, 0), (1, 1), 1)),
    ((1, 64, 4, 4), (72, 64, 3, 3), ((2, 2), (1, 1), (1, 1), 1)),
    ((3, 6, 9, 7), (4, 3, 3, 2), ((1, 2), (0, 2), (2, 1), 2)),
]


def draw(dtype, input_shape, weight_shape):
    """Input, weight, and a batch norm one of whose channels has no slope and one a mean far from its values."""
    generator = np.random.default_rng(0)
    input = generator.standard_normal(input_shape).astype(dtype)
    weight = generator.standard_normal(weight_shape).astype(dtype)
    channels = weight_shape[0]
    mean, bias, scale = (generator.standard_normal(channels).astype(dtype) for _ in range(3))
    variance = generator.uniform(0.1, 2, channels).astype(dtype)
    scale[0], mean[1] = 0, 1000
    return input, weight, RunningBatchNorm(mean, variance, scale, bias, 1e-3)


def separately(input, weight, options, norm, shortcut, rectify):
    """The operations one by one, without anything put off."""
    convolved = conv2d(Tensor(input), Tensor(weight), None, *options)
    out = batch_norm(convolved, norm.mean, norm.variance, norm.weight, norm.bias, False, 0.1, norm.eps)
    if shortcut is not None:
        out = out + Tensor(shortcut)
    return relu(out).array if rectify else out.array


@puts_off
def in_one_call(input, weight, options, norm, shortcut, rectify):
    return settled(conv2d_batch_norm(input, weight, *options, norm, shortcut, rectify))


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("with_shortcut", "rectify"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("input_shape", "weight_shape", "options"), CONVOLUTIONS)
def test_values_are_those_of_the_separate_operations(
    input_shape, weight_shape, options, with_shortcut, rectify, dtype, kernels
):
    input, weight, norm = draw(dtype, input_shape, weight_shape)
    before = [array.copy() for array in (input, weight, *norm[:4])]
    with using_kernels(kernels):
        shortcut = None
        if with_shortcut:
            shape = separately(input, weight, options, norm, None, False).shape
            shortcut = np.random.default_rng(1).standard_normal(shape).astype(dtype)
        expected = separately(input, weight, options, norm, shortcut, rectify)
        found = in_one_call(input, weight, options, norm, shortcut, rectify)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    for array, original in zip((input, weight, *norm[:4]), before, strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("rectify", [False, True])
def test_a_shortcut_of_another_shape_is_broadcast(rectify):
    input, weight, norm = draw(np.float32, (2, 4, 5, 5), (6, 4, 3, 3))
    options = (1, 1), (1, 1), (1, 1), 1
    shortcut = np.random.default_rng(1).standard_normal((2, 1, 5, 1)).astype(np.float32)
    found = in_one_call(input, weight, options, norm, shortcut, rectify)
    np.testing.assert_array_equal(found, separately(input, weight, options, norm, shortcut, rectify))


@pytest.mark.parametrize(
    ("input_shape", "input_dtype", "shortcut_shape"),
    [
        ((2, 3, 5, 5), np.float32, None),  # other channels
        ((2, 4, 5, 5), np.float64, None),  # another type than the weight
        ((2, 4, 1, 1), np.float32, None),  # smaller than the window
        ((2, 4, 5, 5), np.float32, (2, 6, 5, 5)),  # a shortcut of another size
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(input_shape, input_dtype, shortcut_shape):
    _, weight, norm = draw(np.float32, (2, 4, 5, 5), (6, 4, 3, 3))
    arguments = (
        np.zeros(input_shape, input_dtype),
        weight,
        ((1, 1), (0, 0), (1, 1), 1),
        norm,
        None if shortcut_shape is None else np.zeros(shortcut_shape, np.float32),
        True,
    )
    with pytest.raises(RuntimeError) as separate:
        separately(*arguments)
    with pytest.raises(RuntimeError) as together:
        in_one_call(*arguments)
    assert str(together.value) == str(separate.value)


@pytest.mark.parametrize(("with_shortcut", "rectify"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "stride"),
    [((64, 16, 2, 2), (70, 16, 3, 3), (1, 1)), ((8, 64, 4, 4), (72, 64, 3, 3), (2, 2))],
)
def test_fast_kernels_without_gradients_stay_close(input_shape, weight_shape, stride, with_shortcut, rectify):
    input, weight, norm = draw(np.float32, input_shape, weight_shape)
    norm.mean[1] = 1  # where all digits of the difference count
    options = stride, (1, 1), (1, 1), 1
    shortcut = None
    if with_shortcut:
        shape = separately(input, weight, options, norm, None, False).shape
        shortcut = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = separately(input, weight, options, norm, shortcut, rectify)
    with using_kernels("fast"):
        found = in_one_call(input, weight, options, norm, shortcut, rectify)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


# --- with a pooling ---------------------------------------------------------------------------------------------------

WINDOWS = PoolingWindows((3, 3), (2, 2), (1, 1), (1, 1), False)


@puts_off
def pooled_in_one_call(input, weight, options, norm, windows=WINDOWS):
    return conv2d_batch_norm_max_pool2d(input, weight, *options, norm, windows)


def pooled_separately(input, weight, options, norm, windows=WINDOWS):
    return max_pool2d(Tensor(separately(input, weight, options, norm, None, True)), *windows).array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("input_shape", "weight_shape", "options"), CONVOLUTIONS)
def test_exact_kernels_pool_what_they_have_rectified(input_shape, weight_shape, options, dtype):
    input, weight, norm = draw(dtype, input_shape, weight_shape)
    found = pooled_in_one_call(input, weight, options, norm)
    np.testing.assert_array_equal(found, pooled_separately(input, weight, options, norm))


@pytest.mark.parametrize("scales", ["positive", "of both signs", "negative", "zero"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize(("input_shape", "weight_shape", "options"), CONVOLUTIONS)
def test_fast_kernels_may_pool_first(input_shape, weight_shape, options, dtype, tolerance, scales):
    input, weight, norm = draw(dtype, input_shape, weight_shape)
    norm.mean[1] = 1  # where all digits of the difference count
    size = np.abs(norm.weight)
    changed = {"positive": size, "of both signs": norm.weight, "negative": -size, "zero": 0 * size}[scales]
    norm = norm._replace(weight=changed)
    before = [array.copy() for array in (input, weight, *norm[:4])]
    expected = pooled_separately(input, weight, options, norm)
    with using_kernels("fast"):
        found = pooled_in_one_call(input, weight, options, norm)
    assert found.dtype == dtype
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max(initial=1)
    for array, original in zip((input, weight, *norm[:4]), before, strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize(
    "windows", [WINDOWS._replace(padding=(2, 2)), WINDOWS._replace(kernel=(90, 3), padding=(0, 0))]
)
def test_a_pooling_that_does_not_fit_is_refused_in_the_same_words(windows, kernels):
    arguments = *draw(np.float32, *CONVOLUTIONS[0][:2])[:2], CONVOLUTIONS[0][2]
    norm = draw(np.float32, *CONVOLUTIONS[0][:2])[2]
    with pytest.raises(RuntimeError) as separate:
        pooled_separately(*arguments, norm, windows)
    with using_kernels(kernels), pytest.raises(RuntimeError) as together:
        pooled_in_one_call(*arguments, norm, windows)
    assert str(together.value) == str(separate.value)
