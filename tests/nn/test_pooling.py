"""Pooling layers."""

from __future__ import annotations

import pytest

import gradcli
from gradcli import nn

PLANE = gradcli.arange(16).reshape(1, 1, 4, 4).to(gradcli.float32)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool2d(2), [[5, 7], [13, 15]]),
        (nn.MaxPool2d(3, stride=2, padding=1), [[5, 7], [13, 15]]),
        (nn.MaxPool2d((1, 3), stride=1, dilation=(1, 1)), [[2, 3], [6, 7], [10, 11], [14, 15]]),
        (nn.MaxPool2d(3, ceil_mode=True), [[10, 11], [14, 15]]),
        (nn.AvgPool2d(2), [[2.5, 4.5], [10.5, 12.5]]),
        (nn.AvgPool2d(2, stride=3, padding=1), [[0, 1.25], [5, 12.5]]),
        (nn.AvgPool2d(2, stride=3, padding=1, count_include_pad=False), [[0, 2.5], [10, 12.5]]),
        (nn.AvgPool2d(4, divisor_override=1), [[120]]),
        (nn.AdaptiveAvgPool2d(1), [[7.5]]),
        (nn.AdaptiveAvgPool2d((2, 1)), [[3.5], [11.5]]),
        (nn.AdaptiveAvgPool2d((None, 1)), [[1.5], [5.5], [9.5], [13.5]]),
    ],
    ids=repr,
)
def test_values(layer, expected):
    assert layer(PLANE).tolist() == [[expected]]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.MaxPool2d(3, 2, 1), "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"),
        (nn.MaxPool2d((3, 2)), "MaxPool2d(kernel_size=(3, 2), stride=(3, 2), padding=0, dilation=1, ceil_mode=False)"),
        (nn.AvgPool2d(2), "AvgPool2d(kernel_size=2, stride=2, padding=0)"),
        (nn.AdaptiveAvgPool2d((1, 1)), "AdaptiveAvgPool2d(output_size=(1, 1))"),
        (nn.AdaptiveAvgPool2d(7), "AdaptiveAvgPool2d(output_size=7)"),
        (nn.AdaptiveAvgPool2d([None, 2]), "AdaptiveAvgPool2d(output_size=(None, 2))"),
    ],
)
def test_text(layer, text):
    assert repr(layer) == text
