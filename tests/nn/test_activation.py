"""Activation layers."""

from __future__ import annotations

import math

import pytest

import gradcli
from gradcli import nn


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ReLU(), [0, 0, 2]),
        (nn.ReLU(inplace=True), [0, 0, 2]),
        (nn.Sigmoid(), [1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2))]),
        (nn.Tanh(), [math.tanh(-1), 0, math.tanh(2)]),
    ],
    ids=repr,
)
def test_values_and_an_input_left_alone(layer, expected):
    input = gradcli.tensor([-1.0, 0.0, 2.0])
    assert layer(input).tolist() == pytest.approx(expected, rel=1e-6)
    assert input.tolist() == [-1, 0, 2]


def test_text():
    assert [repr(layer) for layer in (nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid(), nn.Tanh())] == [
        "ReLU()",
        "ReLU(inplace=True)",
        "Sigmoid()",
        "Tanh()",
    ]
