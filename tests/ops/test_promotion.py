"""Type promotion: PyTorch's rules for all pairs of types, for tensors with dims, 0-d tensors and Python numbers."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np
import pytest

import gradcli
from gradcli.ops.promotion import as_element, promote, promote_types, require_broadcastable, result_type

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
NUMBERS = [True, 2, 2.5]
DIMS, ZERO_DIM = (2,), ()


def filled(module, name, shape):
    return module.ones(shape, dtype=getattr(module, name))


#     shape and type of the first, of the second, result
EXAMPLES = [
    (DIMS, "float32", DIMS, "float64", "float64"),
    (DIMS, "float32", ZERO_DIM, "float64", "float32"),
    (DIMS, "int64", ZERO_DIM, "float32", "float32"),
    (DIMS, "int64", ZERO_DIM, "float64", "float64"),
    (DIMS, "int8", ZERO_DIM, "int64", "int8"),
    (DIMS, "bool", ZERO_DIM, "int8", "int8"),
    (DIMS, "uint8", DIMS, "int8", "int16"),
    (DIMS, "int64", DIMS, "float16", "float16"),
    (ZERO_DIM, "float16", ZERO_DIM, "float32", "float32"),
]


@pytest.mark.parametrize(("shape", "name", "other_shape", "other", "result"), EXAMPLES)
def test_promotion_of_tensors(shape, name, other_shape, other, result):
    first, second = filled(gradcli, name, shape), filled(gradcli, other, other_shape)
    assert (first + second).dtype == getattr(gradcli, result)
    assert (second + first).dtype == getattr(gradcli, result)


@pytest.mark.parametrize(
    ("name", "number", "result"),
    [
        ("float32", 2.5, "float32"),
        ("float16", 2.5, "float16"),
        ("int64", 2.5, "float32"),
        ("int8", 2, "int8"),
        ("bool", 2, "int64"),
        ("bool", True, "bool"),
        ("bool", 2.5, "float32"),
    ],
)
def test_promotion_with_a_number(name, number, result):
    x = filled(gradcli, name, DIMS)
    assert (x * number).dtype == getattr(gradcli, result)
    assert (number * x).dtype == getattr(gradcli, result)


@pytest.mark.parity
@pytest.mark.parametrize("operation", ["add", "mul", "truediv", "lt"])
@pytest.mark.parametrize("name", TYPES)
def test_parity_of_promotion(operation, name):
    torch = pytest.importorskip("torch")
    function = getattr(operator, operation)
    for shape in (DIMS, ZERO_DIM):
        ours, theirs = filled(gradcli, name, shape), filled(torch, name, shape)
        for other, other_shape in itertools.product(TYPES, (DIMS, ZERO_DIM)):
            one = function(ours, filled(gradcli, other, other_shape))
            two = function(theirs, filled(torch, other, other_shape))
            assert str(one.dtype) == str(two.dtype), f"{name} {shape} with {other} {other_shape}"
        for number in NUMBERS:
            one, two = function(ours, number), function(theirs, number)
            assert str(one.dtype) == str(two.dtype), f"{name} {shape} with {number}"
            one, two = function(number, ours), function(number, theirs)
            assert str(one.dtype) == str(two.dtype), f"{number} with {name} {shape}"


@pytest.mark.parity
@pytest.mark.parametrize(("first", "second"), [*itertools.combinations_with_replacement(TYPES, 2)])
def test_parity_of_promote_types(first, second):
    torch = pytest.importorskip("torch")
    theirs = torch.promote_types(getattr(torch, first), getattr(torch, second))
    assert str(theirs) == f"torch.{promote_types(np.dtype(first), np.dtype(second))}"


def test_gradients_have_the_type_of_their_inputs():
    x = gradcli.ones(2, requires_grad=True)
    y = gradcli.ones(2, dtype=gradcli.float64, requires_grad=True)
    z = gradcli.ones(2).to(gradcli.float16).requires_grad_()
    (x * y * z).sum().backward()
    assert [t.grad.dtype for t in (x, y, z)] == [gradcli.float32, gradcli.float64, gradcli.float16]


def test_promote_copies_only_what_changes():
    first, second = np.ones(2), np.ones((3, 2), np.float32)
    promoted_first, promoted_second = promote(first, second)
    assert promoted_first is first
    assert promoted_second.dtype == np.float64


def test_result_type_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="expected a tensor or a number, but got str"):
        result_type(np.ones(2), "a")


@pytest.mark.parametrize(("first", "second"), [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((0, 3), (1, 3))])
def test_broadcastable_shapes_pass(first, second):
    require_broadcastable(first, second)
    assert np.broadcast_shapes(first, second)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((2,), (3,), r"a \(2\).*b \(3\) at non-singleton dimension 0"),
        ((4, 2, 3), (5, 3), r"a \(2\).*b \(5\) at non-singleton dimension 1"),
        ((0,), (2,), r"a \(0\).*b \(2\)"),
    ],
)
def test_other_shapes_are_refused(first, second, message):
    with pytest.raises(RuntimeError, match=message):
        require_broadcastable(first, second)


@pytest.mark.parametrize(
    ("number", "dtype", "expected"),
    [
        (2.7, np.int64, 2),
        (-2.7, np.int8, -2),
        (-1, np.uint8, 255),
        (-255, np.uint8, 1),
        (0.5, np.bool_, True),
        (-math.inf, np.float32, -math.inf),
        (2, np.float16, 2.0),
    ],
)
def test_a_number_becomes_an_element(number, dtype, expected):
    element = as_element(number, np.dtype(dtype))
    assert element.dtype == dtype
    assert element.item() == expected


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(300, np.uint8), (-256, np.uint8), (128, np.int8), (math.nan, np.int64), (math.inf, np.int32), (1e39, np.float32)],
)
def test_a_number_out_of_reach_becomes_no_element(number, dtype):
    with pytest.raises(RuntimeError, match="without overflow"):
        as_element(number, np.dtype(dtype))


def test_whole_numbers_of_more_than_64_bits_are_refused():
    for number in (2**64, -(2**63) - 1):
        for tensor in (np.ones(2), np.ones(2, np.int64)):
            with pytest.raises(OverflowError, match="64 bits"):
                promote(tensor, number)
    assert promote(np.ones(2), 2**64 - 1)[1] == 2.0**64
