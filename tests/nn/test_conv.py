"""Conv2d."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradcli
from gradcli import nn


def test_one_by_one_convolution_is_a_linear_map_of_the_channels():
    layer = nn.Conv2d(2, 1, 1)
    layer.load_state_dict({"weight": np.array([2, 3]).reshape(1, 2, 1, 1), "bias": np.array([0.5])})
    input = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    expected = 2 * input[:, :1] + 3 * input[:, 1:] + 0.5
    np.testing.assert_array_equal(layer(gradcli.from_numpy(input)).detach().numpy(), expected)


def test_it_correlates_and_pads_with_zeros():
    layer = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    layer.load_state_dict({"weight": np.array([1, 10, 100]).reshape(1, 1, 1, 3)})
    assert layer(gradcli.tensor([[[[1.0, 2.0, 3.0]]]])).tolist() == [[[[210, 321, 32]]]]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"kernel_size": 3}, (2, 4, 6, 5)),
        ({"kernel_size": (3, 2), "stride": 2}, (2, 4, 3, 3)),
        ({"kernel_size": 3, "stride": (2, 1), "padding": (1, 0)}, (2, 4, 4, 5)),
        ({"kernel_size": 3, "dilation": 2, "padding": 2}, (2, 4, 8, 7)),
        ({"kernel_size": 1, "groups": 2}, (2, 4, 8, 7)),
    ],
)
def test_output_shapes(options, shape):
    assert nn.Conv2d(2, 4, **options)(gradcli.ones(2, 2, 8, 7)).shape == shape


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1))"),
        ({"bias": False}, "Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), bias=False)"),
        (
            {"stride": 2, "padding": (1, 2), "dilation": 3, "groups": 2},
            "Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 2), dilation=(3, 3), groups=2)",
        ),
    ],
)
def test_text(options, text):
    assert repr(nn.Conv2d(4, 8, 3, **options)) == text


@pytest.mark.parametrize(("in_channels", "out_channels", "groups"), [(3, 4, 2), (4, 3, 2), (4, 4, 0)])
def test_groups_have_to_divide_the_channels(in_channels, out_channels, groups):
    with pytest.raises(ValueError, match=f"must be divisible by groups {groups}"):
        nn.Conv2d(in_channels, out_channels, 3, groups=groups)


@pytest.mark.parametrize("groups", [1, 2])
def test_initial_values_are_uniform_within_one_over_the_root_of_fan_in(groups):
    gradcli.manual_seed(0)
    layer = nn.Conv2d(8, 512, 3, groups=groups)
    assert layer.weight.shape == (512, 8 // groups, 3, 3)
    bound = 1 / math.sqrt(8 // groups * 9)
    for values in (layer.weight.array, layer.bias.array):
        assert 0.97 * bound < np.abs(values).max() <= np.float32(bound)


def test_weight_lies_in_memory_channels_last():
    weight = nn.Conv2d(3, 8, 5).weight.array
    assert weight.transpose(0, 2, 3, 1).flags.c_contiguous  # (O, I, H, W) -> (O, H, W, I)
