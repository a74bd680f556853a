"""Convolution, batch norm, shortcut and ReLU in one call: the values of the separate operations, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.deferred import puts_off, settled
from gradcli.kernels.policy import using_kernels
from gradcli.ops.activation import relu
from gradcli.ops.convolution import conv2d
from gradcli.ops.inference import RunningBatchNorm, conv2d_batch_norm
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
