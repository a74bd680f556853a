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


def test_an_operation_that_fails_on_tensors_says_why():
    with pytest.raises(RuntimeError, match="must match the size"):
        gradcli.ones(2) + gradcli.ones(3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'input'"):
        gradcli.exp()
