"""Sequential."""

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
