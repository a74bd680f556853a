"""Networks of the ResNet family, told apart by the names and shapes of their tensors."""

from __future__ import annotations

import pytest

from gradcli.models.architecture import architecture_of, recognise_architecture


def shapes_of(blocks, convolutions=2, width=64, columns=None) -> dict[str, tuple[int, ...]]:
    """Shapes of the convolutions that tell the networks of the family apart."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 512)}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            for number in range(1, convolutions + 1):
                shapes[f"layer{stage}.{block}.conv{number}.weight"] = (width, columns or width, 3, 3)
                shapes[f"layer{stage}.{block}.bn{number}.weight"] = (width,)
        if stage > 1:
            shapes[f"layer{stage}.0.downsample.0.weight"] = (width, width, 1, 1)
            shapes[f"layer{stage}.0.downsample.1.weight"] = (width,)
    return shapes


RESNET18 = shapes_of((2, 2, 2, 2))
DEEP_STEM = {
    **{name: shape for name, shape in RESNET18.items() if name != "conv1.weight"},
    "conv1.0.weight": (32, 3, 3, 3),
}


@pytest.mark.parametrize(
    ("shapes", "name", "difference"),
    [
        (RESNET18, "resnet18", ""),
        (shapes_of((3, 4, 6, 3)), "resnet34", "layer1 has 3 blocks, not 2"),
        (shapes_of((1, 1, 1, 1)), "resnet10", "layer1 has 1 block, not 2"),
        (shapes_of((3, 4, 6, 3), 3), "resnet50", "its blocks have three convolutions"),
        (shapes_of((3, 4, 23, 3), 3), "resnet101", "its blocks have three convolutions"),
        (shapes_of((3, 8, 36, 3), 3), "resnet152", "its blocks have three convolutions"),
        (shapes_of((3, 4, 6, 3), 3, 128, 4), "resnext50_32x4d", "its blocks have three convolutions"),
        (shapes_of((3, 4, 23, 3), 3, 256, 8), "resnext101_32x8d", "its blocks have three convolutions"),
        (shapes_of((3, 4, 6, 3), 3, 128), "wide_resnet50_2", "its blocks have three convolutions"),
        (DEEP_STEM, "resnet18c", "its stem has 3 convolutions"),
        ({**DEEP_STEM, "layer2.0.downsample.1.weight": (128, 64, 1, 1)}, "resnet18d", "its stem has 3 convolutions"),
        ({**RESNET18, "conv1.weight": (64, 3, 3, 3)}, "resnet18_cifar", "conv1 has 3x3 filters, not 7x7"),
        (
            {name.replace("downsample", "shortcut"): shape for name, shape in RESNET18.items()}
            | {"conv1.weight": (64, 3, 3, 3)},
            "resnet18_cifar",
            "conv1 has 3x3 filters, not 7x7",
        ),
        ({**RESNET18, "conv1.weight": (64, 1, 7, 7)}, "resnet18", ""),
        ({name: shape for name, shape in RESNET18.items() if name != "fc.weight"}, "resnet18", ""),
    ],
)
def test_known_networks(shapes, name, difference):
    assert recognise_architecture(shapes) == name
    architecture = architecture_of(shapes)
    assert architecture is not None
    assert architecture.difference == difference


@pytest.mark.parametrize(
    ("blocks", "convolutions", "title"),
    [((3, 4, 6, 3), 2, "ResNet-34"), ((3, 4, 6, 3), 3, "ResNet-50"), ((2, 2, 2, 2), 2, "ResNet-18")],
)
def test_titles(blocks, convolutions, title):
    architecture = architecture_of(shapes_of(blocks, convolutions))
    assert architecture is not None
    assert architecture.title == title


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"conv1.weight": (64, 3, 7, 7), "fc.weight": (10, 512)},
        shapes_of((3, 3, 3), width=16),
        shapes_of((2, 2, 2, 2), width=16),
        shapes_of((5, 5, 5, 5)),
        {**RESNET18, "layer1.0.se.fc1.weight": (4, 64, 1, 1)},
        {name: shape for name, shape in RESNET18.items() if not name.startswith("layer2.0")},
        {name: shape for name, shape in RESNET18.items() if not name.startswith("layer3")},
        {**RESNET18, "layer1.0.conv2.weight": (64, 64)},
        {**RESNET18, "layer1.0.conv2.weight": (0, 0, 3, 3)},
    ],
    ids=[
        "nothing",
        "no blocks",
        "three stages",
        "narrow",
        "other depth",
        "squeeze and excitation",
        "a block is missing",
        "a stage is missing",
        "no convolution",
        "empty",
    ],
)
def test_others_are_not_named(shapes):
    assert recognise_architecture(shapes) is None
