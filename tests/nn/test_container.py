"""Sequential and ModuleList."""

from __future__ import annotations

import pytest

import gradcli
from gradcli import nn


def test_layers_run_in_order():
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    assert model(gradcli.tensor([[[-1.0, 2.0]]])).tolist() == [[0, 2]]
    assert nn.Sequential()(5) == 5


def test_names_are_positions_or_the_keys_of_a_dictionary():
    assert [name for name, _ in nn.Sequential(nn.ReLU(), nn.Tanh()).named_children()] == ["0", "1"]
    named = nn.Sequential({"up": nn.Linear(1, 2), "act": nn.ReLU()})
    assert list(named.state_dict()) == ["up.weight", "up.bias"]
    assert named.act is named[1]


def test_indexing_slicing_iterating():
    layers = [nn.ReLU(), nn.Tanh(), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[0] is layers[0]
    assert model[-1] is layers[2]
    tail = model[1:]
    assert isinstance(tail, nn.Sequential)
    assert [name for name, _ in tail.named_children()] == ["1", "2"]
    assert len(model[3:]) == 0
    with pytest.raises(IndexError):
        model[3]


def test_append_goes_to_the_end():
    model = nn.Sequential(nn.ReLU())
    assert model.append(nn.Linear(2, 2)) is model
    assert list(model.state_dict()) == ["1.weight", "1.bias"]


@pytest.mark.parametrize("layers", [(nn.ReLU(), "tanh"), ({"first": 3},)])
def test_only_layers_are_taken(layers):
    with pytest.raises(TypeError, match="is not a Module subclass"):
        nn.Sequential(*layers)
    with pytest.raises(TypeError, match="is not a Module subclass"):
        nn.Sequential().append(layers[-1])
    with pytest.raises(TypeError, match="is not a Module subclass"):
        nn.ModuleList(layers)


def test_a_list_of_layers_registers_them_and_leaves_their_order_to_its_owner():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(size, size + 1) for size in (2, 1))

        def forward(self, input):
            for layer in reversed(list(self.layers)):
                input = layer(input)
            return input

    model = Backwards()
    assert list(model.state_dict()) == [f"layers.{n}.{name}" for n in (0, 1) for name in ("weight", "bias")]
    assert model(gradcli.ones(4, 1)).shape == (4, 3)
    assert repr(nn.ModuleList([nn.ReLU()])) == "ModuleList(\n  (0): ReLU()\n)"


def test_a_list_of_layers_is_indexed_sliced_and_extended():
    layers = [nn.ReLU(), nn.Tanh(), nn.Sigmoid()]
    several = nn.ModuleList(layers[:1]).extend(layers[1:])
    assert len(several) == 3
    assert list(several) == layers
    assert several[-1] is layers[2]
    assert isinstance(several[1:], nn.ModuleList)
    assert list(several[1:]) == layers[1:]
    with pytest.raises(IndexError):
        several[3]
