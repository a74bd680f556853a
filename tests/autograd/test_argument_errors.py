"""What stands in the place of a tensor is named in PyTorch's words, for operations and for what is composed of them."""

from __future__ import annotations

import pytest

import gradcli
import gradcli.nn.functional

CALLS = {
    "exp of a number": (lambda torch: torch.exp(1.0), "exp(): argument 'input' (position 1) must be Tensor, not float"),
    "exp of a list": (lambda torch: torch.exp([1.0]), "exp(): argument 'input' (position 1) must be Tensor, not list"),
    "by name": (lambda torch: torch.sin(input=None), "sin(): argument 'input' must be Tensor, not NoneType"),
    "second": (
        lambda torch: torch.index_select(torch.ones(2), 0, 1),
        "index_select(): argument 'index' (position 3) must be Tensor, not int",
    ),
    "sum of a number": (lambda torch: torch.sum(2), "sum(): argument 'input' (position 1) must be Tensor, not int"),
    "einsum": (
        lambda torch: torch.einsum("i,i", torch.ones(2), 1.0),
        "expected Tensor as element 1 in argument 1, but got float",
    ),
    "layer": (
        lambda torch: torch.nn.functional.gelu("a"),
        "gelu(): argument 'input' (position 1) must be Tensor, not str",
    ),
}


@pytest.mark.parametrize("library", ["gradcli", pytest.param("torch", marks=pytest.mark.parity)])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_tensor_is_named(library, name):
    torch = pytest.importorskip(library)
    call, message = CALLS[name]
    with pytest.raises(TypeError) as caught:
        call(torch)
    assert str(caught.value) == message
    assert caught.value.__cause__ is None


COMPOSED = {
    "flatten": lambda torch: torch.flatten(1.0),
    "square": lambda torch: torch.square(2),
    "isnan": lambda torch: torch.isnan(1.0),
    "clone": lambda torch: torch.clone([1.0]),
    "roll": lambda torch: torch.roll([1.0, 2.0], 1),
    "outer": lambda torch: torch.outer(torch.ones(2), 1.0),
    "sort": lambda torch: torch.sort([2.0, 1.0]),
    "nonzero": lambda torch: torch.nonzero(1),
    "linear": lambda torch: torch.nn.functional.linear([1.0], torch.ones(1, 1)),
    "conv2d": lambda torch: torch.nn.functional.conv2d(torch.ones(1, 1, 2, 2), 1.0),
    "cross_entropy": lambda torch: torch.nn.functional.cross_entropy([1.0], torch.tensor(0)),
    "dropout": lambda torch: torch.nn.functional.dropout(1.0),
}


@pytest.mark.parametrize("library", ["gradcli", pytest.param("torch", marks=pytest.mark.parity)])
@pytest.mark.parametrize("name", COMPOSED)
def test_functions_composed_of_operations_refuse_it_too(library, name):
    torch = pytest.importorskip(library)
    with pytest.raises(TypeError, match=name):
        COMPOSED[name](torch)


def test_an_operation_that_fails_on_tensors_says_why():
    with pytest.raises(RuntimeError, match="must match the size"):
        gradcli.ones(2) + gradcli.ones(3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'input'"):
        gradcli.exp()
