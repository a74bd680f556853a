"""BatchNorm2d: batch and running statistics."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn


def random_input(seed: int, shape: tuple[int, ...] = (4, 3, 2, 5)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) * 2 + np.arange(shape[1])[:, None, None]).astype(np.float32)


def moments(input: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and biased variance of each channel in float64, and how many values they are of."""
    over = (0, 2, 3)
    return input.mean(over, np.float64), input.var(over, np.float64), input.size // input.shape[1]


def normalized(input: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return (input - mean[:, None, None]) / np.sqrt(variance[:, None, None] + eps)


def test_a_fresh_layer():
    layer = nn.BatchNorm2d(3)
    assert {name: tensor.tolist() for name, tensor in layer.state_dict().items()} == {
        "weight": [1, 1, 1],
        "bias": [0, 0, 0],
        "running_mean": [0, 0, 0],
        "running_var": [1, 1, 1],
        "num_batches_tracked": 0,
    }
    assert layer.num_batches_tracked.dtype == gradcli.int64
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


def test_training_normalizes_by_the_batch_and_moves_the_running_statistics():
    layer, input = nn.BatchNorm2d(3, momentum=0.3), random_input(0)
    output = layer(gradcli.from_numpy(input)).detach().numpy()
    mean, variance, count = moments(input)
    np.testing.assert_allclose(output, normalized(input, mean, variance), atol=1e-6)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.3 * mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.7 + 0.3 * variance * count / (count - 1), rtol=1e-6)
    assert layer.num_batches_tracked.item() == 1


def test_evaluation_uses_the_running_statistics_and_leaves_them_alone():
    layer, input = nn.BatchNorm2d(3, eps=1e-3), random_input(1)
    state = {
        "weight": np.array([1.0, -2, 0.5], np.float32),
        "bias": np.array([0.0, 1, 2], np.float32),
        "running_mean": np.array([0.5, 1, 2], np.float32),
        "running_var": np.array([4.0, 1, 0.25], np.float32),
        "num_batches_tracked": np.array(7),
    }
    layer.load_state_dict(state)
    output = layer.eval()(gradcli.from_numpy(input)).detach().numpy()
    expected = normalized(input, state["running_mean"], state["running_var"], 1e-3)
    expected = expected * state["weight"][:, None, None] + state["bias"][:, None, None]
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name])


def test_momentum_none_averages_over_all_batches():
    layer, inputs = nn.BatchNorm2d(3, momentum=None), [random_input(seed) for seed in range(4)]
    for input in inputs:
        layer(gradcli.from_numpy(input))
    means, variances, counts = zip(*(moments(input) for input in inputs), strict=True)
    count = counts[0]
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean(means, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), np.mean(variances, 0) * count / (count - 1), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 4


def test_without_running_statistics_evaluation_normalizes_by_the_batch():
    layer, input = nn.BatchNorm2d(3, track_running_stats=False), random_input(2)
    assert list(layer.state_dict()) == ["weight", "bias"]
    training = layer(gradcli.from_numpy(input))
    evaluation = layer.eval()(gradcli.from_numpy(input))
    assert training.tolist() == evaluation.tolist()
    assert layer.running_mean is None


def test_without_affine_parameters():
    layer = nn.BatchNorm2d(3, affine=False)
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    mean, variance, _ = moments(random_input(3))
    output = layer(gradcli.from_numpy(random_input(3))).numpy()
    np.testing.assert_allclose(output, normalized(random_input(3), mean, variance), atol=1e-6)


def test_frozen_parameters_do_not_freeze_the_running_statistics():
    layer = nn.BatchNorm2d(3).requires_grad_(False)
    output = layer(gradcli.from_numpy(random_input(4)))
    assert not output.requires_grad
    assert layer.num_batches_tracked.item() == 1
    assert layer.running_mean.array.all()


def test_reset_starts_over():
    layer = nn.BatchNorm2d(3)
    layer(gradcli.from_numpy(random_input(5)))
    nn.init.zeros_(layer.weight)
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]
    assert layer.num_batches_tracked.item() == 0
    layer.reset_parameters()
    assert layer.weight.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3), "expected 4D input (got 2D input)"), ((2, 3, 4), "expected 4D input (got 3D input)")],
)
def test_input_has_to_be_a_batch_of_planes(shape, message):
    with pytest.raises(ValueError) as caught:
        nn.BatchNorm2d(3)(gradcli.ones(*shape))
    assert str(caught.value) == message


def test_one_value_per_channel_cannot_be_normalized_in_training():
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(gradcli.ones(1, 3, 1, 1))
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.eval()(gradcli.ones(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"),
        (
            {"eps": 0.001, "momentum": None, "affine": False, "track_running_stats": False},
            "BatchNorm2d(64, eps=0.001, momentum=None, affine=False, track_running_stats=False)",
        ),
    ],
)
def test_text(options, text):
    assert repr(nn.BatchNorm2d(64, **options)) == text
