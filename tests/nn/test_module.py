"""Module: registration by attribute, walking, modes, hooks, text."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gradcli
from gradcli import nn


class Block(nn.Module):
    """A layer with a parameter of its own, a child before it and a buffer after it."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(2, 2)
        self.scale = nn.Parameter(gradcli.ones(2))
        self.register_buffer("count", gradcli.zeros(1))

    def forward(self, input):
        return self.child(input) * self.scale


def names(pairs) -> list[str]:
    return [name for name, _ in pairs]


# --- registering ------------------------------------------------------------------------------------------------------


def test_attributes_are_registered_by_what_they_are():
    block = Block()
    assert names(block.named_parameters()) == ["scale", "child.weight", "child.bias"]
    assert names(block.named_buffers()) == ["count"]
    assert names(block.named_children()) == ["child"]
    assert names(block.named_modules()) == ["", "child"]
    assert {"scale", "count", "child"} <= set(dir(block))


def test_a_plain_tensor_is_an_ordinary_attribute():
    block = Block()
    block.mask = gradcli.ones(2)
    assert "mask" not in names(block.named_parameters()) + names(block.named_buffers())
    assert block.mask.tolist() == [1, 1]


def test_a_replaced_child_keeps_its_place():
    model = nn.Sequential({"first": nn.Linear(2, 3), "fc": nn.Linear(3, 4), "last": nn.ReLU()})
    model.fc = nn.Linear(3, 10)
    assert names(model.named_children()) == ["first", "fc", "last"]
    assert model.fc.weight.shape == (10, 3)
    assert model.fc.weight.requires_grad


def test_a_replaced_parameter_keeps_its_place():
    layer = nn.Linear(2, 3)
    layer.weight = nn.Parameter(gradcli.ones(3, 2))
    assert names(layer.named_parameters()) == ["weight", "bias"]
    assert layer.weight.tolist() == [[1, 1]] * 3


@pytest.mark.parametrize("first", ["parameter", "module", "buffer", "attribute"])
@pytest.mark.parametrize("second", ["parameter", "module"])
def test_an_attribute_may_change_its_kind(first, second):
    values = {"parameter": nn.Parameter(gradcli.ones(1)), "module": nn.ReLU(), "attribute": 3}
    block = nn.Module()
    if first == "buffer":
        block.register_buffer("it", gradcli.ones(1))
    else:
        block.it = values[first]
    block.it = values[second]
    assert block.it is values[second]
    assert names(block.named_parameters()) == (["it"] if second == "parameter" else [])
    assert names(block.named_children()) == (["it"] if second == "module" else [])
    assert names(block.named_buffers()) == []


def test_parameters_children_and_buffers_may_become_none_and_come_back():
    block = Block()
    block.scale = None
    block.child = None
    block.count = None
    assert (block.scale, block.child, block.count) == (None, None, None)
    assert block.state_dict() == {}
    assert list(block.modules()) == [block]
    block.scale = nn.Parameter(gradcli.zeros(2))
    block.count = gradcli.ones(1)
    assert list(block.state_dict()) == ["scale", "count"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scale", gradcli.ones(2), "cannot assign 'Tensor' as parameter 'scale' (torch.nn.Parameter or None expected)"),
        ("child", gradcli.ones(2), "cannot assign 'Tensor' as child module 'child' (torch.nn.Module or None expected)"),
        ("count", 3, "cannot assign 'int' as buffer 'count' (torch.Tensor or None expected)"),
    ],
)
def test_values_of_another_kind_are_refused(name, value, message):
    block = Block()
    before = getattr(block, name)
    with pytest.raises(TypeError) as caught:
        setattr(block, name, value)
    assert str(caught.value) == message
    assert getattr(block, name) is before


def test_assigning_before_init_is_refused():
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


@pytest.mark.parametrize("name", ["", "a.b"])
@pytest.mark.parametrize("register", ["register_parameter", "register_buffer", "add_module"])
def test_names_that_would_break_dotted_paths_are_refused(register, name):
    with pytest.raises(KeyError, match="be empty or contain"):
        getattr(nn.Module(), register)(name, None)


def test_deleting_attributes_unregisters_them():
    block = Block()
    block.note = "kept"
    del block.scale, block.child, block.count, block.note
    assert list(block.state_dict()) == []
    assert list(block.modules()) == [block]
    for name in ("scale", "child", "count", "note"):
        with pytest.raises(AttributeError, match=f"'Block' object has no attribute '{name}'"):
            getattr(block, name)
    with pytest.raises(AttributeError):
        del block.note


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        nn.Module()(1)


# --- walking ----------------------------------------------------------------------------------------------------------


def test_shared_parameters_and_layers_count_once():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    tied = nn.Linear(2, 2)
    tied.weight = shared.weight
    model.append(tied)
    assert names(model.named_modules()) == ["", "0", "1", "3"]
    assert names(model.named_parameters()) == ["0.weight", "0.bias", "3.bias"]
    assert len(list(model.parameters())) == 3
    # A file has every name, as PyTorch's has.
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]


def test_recurse_and_prefix():
    model = nn.Sequential(Block(), nn.Linear(2, 1))
    assert names(model.named_parameters(recurse=False)) == []
    assert names(model[0].named_parameters(recurse=False)) == ["scale"]
    assert names(model[0].named_buffers(prefix="net")) == ["net.count"]
    assert names(model.named_parameters(prefix="net"))[0] == "net.0.scale"


def test_get_submodule():
    model = nn.Sequential(Block())
    assert model.get_submodule("") is model
    assert model.get_submodule("0.child") is model[0].child
    with pytest.raises(AttributeError, match="Block has no attribute `chld`"):
        model.get_submodule("0.chld")


def test_apply_visits_children_first_and_returns_the_module():
    visited = []
    model = nn.Sequential(Block())
    assert model.apply(visited.append) is model
    assert visited == [model[0].child, model[0], model]


# --- modes and gradients ----------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_layer_and_return_the_module():
    model = nn.Sequential(Block(), nn.Dropout())
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())


def test_requires_grad_freezes_and_thaws():
    model = nn.Sequential(Block())
    assert model.requires_grad_(False) is model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model[0].child.requires_grad_()
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == [
        "0.child.weight",
        "0.child.bias",
    ]


def test_zero_grad_forgets_or_zeroes_even_what_is_not_finite():
    layer = nn.Linear(2, 1)
    layer.weight.grad = gradcli.tensor([[np.nan, np.inf]])
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0, 0]]
    assert layer.bias.grad is None
    layer.zero_grad()
    assert layer.weight.grad is None


def test_forward_hooks_see_and_replace_results_until_removed():
    layer, seen = nn.ReLU(), []
    first = layer.register_forward_hook(lambda module, args, result: seen.append((module, args, result)))
    second = layer.register_forward_hook(lambda module, args, result: result + 1)
    input = gradcli.tensor([-1.0, 2.0])
    assert layer(input).tolist() == [1, 3]
    module, args, result = seen[0]
    assert module is layer
    assert args[0] is input
    assert result.tolist() == [0, 2]
    first.remove()
    second.remove()
    second.remove()
    assert layer(input).tolist() == [0, 2]
    assert len(seen) == 1


def test_a_hook_in_a_with_block_ends_with_it():
    layer, seen = nn.ReLU(), []
    with layer.register_forward_hook(lambda module, args, result: seen.append(result)):
        layer(gradcli.ones(1))
    layer(gradcli.ones(1))
    assert len(seen) == 1


def test_a_module_in_another_element_type_computes_in_it():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    module.double()
    assert {str(tensor.dtype) for tensor in module.state_dict().values()} == {"torch.float64", "torch.int64"}
    assert module(gradcli.rand(1, 1, 4, 4, dtype=gradcli.float64)).dtype is gradcli.float64
    assert module.float().to(gradcli.float32)[0].weight.dtype is gradcli.float32
    assert module.to("cpu", gradcli.float64)[0].weight.dtype is gradcli.float64
    assert module.to(gradcli.ones(1))[0].weight.dtype is gradcli.float32
    assert module.to(dtype=gradcli.float64).double()[0].weight.dtype is gradcli.float64
    with pytest.raises(TypeError, match="floating point"):
        module.to(gradcli.int64)


def test_a_module_can_be_moved_to_where_it_is():
    module = nn.Linear(1, 2)
    assert module.to("cpu") is module.to(gradcli.device("cpu")) is module.to(device="cpu") is module.cpu() is module
    with pytest.raises(RuntimeError, match="there is no 'cuda'"):
        module.to("cuda")


def test_a_value_beyond_the_element_type_becomes_infinite_without_a_word():
    module = nn.Linear(2, 1)
    module.weight.data = gradcli.full((1, 2), 1e30)
    with np.errstate(all="raise"):
        module.to(gradcli.float16)
    assert module.weight.tolist() == [[np.inf, np.inf]]


def test_a_copy_shares_nothing():
    block = Block()
    twin = copy.deepcopy(block)
    assert list(twin.state_dict()) == list(block.state_dict())
    assert isinstance(twin.scale, nn.Parameter)
    twin.scale.data = gradcli.zeros(2)
    gradcli.nn.init.zeros_(twin.child.weight)
    assert block.scale.tolist() == [1, 1]
    assert block.child.weight.array.any()


# --- text -------------------------------------------------------------------------------------------------------------


def test_text_of_nested_layers_is_indented_as_pytorchs():
    block = Block()
    block.nothing = nn.ReLU()
    block.nothing = None
    block.tail = nn.Sequential(nn.ReLU(inplace=True), nn.Sequential())
    assert repr(block) == (
        "Block(\n"
        "  (child): Linear(in_features=2, out_features=2, bias=True)\n"
        "  (nothing): None\n"
        "  (tail): Sequential(\n"
        "    (0): ReLU(inplace=True)\n"
        "    (1): Sequential()\n"
        "  )\n"
        ")"
    )


def test_extra_text_may_have_several_lines():
    class Noted(nn.Module):
        def extra_repr(self) -> str:
            return "first\nsecond"

    assert repr(Noted()) == "Noted(\n  first\n  second\n)"
