"""The PyTorch reference has what is known of torchvision's resnet18: names, order, shapes, counts, print."""

from __future__ import annotations

import pytest

BLOCK = ["conv1", "bn1", "conv2", "bn2"]
BATCH_NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def torchvision_state_names() -> list[str]:
    modules = ["conv1", "bn1"]
    for layer in range(1, 5):
        modules += [f"layer{layer}.0.{name}" for name in BLOCK]
        if layer > 1:
            modules += [f"layer{layer}.0.downsample.{index}" for index in range(2)]
        modules += [f"layer{layer}.1.{name}" for name in BLOCK]
    names = []
    for module in modules:
        is_convolution = "conv" in module or module.endswith("downsample.0")
        names += [f"{module}.{entry}" for entry in (["weight"] if is_convolution else BATCH_NORM)]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parity
def test_state_dict_is_torchvisions() -> None:
    pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18

    model = resnet18()
    assert list(model.state_dict()) == torchvision_state_names()
    assert len(model.state_dict()) == 122
    assert len(list(model.parameters())) == 62
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_689_512


@pytest.mark.parity
def test_print_is_torchvisions() -> None:
    pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18

    # Recent PyTorch adds to a batch norm's print that it has a bias; the tutorial's print is older.
    text = repr(resnet18()).replace("affine=True, bias=True,", "affine=True,")
    assert text.startswith(
        "ResNet(\n"
        "  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)\n"
        "  (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "  (relu): ReLU(inplace=True)\n"
        "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)\n"
        "  (layer1): Sequential(\n"
        "    (0): BasicBlock(\n"
    )
    assert (
        "      (downsample): Sequential(\n"
        "        (0): Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)\n"
        "        (1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "      )\n"
    ) in text
    assert text.endswith(
        "  (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))\n"
        "  (fc): Linear(in_features=512, out_features=1000, bias=True)\n"
        ")"
    )


@pytest.mark.parity
def test_randomized_batch_norm_is_nowhere_trivial_and_repeats() -> None:
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import randomize_batch_norm, resnet18

    fresh, first, second = resnet18(num_classes=2), resnet18(num_classes=2), resnet18(num_classes=2)
    randomize_batch_norm(first, seed=3)
    randomize_batch_norm(second, seed=3)
    names = [
        name
        for name in fresh.state_dict()
        if name.rpartition(".")[2] in BATCH_NORM and ("bn" in name or "downsample.1" in name)
    ]
    assert len(names) == 20 * len(BATCH_NORM)
    for name in names:
        assert torch.equal(first.state_dict()[name], second.state_dict()[name])
        assert (first.state_dict()[name] != fresh.state_dict()[name]).all()
    first.eval()
    logits = first(torch.ones(1, 3, 64, 64))
    assert logits.isfinite().all()
    assert logits.abs().max() < 100
