"""Making tensors: types, shapes, copies and shared memory, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import refusal_checks_of, written_refusals

import gradcli

#     Python expression in which `torch` is gradcli or PyTorch
SAME_AS_PYTORCH = [
    "torch.tensor(1)",
    "torch.tensor(1.5)",
    "torch.tensor(True)",
    "torch.tensor([])",
    "torch.tensor([[]])",
    "torch.tensor([[1, 2], [3, 4.0]])",
    "torch.tensor([True, 2])",
    "torch.tensor((1, 2))",
    "torch.tensor(range(3))",
    "torch.tensor(2**40)",
    "torch.tensor(1.7, dtype=torch.int64)",
    "torch.tensor([1.0, 2.0], dtype=float)",
    "torch.tensor([1.0, 2.0], dtype=int)",
    "torch.tensor([1.0, 0.0], dtype=bool)",
    "torch.tensor(np.float64(1.5))",
    "torch.tensor([np.float64(1.5)])",
    "torch.tensor([np.float32(1.5), 2])",
    "torch.tensor([np.int8(1)])",
    "torch.tensor([np.int8(1), 1])",
    "torch.tensor(np.ones((2, 2), np.int16))",
    "torch.tensor([torch.tensor(1.0), torch.tensor(2.0)])",
    "torch.tensor([torch.tensor(1), 2.5])",
    "torch.tensor(float('nan'), dtype=torch.float64)",
    "torch.zeros(2, 3)",
    "torch.zeros((2, 3))",
    "torch.zeros([2, 3], dtype=torch.int64)",
    "torch.zeros(())",
    "torch.zeros(0)",
    "torch.ones(torch.zeros(2, 3).shape)",
    "torch.ones(2, dtype=bool)",
    "torch.full((2,), 3)",
    "torch.full((2,), 3.5)",
    "torch.full([2], True)",
    "torch.full((), 3, dtype=torch.float64)",
    "torch.eye(2)",
    "torch.eye(2, 3)",
    "torch.eye(2, dtype=torch.int64)",
    "torch.eye(0, 3)",
    "torch.zeros(size=(2, 1))",
    "torch.zeros(2, device='cpu', pin_memory=False)",
    "torch.full((2,), torch.tensor(3))",
    "torch.full((2,), 2.7, dtype=torch.int64)",
    "torch.full((), -1, dtype=torch.uint8)",
    "torch.scalar_tensor(3)",
    "torch.scalar_tensor(3, dtype=torch.int64)",
    "torch.zeros_like(torch.arange(3))",
    "torch.zeros_like(torch.ones(2, 0), dtype=torch.float64, device='cpu')",
    "torch.ones_like(torch.ones(2, 3).t())",
    "torch.ones_like(torch.tensor(True))",
    "torch.ones_like(torch.arange(2), dtype=torch.float32, requires_grad=True)",
    "torch.full_like(torch.arange(2), 2.7)",
    "torch.full_like(torch.ones(2), torch.tensor(3))",
    "torch.empty_like(torch.ones(0, 2))",
    "torch.ones(2, dtype=torch.float64).new_zeros(2, 3)",
    "torch.ones(2, dtype=torch.float64).new_ones((2,), dtype=torch.int64)",
    "torch.ones(2, dtype=torch.float64).new_full((2,), 3)",
    "torch.arange(3).new_full((2,), 1.5)",
    "torch.ones(2, dtype=torch.float64).new_tensor([1, 2])",
    "torch.arange(3).new_empty((2, 0))",
    "torch.ones(2).new_zeros(2, requires_grad=True)",
    "torch.from_numpy(np.ones(2, np.int8))",
    "torch.as_tensor([1, 2])",
    "torch.as_tensor(np.ones(2), dtype=torch.float32)",
    "torch.as_tensor(np.float32(2))",
]

REFUSED = [
    ("torch.tensor([[1, 2], [3]])", ValueError, "length"),
    ("torch.tensor('a')", TypeError, "str|<U1"),
    ("torch.tensor([1], requires_grad=True)", RuntimeError, "floating point"),
    ("torch.zeros(2, dtype=torch.int64, requires_grad=True)", RuntimeError, "floating point"),
    ("torch.zeros(2.5)", TypeError, "2.5"),
    ("torch.zeros(-1)", RuntimeError, "non-negative"),
    ("torch.full((-1,), 2)", RuntimeError, "negative"),
    ("torch.zeros()", TypeError, "size"),
    ("torch.zeros(2, names=3)", TypeError, "names"),
    ("torch.full(2, 3)", TypeError, "size"),
    ("torch.full((2,), torch.tensor([3]))", TypeError, "fill_value"),
    ("torch.full((2,), 300, dtype=torch.uint8)", RuntimeError, "without overflow"),
    ("torch.eye(-1)", RuntimeError, "n must be greater or equal to 0, got -1"),
    ("torch.eye(0, -3)", RuntimeError, "m must be greater or equal to 0, got -3"),
    ("torch.eye(2.5)", TypeError, "2.5|float"),
    ("torch.zeros_like(3)", TypeError, "int"),
    ("torch.ones_like(torch.ones(2), dtype=torch.int64, requires_grad=True)", RuntimeError, "floating point"),
    ("torch.from_numpy([1])", TypeError, "list"),
]


@pytest.mark.parity
@pytest.mark.parametrize("expression", SAME_AS_PYTORCH)
def test_parity(expression):
    torch = pytest.importorskip("torch")
    ours, theirs = (eval(expression, {"torch": module, "np": np}) for module in (gradcli, torch))
    assert repr(ours) == repr(theirs)
    assert (str(ours.dtype), str(ours.shape)) == (str(theirs.dtype), str(theirs.shape))


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(written_refusals(REFUSED)))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        (1, gradcli.int64, 1),
        (1.5, gradcli.float32, 1.5),
        (True, gradcli.bool, True),
        ([1, 2.5], gradcli.float32, [1.0, 2.5]),
        ([[True], [False]], gradcli.bool, [[True], [False]]),
        (np.array([1.5]), gradcli.float64, [1.5]),
        ([np.float64(1.5)], gradcli.float64, [1.5]),
        ([], gradcli.float32, []),
    ],
)
def test_tensor(data, dtype, values):
    result = gradcli.tensor(data)
    assert result.dtype == dtype
    assert result.tolist() == values
    assert result.is_leaf
    assert not result.requires_grad


@pytest.mark.parametrize("values", [np.ones(2, np.uint16), np.ones(2, np.complex64), np.array(["a"]), None, [None]])
def test_types_without_a_tensor_are_refused_by_name(values):
    with pytest.raises(TypeError, match="can't make a tensor of"):
        gradcli.tensor(values)


def test_tensor_copies_and_from_numpy_shares():
    array = np.ones(2, np.float32)
    assert not np.shares_memory(gradcli.tensor(array).array, array)
    assert gradcli.from_numpy(array).array is array
    assert gradcli.as_tensor(array).array is array
    x = gradcli.from_numpy(array)
    assert gradcli.as_tensor(x) is x
    assert not np.shares_memory(gradcli.tensor(x).array, array)


def test_requires_grad_is_set_by_every_constructor():
    makers = [
        gradcli.tensor([1.0], requires_grad=True),
        gradcli.zeros(1, requires_grad=True),
        gradcli.ones(1, requires_grad=True),
        gradcli.empty(1, requires_grad=True),
        gradcli.full((1,), 1.0, requires_grad=True),
        gradcli.arange(1.0, requires_grad=True),
        gradcli.eye(1, requires_grad=True),
        gradcli.rand(1, requires_grad=True),
        gradcli.randn(1, requires_grad=True),
    ]
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in makers)


def test_values_of_the_constants():
    assert gradcli.zeros(2).tolist() == [0.0, 0.0]
    assert gradcli.ones(1, 2).tolist() == [[1.0, 1.0]]
    assert gradcli.empty(2, 3).shape == (2, 3)
    assert gradcli.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert gradcli.zeros_like(gradcli.ones(2)).tolist() == [0.0, 0.0]
    assert gradcli.ones_like(gradcli.zeros(2)).tolist() == [1.0, 1.0]
    assert gradcli.full_like(gradcli.zeros(2), 3).tolist() == [3.0, 3.0]
    assert math.isnan(gradcli.full((), math.nan).item())


def test_what_is_too_large_becomes_infinite_in_silence():
    assert gradcli.tensor(1e300).item() == math.inf


def test_there_is_no_other_device():
    with pytest.raises(RuntimeError, match="'cuda:0'"):
        gradcli.zeros(2, device="cuda:0")


def test_constants_of_arrays_are_arrays():
    array = np.full(2, 3.0)
    assert gradcli.zeros_like(array).tolist() == [0, 0]
    assert type(gradcli.ones_like(array)) is np.ndarray


@pytest.mark.parametrize("library", ["gradcli", pytest.param("torch", marks=pytest.mark.parity)])
@pytest.mark.parametrize(
    "call",
    [
        lambda torch: torch.full((1,), 1e300),
        lambda torch: torch.full((1,), 2**63),
        lambda torch: torch.full_like(torch.ones(1), 1e300),
        lambda torch: torch.scalar_tensor(1e300),
        lambda torch: torch.tensor([1, 300], dtype=torch.uint8),
        lambda torch: torch.tensor(float("nan"), dtype=torch.int64),
        lambda torch: torch.linspace(0, 1e300, 2),
        lambda torch: torch.ones(1).fill_(1e300),
        lambda torch: torch.ones(1, dtype=torch.uint8).fill_(-300),
        lambda torch: torch.scatter(torch.ones(1), 0, torch.tensor([0]), 1e300),
        lambda torch: torch.ones(1).__setitem__(0, 1e300),
        lambda torch: torch.nn.functional.pad(torch.ones(1), (1, 1), value=1e300),
        lambda torch: torch.nn.functional.hardtanh(torch.ones(1), -1e300, 1e300),
    ],
)
def test_numbers_beyond_a_type_are_refused(library, call):
    torch = pytest.importorskip(library)
    with pytest.raises(RuntimeError, match="without overflow"):
        call(torch)


def test_numbers_below_zero_wrap_around_in_unsigned_types():
    assert gradcli.tensor([-1], dtype=gradcli.uint8).tolist() == [255]
    assert gradcli.full((1,), -1, dtype=gradcli.uint8).tolist() == [255]
    assert gradcli.zeros(1, dtype=gradcli.uint8).fill_(-1).tolist() == [255]
