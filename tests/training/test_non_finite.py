"""Where numbers that are not finite begin, found in passes through a real network."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.training.non_finite import first_non_finite_gradient, first_non_finite_output


@pytest.fixture(scope="module")
def initialised() -> ResNet:
    return build_resnet18(3).eval()


@pytest.fixture
def model(initialised: ResNet) -> ResNet:
    return copy.deepcopy(initialised)


def images(count: int = 2) -> Tensor:
    return Tensor(np.random.default_rng(0).random((count, 3, 32, 32), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("conv1.weight", "conv1"),
        ("layer2.0.downsample.0.weight", "layer2.0.downsample.0"),
        ("layer3.1.bn2.bias", "layer3.1.bn2"),
        ("fc.bias", "fc"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_first_layer_with_nan_or_infinity(parameter: str, layer: str, value: float, model: ResNet) -> None:
    dict(model.named_parameters())[parameter].array[0] = value
    assert first_non_finite_output(model, lambda: model(images())) == layer


def test_without_such_numbers_there_is_no_layer_and_no_hook_stays(model: ResNet) -> None:
    assert first_non_finite_output(model, lambda: model(images())) is None
    assert not any(module._forward_hooks for module in model.modules())


def test_the_gradient_that_the_backward_pass_came_to_first(model: ResNet) -> None:
    assert first_non_finite_gradient(model) is None
    for parameter in model.parameters():
        parameter.grad = Tensor(np.zeros(parameter.shape, np.float32))
    assert first_non_finite_gradient(model) is None
    for name in ("conv1.weight", "layer1.0.conv1.weight"):
        gradient = dict(model.named_parameters())[name].grad
        assert gradient is not None
        gradient.array[0] = np.nan
    assert first_non_finite_gradient(model) == "layer1.0.conv1.weight"
