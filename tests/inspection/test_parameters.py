"""The listing of parameters, on a small model."""

from __future__ import annotations

from gradcli import nn
from gradcli.inspection.parameters import describe_parameters


def test_shapes_sizes_and_what_trains() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4, bias=False))
    model[0].weight.requires_grad = False
    listing = describe_parameters(model)
    assert [(each.name, each.shape, each.numel, each.trainable) for each in listing.parameters] == [
        ("0.weight", (2, 3), 6, False),
        ("0.bias", (2,), 2, True),
        ("1.weight", (4, 2), 8, True),
    ]
    assert (listing.numel, listing.trainable, listing.frozen) == (16, 10, 6)
