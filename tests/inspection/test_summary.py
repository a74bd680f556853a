"""Summaries of small models, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli import nn
from gradcli.inspection.summary import LayerSummary, summarize


def test_layers_in_the_order_of_the_pass() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, kernel_size=3, padding=1, groups=1),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 2 * 3, 5),
    )
    model[0].weight.requires_grad = False
    summary = summarize(model, (2, 3, 4, 6))
    assert summary.layers[0] == LayerSummary(
        name="0",
        type="Conv2d",
        output_shape=(2, 4, 4, 6),
        parameters=4 * 3 * 9 + 4,
        trainable=4,
        multiply_adds=2 * 4 * 4 * 6 * 3 * 9,
    )
    assert [(layer.type, layer.output_shape, layer.parameters) for layer in summary.layers[1:]] == [
        ("BatchNorm2d", (2, 4, 4, 6), 8),
        ("MaxPool2d", (2, 4, 2, 3), 0),
        ("Flatten", (2, 24), 0),
        ("Linear", (2, 5), 125),
    ]
    assert summary.layers[4].multiply_adds == 2 * 5 * 24
    assert summary.parameters == 112 + 8 + 125
    assert summary.trainable == summary.parameters - 108
    assert summary.multiply_adds == 2 * 4 * 4 * 6 * 27 + 240


def test_a_grouped_convolution_and_a_layer_used_twice_count_right() -> None:
    activation = nn.ReLU()
    shared = nn.Linear(4, 4)
    grouped = summarize(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2, bias=False)), (1, 4, 2, 2))
    assert grouped.multiply_adds == 4 * 2 * 2 * 2
    twice = summarize(nn.Sequential(shared, activation, shared), (3, 4))
    assert [layer.parameters for layer in twice.layers] == [20, 0, 0]
    assert twice.parameters == 20
    assert twice.multiply_adds == 2 * 3 * 4 * 4


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(norm).train(training)
    summarize(model, (2, 3, 4, 4))
    assert norm.training == training
    assert int(norm.num_batches_tracked.array) == 0
    np.testing.assert_array_equal(norm.running_var.array, np.ones(3))
    assert summarize(model, (2, 3, 4, 4)).layers[0].output_shape == (2, 3, 4, 4)
