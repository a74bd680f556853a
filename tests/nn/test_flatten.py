"""Flatten."""

from __future__ import annotations

import pytest

import gradcli
from gradcli import nn


@pytest.mark.parametrize(
    ("dims", "shape"),
    [((), (2, 60)), ((0,), (120,)), ((1, 2), (2, 12, 5)), ((-2,), (2, 3, 20)), ((2, 2), (2, 3, 4, 5))],
)
def test_shapes_and_order(dims, shape):
    input = gradcli.arange(120).reshape(2, 3, 4, 5)
    output = nn.Flatten(*dims)(input)
    assert output.shape == shape
    assert output.reshape(-1).tolist() == list(range(120))


def test_text():
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
