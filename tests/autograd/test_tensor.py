"""Tensor: attributes, flags, shared memory, conversion to Python and NumPy, copies, text, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import gradcli
from gradcli.autograd import Tensor
from gradcli.nn import Parameter


def leaf(values=(2.0, 3.0)):
    return gradcli.tensor(values, requires_grad=True)


# --- what it is -------------------------------------------------------------------------------------------------------


def test_attributes():
    x = gradcli.zeros(2, 3)
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim(), x.numel(), len(x)) == ((2, 3), (2, 3), 3, 2, 2, 6, 2)
    assert x.dtype is gradcli.float32
    assert (x.grad, x.grad_fn, x.is_leaf, x.requires_grad) == (None, None, True, False)
    assert x.is_floating_point()
    assert not gradcli.tensor(1).is_floating_point()


def test_leaves_and_results():
    x = leaf()
    assert x.is_leaf
    assert (x * 2).grad_fn.name() == "MulBackward0"
    assert not (x * 2).is_leaf
    assert (gradcli.ones(2) * 2).is_leaf
    assert (x > 1).is_leaf


def test_integer_results_require_no_gradient():
    x = leaf()
    for result in (x > 2, x.argmax(), x.to(gradcli.int64), x.isnan()):
        assert not result.requires_grad


def test_tensors_are_hashed_by_identity():
    x, same_values = leaf(), leaf()
    assert len({x, x, same_values}) == 2


# --- flags ------------------------------------------------------------------------------------------------------------


def test_requires_grad_can_be_switched_on_leaves():
    x = gradcli.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert not x.requires_grad_(False).requires_grad
    x.requires_grad = True
    assert (x * 2).requires_grad


def test_detach_and_data_share_memory_and_leave_the_graph():
    x = leaf()
    y = x * 2
    for part in (y.detach(), y.data, x.detach(), x.data):
        assert not part.requires_grad
        assert part.is_leaf
    assert np.shares_memory(x.detach().array, x.array)
    assert np.shares_memory(y.data.array, y.array)


def test_assigning_data_replaces_the_values_without_being_recorded():
    x = leaf()
    x.data = gradcli.zeros(2)
    assert x.tolist() == [0.0, 0.0]
    assert x.requires_grad
    assert x.is_leaf


def test_grad_can_be_assigned_and_is_added_to():
    x = leaf()
    x.grad = gradcli.ones(2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    x.grad = None
    assert x.grad is None


# --- Python and NumPy -------------------------------------------------------------------------------------------------


def test_conversion_to_python():
    assert gradcli.tensor([[2.5]]).item() == 2.5
    assert type(gradcli.tensor(3).item()) is int
    assert gradcli.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert gradcli.tensor(2.5, requires_grad=True).tolist() == 2.5
    assert float(gradcli.tensor([2.5])) == 2.5
    assert int(gradcli.tensor(-2.7)) == -2
    assert bool(gradcli.tensor([[3]]))
    assert not gradcli.tensor(0.0)
    assert [1, 2, 3][gradcli.tensor(1)] == 2
    assert list(range(gradcli.tensor(2))) == [0, 1]


def test_format():
    assert f"{gradcli.tensor(2.5, requires_grad=True):.2f}" == "2.50"
    assert f"{gradcli.tensor(3):03d}" == "003"
    assert f"{gradcli.tensor([2.5])}" == "tensor([2.5000])"


def test_numpy_shares_memory():
    x = gradcli.ones(2)
    assert x.numpy() is x.array
    assert np.asarray(x) is x.array
    assert x.detach().numpy().dtype == np.float32
    assert np.array(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), x.array)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, x: a + x, [3.0, 5.0]),
        (lambda a, x: a - x, [-1.0, -1.0]),
        (lambda a, x: a * x, [2.0, 6.0]),
        (lambda a, x: a / x, [0.5, 2 / 3]),
        (lambda a, x: a @ x, 8.0),
        (lambda a, x: a < x, [True, True]),
    ],
)
def test_an_array_on_the_left_leaves_the_work_to_the_tensor(function, expected):
    x = gradcli.tensor(np.array([2.0, 3.0]), requires_grad=True)
    result = function(np.array([1.0, 2.0]), x)
    assert isinstance(result, Tensor)
    assert result.tolist() == pytest.approx(expected)


def test_a_numpy_number_on_the_left():
    x = leaf()
    result = np.float32(2) * x
    assert isinstance(result, Tensor)
    result.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_leaf_has_values_gradient_and_graph_of_its_own(duplicate):
    x = leaf()
    recorded = x * 2
    recorded.sum().backward()
    other = duplicate(x)
    assert (other.tolist(), other.grad.tolist(), other.requires_grad) == ([2.0, 3.0], [2.0, 2.0], True)
    assert not np.shares_memory(other.array, x.array)
    (other * 3).sum().backward()
    assert other.grad.tolist() == [5.0, 5.0]
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_copied_parameter_stays_one():
    other = copy.deepcopy(Parameter(gradcli.ones(2), requires_grad=False))
    assert isinstance(other, Parameter)
    assert not other.requires_grad


# --- text -------------------------------------------------------------------------------------------------------------

TEXTS = [
    "torch.tensor([56.0, 143.0])",
    "torch.tensor([1.0, 2.0], requires_grad=True)",
    "torch.tensor([1.0, 2.0], requires_grad=True) * 2",
    "torch.tensor([1.0, 2.0], requires_grad=True).sum()",
    "(torch.tensor([1.0, 2.0], requires_grad=True) * 2).detach()",
    "3 * torch.tensor([2.0, 3.0], requires_grad=True) ** 3 - torch.tensor([6.0, 4.0]) ** 2",
    "torch.tensor([1.0], dtype=torch.float64, requires_grad=True).exp()",
    "torch.tensor([[1, 2], [3, 4]])",
    "torch.tensor([True])",
    "torch.tensor([])",
    "torch.zeros(0, 3)",
    "torch.tensor([1.0, 2.0], requires_grad=True) > 1",
    "torch.ones(20, 20, requires_grad=True).t()",
    "torch.ones(2, 3).shape",
    "torch.ones(2).dtype",
]


def test_the_tutorials_text():
    a, b = leaf([2.0, 3.0]), leaf([6.0, 4.0])
    assert repr(3 * a**3 - b**2) == "tensor([-12.,  65.], grad_fn=<SubBackward0>)"
    assert repr(a) == "tensor([2., 3.], requires_grad=True)"
    assert str(a.sum()) == "tensor(5., grad_fn=<SumBackward0>)"


@pytest.mark.parity
@pytest.mark.parametrize("expression", TEXTS)
def test_parity_of_text(expression):
    torch = pytest.importorskip("torch")
    assert repr(eval(expression, {"torch": gradcli})) == repr(eval(expression, {"torch": torch}))


# --- refusals ---------------------------------------------------------------------------------------------------------


def set_attribute(tensor, name, value):
    setattr(tensor, name, value)


#     what, call on a leaf that requires gradients, error, message
REFUSALS = [
    ("integers", lambda torch, x: torch.tensor([1]).requires_grad_(), RuntimeError, "floating point"),
    (
        "bools",
        lambda torch, x: set_attribute(torch.tensor([True]), "requires_grad", True),
        RuntimeError,
        "floating point",
    ),
    ("off on a non-leaf", lambda torch, x: set_attribute(x * 2, "requires_grad", False), RuntimeError, "leaf"),
    ("on on a non-leaf", lambda torch, x: set_attribute(x * 2, "requires_grad", True), RuntimeError, "leaf"),
    ("method on a non-leaf", lambda torch, x: (x * 2).requires_grad_(False), RuntimeError, "leaf"),
    ("retain_grad", lambda torch, x: torch.ones(2).retain_grad(), RuntimeError, "retain_grad"),
    ("data", lambda torch, x: set_attribute(x, "data", torch.tensor([1, 2])), RuntimeError, "float|type"),
    ("grad number", lambda torch, x: set_attribute(x, "grad", 3.0), TypeError, "Tensor or None but got .*float"),
    ("grad shape", lambda torch, x: set_attribute(x, "grad", torch.ones(3)), RuntimeError, r"\[3\].*\[2\]"),
    (
        "grad type",
        lambda torch, x: set_attribute(x, "grad", torch.ones(2, dtype=torch.float64)),
        RuntimeError,
        "gradient",
    ),
    ("numpy", lambda torch, x: x.numpy(), RuntimeError, r"Can't call numpy\(\).*detach"),
    ("asarray", lambda torch, x: np.asarray(x * 2), RuntimeError, r"Can't call numpy\(\)"),
    ("item", lambda torch, x: x.item(), RuntimeError, "2 elements cannot be converted to Scalar"),
    ("float", lambda torch, x: float(x), ValueError, "only one element tensors"),
    ("int", lambda torch, x: int(torch.ones(0)), ValueError, "only one element tensors"),
    ("bool", lambda torch, x: bool(x), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    ("bool of nothing", lambda torch, x: bool(torch.ones(0)), RuntimeError, "Boolean value of Tensor with no values"),
    ("index of floats", lambda torch, x: [1, 2][torch.tensor(1.0)], TypeError, "only integer tensors"),
    ("index of several", lambda torch, x: [1, 2][torch.tensor([1, 1])], TypeError, "only integer tensors"),
    ("format", lambda torch, x: f"{x:.2f}", TypeError, "unsupported format string"),
    ("length", lambda torch, x: len(torch.tensor(1)), TypeError, "0-d"),
    ("size", lambda torch, x: x.size(1), IndexError, r"range of \[-1, 0\], but got 1"),
    ("deepcopy", lambda torch, x: copy.deepcopy(x * 2), RuntimeError, "leaves|leaf"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusal(call, error, message):
    with pytest.raises(error, match=message):
        call(gradcli, leaf())


@pytest.mark.parity
@pytest.mark.parametrize(("call", "error"), [r[1:3] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_parity_of_refusals(call, error):
    torch = pytest.importorskip("torch")
    with pytest.raises(error):
        call(torch, torch.tensor([2.0, 3.0], requires_grad=True))


def test_a_numpy_function_is_refused_instead_of_losing_the_graph():
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.sin(leaf())


def test_item_of_nan_is_nan():
    assert math.isnan(gradcli.tensor(math.nan).item())
