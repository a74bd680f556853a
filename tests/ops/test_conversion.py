"""Copies, changes of type, and which type operations on several give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, transposed

import gradcli

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]

CASES = [
    Case("clone", lambda torch, x: x.clone(), transposed(real(2, 3)), expected=np.copy),
    Case("clone function", lambda torch, x: torch.clone(x), real(2, 3), expected=np.copy),
    Case("clone 0-d", lambda torch, x: x.clone(), real(), expected=np.copy),
]

REFUSALS = [
    Refusal("to a list", lambda torch: torch.ones(2).to([1]), TypeError, "list"),
    Refusal("to five things", lambda torch: torch.ones(2).to("cpu", None, False, False, 1), TypeError, "arguments"),
    Refusal("text", lambda torch: torch.result_type(torch.ones(2), "a"), TypeError, "str"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_clone_has_memory_of_its_own_and_to_has_it_only_where_the_type_changes():
    x = gradcli.ones(3)
    assert not np.shares_memory(x.clone().array, x.array)
    assert x.to(gradcli.float32) is x
    assert x.to(gradcli.float64).dtype == gradcli.float64


@pytest.mark.parametrize(
    ("call", "dtype", "same"),
    [
        (lambda torch, x: x.to("cpu"), "float32", True),
        (lambda torch, x: x.to(), "float32", True),
        (lambda torch, x: x.to(None), "float32", True),
        (lambda torch, x: x.to(torch.int64, True, True), "int64", False),
        (lambda torch, x: x.to(torch.float32, False, True), "float32", False),
        (lambda torch, x: x.to("cpu", torch.float64, True), "float64", False),
        (lambda torch, x: x.to(torch.ones(2, dtype=torch.int8)), "int8", False),
        (lambda torch, x: x.to(tensor=torch.ones(2)), "float32", True),
        (lambda torch, x: x.to(device="cpu", dtype=torch.float64), "float64", False),
        (lambda torch, x: x.to(copy=True), "float32", False),
        (lambda torch, x: x.type(torch.float64), "float64", False),
    ],
)
@pytest.mark.parametrize("library", ["gradcli", pytest.param("torch", marks=pytest.mark.parity)])
def test_to_takes_a_type_a_device_or_a_tensor(library, call, dtype, same):
    torch = pytest.importorskip(library)
    x = torch.ones(3, requires_grad=True)
    result = call(torch, x)
    assert (result is x) == same
    assert str(result.dtype) == f"torch.{dtype}"
    assert result.requires_grad == dtype.startswith("float")


def test_there_is_no_other_device():
    with pytest.raises(RuntimeError, match="'cuda'"):
        gradcli.ones(2).to("cuda")


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("library", ["gradcli", pytest.param("torch", marks=pytest.mark.parity)])
def test_the_type_of_a_tensor_has_a_name(library, name):
    torch = pytest.importorskip(library)
    names = ["Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "Float", "Double"]
    assert torch.ones(2, dtype=getattr(torch, name)).type() == f"torch.{names[TYPES.index(name)]}Tensor"


def test_gradient_through_a_change_of_type_comes_back_in_the_first_type():
    x = gradcli.ones(3, requires_grad=True)
    (x.to(gradcli.float64) * 2).sum().backward()
    assert x.grad.dtype == gradcli.float32
    assert x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("method", "dtype"),
    [("half", "float16"), ("float", "float32"), ("double", "float64"), ("int", "int32"), ("long", "int64")],
)
def test_methods_named_after_a_type_convert_to_it(method, dtype):
    x = gradcli.tensor([1.5, 2.0])
    assert str(getattr(x, method)().dtype) == f"torch.{dtype}"
    assert x.float() is x


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (gradcli.tensor([1]), 2.5, gradcli.float32),
        (gradcli.ones(2), gradcli.ones((), dtype=gradcli.float64), gradcli.float32),
        (gradcli.tensor(1), gradcli.tensor([1], dtype=gradcli.int8), gradcli.int8),
        (1, True, gradcli.int64),
    ],
)
def test_result_type(first, second, expected):
    assert gradcli.result_type(first, second) is expected


def test_promote_types_and_can_cast():
    assert gradcli.promote_types(gradcli.uint8, gradcli.int8) is gradcli.int16
    assert gradcli.can_cast(gradcli.float64, gradcli.float16)
    assert not gradcli.can_cast(gradcli.float16, gradcli.int64)
    assert not gradcli.can_cast(gradcli.uint8, gradcli.bool)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["promote_types", "can_cast"])
def test_types_parity(name):
    torch = pytest.importorskip("torch")
    for first, second in itertools.product(TYPES, TYPES):
        ours, theirs = (
            getattr(module, name)(getattr(module, first), getattr(module, second)) for module in (gradcli, torch)
        )
        assert str(ours) == str(theirs)
