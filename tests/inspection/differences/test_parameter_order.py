"""The order in which backward reaches parameters: that of names against that of the engine."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

import gradcli
from gradcli.checkpoints.naming import names_in
from gradcli.inspection.differences.parameter_order import backward_order
from gradcli.models import resnet18
from gradcli.nn import init


def layer_of(name: str) -> str:
    return name.rpartition(".")[0] or name


def test_the_order_of_names_is_the_engines() -> None:
    model = resnet18(num_classes=3)
    reached: list[str] = []

    def note(name: str) -> Callable[[gradcli.Tensor], None]:
        return lambda gradient: reached.append(layer_of(name))

    for name, parameter in model.named_parameters():
        parameter.register_hook(note(name))
    images = gradcli.rand(2, 3, 16, 16, requires_grad=True)
    images.register_hook(note("input"))
    model(images).sum().backward()
    names = ["input", *(name for name, _ in model.named_parameters())]
    random.Random(0).shuffle(names)
    # Weight and bias of a layer come from one node, so layers are compared.
    ordered = [layer_of(name) for name in backward_order(names)]
    assert set(ordered) == set(reached)
    # Shortcut and main path are independent of each other: which comes first is the choice of the forward pass.
    main = [layer for layer in ordered if "downsample" not in layer]
    assert main == sorted(main, key=reached.index)
    blocks = [layer[:8] for layer in ordered if layer.startswith("layer")]
    assert blocks == sorted(blocks, reverse=True)
    shortcuts = [layer for layer in ordered if "downsample" in layer]
    assert shortcuts == sorted(shortcuts, key=reached.index)


def test_of_a_layer_the_entries_stand_together_and_the_last_parameter_is_first() -> None:
    with init.no_values():
        names = list(resnet18(num_classes=3).state_dict())
    ordered = backward_order(sorted(names))
    assert ordered[:2] == ["fc.bias", "fc.weight"]
    assert ordered[-1] == "conv1.weight"
    assert ordered == names[::-1]
    hugging_face = names_in("hf", names)
    assert backward_order(sorted(hugging_face.values())) == [hugging_face[name] for name in ordered]
    assert backward_order(sorted(f"module.{name}" for name in names)) == [f"module.{name}" for name in ordered]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([["w1", "b1", "w2"]], ["w2", "b1", "w1"]),
        ([["a", "b"], ["b", "a"]], ["a", "b"]),  # the alphabetical list has no order of its own
        ([["b", "a"], ["c", "b", "x"]], ["x", "c", "a", "b"]),
        ([["net.0.weight", "net.10.weight", "net.2.weight"]], ["net.10.weight", "net.2.weight", "net.0.weight"]),
        ([["fc.bias", "fc.weight"], ["conv1.weight"]], ["fc.bias", "fc.weight", "conv1.weight"]),
        ([["conv1.weight", "layer1.0.conv1.weight", "layer1.0.se.fc.weight"]], None),
        ([["9" * 5000, "x²"], []], ["x²", "9" * 5000]),
        ([[], []], []),
    ],
)
def test_other_names(lists: list[list[str]], expected: list[str] | None) -> None:
    if expected is None:  # a name that is not the network's stands where it is seen
        expected = ["layer1.0.se.fc.weight", "layer1.0.conv1.weight", "conv1.weight"]
    assert backward_order(*lists) == expected
