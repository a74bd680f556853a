"""ImageNet's class names: as many as there are outputs, each once, in torchvision's order."""

from __future__ import annotations

import pytest

from gradcli.models.imagenet import imagenet_classes


def test_a_thousand_names_none_twice_none_empty():
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert all(name and name == name.strip() and name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench"),
        (134, "crane bird"),
        (151, "Chihuahua"),
        (207, "golden retriever"),
        (264, "Cardigan"),
        (281, "tabby"),
        (388, "giant panda"),
        (474, "cardigan"),
        (517, "crane"),
        (607, "jack-o'-lantern"),
        (638, "maillot"),
        (639, "maillot tank suit"),
        (836, "sunglass"),
        (837, "sunglasses"),
        (986, "yellow lady's slipper"),
        (999, "toilet tissue"),
    ],
)
def test_names_stand_where_torchvision_has_them(index, name):
    assert imagenet_classes()[index] == name
