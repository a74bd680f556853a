"""The functions behind the layers, as one namespace."""

from __future__ import annotations

import contextlib
import inspect
import re

import numpy as np
import pytest

import gradcli
from gradcli import nn


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (nn.ReLU(), nn.functional.relu),
        (nn.MaxPool2d(2), lambda input: nn.functional.max_pool2d(input, 2)),
        (nn.AvgPool2d(2), lambda input: nn.functional.avg_pool2d(input, 2)),
        (nn.AdaptiveAvgPool2d(1), lambda input: nn.functional.adaptive_avg_pool2d(input, 1)),
        (
            nn.BatchNorm2d(3),
            lambda input: nn.functional.batch_norm(input, None, None, gradcli.ones(3), gradcli.zeros(3), training=True),
        ),
    ],
)
def test_layers_call_their_function(layer, call):
    input = gradcli.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32))
    assert layer(input).tolist() == call(input).tolist()


@pytest.mark.parity
@pytest.mark.parametrize("name", nn.functional.__all__)
def test_parameters_are_pytorchs_in_pytorchs_order(name):
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, name)
    # Functions of the C++ core have their signature in the first line of their text only.
    signature = function.__doc__.strip().partition("->")[0]
    with contextlib.suppress(ValueError):
        if "args" not in (found := inspect.signature(function).parameters):
            signature = f"({', '.join(found)})"
    theirs = re.findall(r"(\w+)(?= ?=|,|\))", signature)
    ours = list(inspect.signature(getattr(nn.functional, name)).parameters)
    assert ours == [parameter for parameter in theirs if parameter in ours]
