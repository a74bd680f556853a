"""Stages: the network in parts, which together compute what it computes."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.kernels.policy import using_kernels
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.models.stages import run_stages, split_into_blocks
from gradcli.nn import BatchNorm2d, init

BLOCKS = [f"layer{layer}.{block}" for layer in (1, 2, 3, 4) for block in (0, 1)]


@pytest.fixture(scope="module")
def model() -> ResNet:
    gradcli.manual_seed(0)
    model = build_resnet18(10).eval()
    generator = np.random.default_rng(0)
    for layer in model.modules():
        if isinstance(layer, BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.array[...] = generator.uniform(0.3, 1, tensor.shape)
    return model


def test_names_and_order(model: ResNet) -> None:
    layers = ["layer1", "layer2", "layer3", "layer4"]
    assert [stage.name for stage in model.stages()] == ["stem", *layers, "avgpool", "fc"]
    assert [stage.name for stage in split_into_blocks(model.stages())] == ["stem", *BLOCKS, "avgpool", "fc"]


def test_every_parameter_and_buffer_belongs_to_one_stage(model: ResNet) -> None:
    for stages in (model.stages(), split_into_blocks(model.stages())):
        parameters = [name for stage in stages for name, _ in stage.named_parameters()]
        state = [name for stage in stages for name, _ in stage.named_state()]
        modules = [name for stage in stages for name, _ in stage.named_modules()]
        assert parameters == [name for name, _ in model.named_parameters()]
        assert state == list(model.state_dict())
        assert set(modules) <= {name for name, _ in model.named_modules()}


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("size", [(1, 3, 64, 64), (8, 3, 32, 32), (2, 3, 33, 65)])
def test_one_after_the_other_they_give_the_networks_bits(model: ResNet, size: tuple[int, ...], kernels: str) -> None:
    images = gradcli.rand(*size)
    stages = split_into_blocks(model.stages())
    with using_kernels(kernels), gradcli.no_grad():  # type: ignore[arg-type]
        expected = model(images).array
        np.testing.assert_array_equal(run_stages(stages, images).array, expected)
        alone = images
        for stage in stages:
            alone = run_stages([stage], alone)
        np.testing.assert_array_equal(alone.array, expected)
        np.testing.assert_array_equal(run_stages(stages[5:], run_stages(stages[:5], images)).array, expected)


def test_in_training_they_give_the_networks_gradients() -> None:
    gradcli.manual_seed(0)
    model = build_resnet18(10)
    images = gradcli.rand(2, 3, 64, 64)
    before = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}
    model(images).sum().backward()
    expected = {name: parameter.grad.array.copy() for name, parameter in model.named_parameters()}
    model.load_state_dict(before)
    model.zero_grad()
    run_stages(split_into_blocks(model.stages()), images).sum().backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.grad.array, expected[name], err_msg=name)


def test_a_layer_with_a_hook_stays_whole() -> None:
    with init.no_values():
        model = build_resnet18(10).eval()
    seen = []
    with model.layer3.register_forward_hook(lambda module, args, result: seen.append(result.shape)):
        names = [stage.name for stage in split_into_blocks(model.stages())]
        with gradcli.no_grad():
            run_stages(split_into_blocks(model.stages()), gradcli.rand(1, 3, 64, 64))
    assert names == ["stem", *BLOCKS[:4], "layer3", *BLOCKS[6:], "avgpool", "fc"]
    assert seen == [(1, 256, 4, 4)]


def test_a_replaced_module_takes_its_stage() -> None:
    with init.no_values():
        model = build_resnet18(10).eval()
    model.fc = gradcli.nn.Linear(512, 3)
    assert model(gradcli.rand(1, 3, 32, 32)).shape == (1, 3)
    assert dict(model.stages()[-1].named_parameters())["fc.weight"] is model.fc.weight
