"""ResNet-18: names, order, shapes, text, initial values and the pass, as torchvision has them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.kernels.policy import using_kernels
from gradcli.models import BasicBlock, ResNet
from gradcli.models.resnet import build_resnet18

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def model() -> ResNet:
    gradcli.manual_seed(0)
    return build_resnet18()


def batch_norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.{entry}": (channels,) for entry in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def torchvision_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the whole state, from the rule by which ResNet-18 is built."""
    shapes = {"conv1.weight": (64, 3, 7, 7)} | batch_norm_shapes("bn1", 64)
    inputs = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (channels, inputs, 3, 3)} | batch_norm_shapes(f"{name}.bn1", channels)
            shapes |= {f"{name}.conv2.weight": (channels, channels, 3, 3)} | batch_norm_shapes(f"{name}.bn2", channels)
            if inputs != channels:
                shapes |= {f"{name}.downsample.0.weight": (channels, inputs, 1, 1)}
                shapes |= batch_norm_shapes(f"{name}.downsample.1", channels)
            inputs = channels
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def test_state_has_torchvisions_names_order_and_shapes(model):
    expected = torchvision_shapes()
    state = model.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected
    assert list(state) == list(expected)
    assert len(state) == 122
    assert {name for name, tensor in state.items() if tensor.dtype != gradcli.float32} == {
        name for name in expected if name.endswith("num_batches_tracked")
    }


def test_parameters_and_buffers(model):
    parameters = dict(model.named_parameters())
    assert len(parameters) == 62
    assert sum(parameter.numel() for parameter in parameters.values()) == 11_689_512
    assert all(parameter.requires_grad for parameter in parameters.values())
    assert [name for name in torchvision_shapes() if not name.endswith(STATISTICS)] == list(parameters)
    assert len(list(model.buffers())) == 60


def test_text_is_the_tutorials(model):
    text = repr(model)
    assert text.startswith(
        "ResNet(\n"
        "  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)\n"
        "  (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "  (relu): ReLU(inplace=True)\n"
        "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)\n"
        "  (layer1): Sequential(\n"
        "    (0): BasicBlock(\n"
        "      (conv1): Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)\n"
        "      (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "      (relu): ReLU(inplace=True)\n"
        "      (conv2): Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)\n"
        "      (bn2): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "    )\n"
        "    (1): BasicBlock(\n"
    )
    assert (
        "      (downsample): Sequential(\n"
        "        (0): Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)\n"
        "        (1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "      )\n"
        "    )\n"
    ) in text
    assert text.count("downsample") == 3
    assert text.endswith(
        "  (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))\n"
        "  (fc): Linear(in_features=512, out_features=1000, bias=True)\n"
        ")"
    )


def test_blocks_without_projection_have_no_downsample(model):
    assert model.layer1[0].downsample is None
    assert isinstance(model.layer2[0].downsample, nn.Sequential)
    assert [block.stride for layer in (model.layer1, model.layer4) for block in layer] == [1, 1, 2, 1]


def test_initial_values(model):
    for name, parameter in model.named_parameters():
        values = parameter.array
        if values.ndim == 4:
            std = math.sqrt(2 / (values.shape[0] * values.shape[2] * values.shape[3]))
            assert values.std() == pytest.approx(std, rel=0.03), name
            assert abs(values.mean()) < 5 * std / values.size**0.5, name
        elif name.startswith("fc"):
            assert 0.98 / math.sqrt(512) < np.abs(values).max() <= np.float32(1 / math.sqrt(512))
        else:
            assert (values == (1 if name.endswith("weight") else 0)).all(), name


@pytest.mark.parametrize("size", [(2, 3, 64, 64), (1, 3, 224, 224), (2, 3, 33, 65)])
def test_a_pass_gives_class_scores(model, size):
    model.eval()
    with gradcli.no_grad():
        scores = model(gradcli.rand(*size, generator=gradcli.Generator(0)))
    assert scores.shape == (size[0], 1000)
    assert np.isfinite(scores.numpy()).all()


def test_a_block_adds_its_shortcut():
    block = BasicBlock(4, 4).eval()
    nn.init.zeros_(block.bn2.weight)
    input = gradcli.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 5, 5)).astype(np.float32))
    np.testing.assert_array_equal(block(input).detach().numpy(), np.maximum(input.numpy(), 0))


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("size", [(1, 3, 64, 64), (8, 3, 64, 64), (2, 3, 33, 65)])
def test_hooks_see_every_module_and_leave_an_evaluation_as_it_was(size, kernels):
    model = build_resnet18(10).eval()
    generator = np.random.default_rng(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                tensor.array[...] = generator.uniform(0.3, 1, tensor.shape)
    images = gradcli.rand(*size, generator=gradcli.Generator(0))
    seen = []
    with using_kernels(kernels), gradcli.no_grad():
        expected = model(images).array.copy()
        handles = [
            module.register_forward_hook(lambda module, args, result, name=name: seen.append((name, result.shape)))
            for name, module in model.named_modules()
        ]
        looked_into = model(images).array
        for handle in handles:
            handle.remove()
        again = model(images).array
    assert {name for name, _ in seen} == {name for name, _ in model.named_modules()}
    assert len(seen) == len(handles) + 8  # a block calls its ReLU twice
    assert dict(seen)["layer2.0.downsample"] == dict(seen)["layer2.0.conv2"]
    if kernels == "exact":
        np.testing.assert_array_equal(looked_into, expected)
    else:  # which pool before batch norm where nobody looks: BLAS may sum up other rows in another order
        np.testing.assert_allclose(looked_into, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(again, expected)


def test_any_number_of_classes():
    assert build_resnet18(7)(gradcli.rand(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parity
def test_construction_is_the_references():
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18 as torch_resnet18

    torch.manual_seed(0)
    gradcli.manual_seed(0)
    theirs, ours = torch_resnet18(), build_resnet18()
    # Recent PyTorch adds to a batch norm's text that it has a bias; the tutorial's print is older.
    assert repr(ours) == repr(theirs).replace("affine=True, bias=True,", "affine=True,")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, expected in theirs.state_dict().items():
        found = ours.state_dict()[name].numpy()
        if expected.ndim == 4:  # drawn from a normal distribution: logarithm, cosine and root of two libraries
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * float(expected.abs().max()), err_msg=name)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=name)
    np.testing.assert_array_equal(gradcli.rand(4).numpy(), torch.rand(4).numpy())
