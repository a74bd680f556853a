"""Declaring operations: what is called, saved and recorded, how rules are run, and which declarations are refused."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.autograd import Tensor
from gradcli.autograd import operation as operation_module
from gradcli.autograd.operation import OPERATIONS, op, tensor_method
from gradcli.nn import functional


@pytest.fixture
def registry(monkeypatch):
    """A registry of its own, so that what a test declares is gone afterwards."""
    fresh = {}
    monkeypatch.setattr(operation_module, "OPERATIONS", fresh)
    return fresh


@pytest.fixture
def scaled_sum(registry):
    """first * factor + second, with an extra result, one rule for both inputs, and a log of what the rule got."""
    log = []

    @op("ScaledSumBackward0", extras=("factors",))
    def scaled_sum(first, second, factor=2.0):
        """A scaled sum."""
        return first * factor + second, np.full(np.shape(first), factor)

    @scaled_sum.gradients("first", "second")
    def rule(grad, factors, second_shape, out, needs):
        log.append({"needs": needs, "shape": second_shape, "out": out, "grad": grad})
        return (grad * factors if needs[0] else None), (grad if needs[1] else None)

    scaled_sum.log = log
    return scaled_sum


def leaf(values=(1.0, 2.0)):
    return gradcli.tensor(values, requires_grad=True)


# --- calling ----------------------------------------------------------------------------------------------------------


def test_an_operation_computes_on_arrays_without_recording(scaled_sum):
    result = scaled_sum(np.ones(2), np.ones(2), factor=3.0)
    assert isinstance(result, np.ndarray)
    assert result.tolist() == [4.0, 4.0]


def test_only_the_first_result_reaches_the_caller(scaled_sum):
    result = scaled_sum(leaf(), gradcli.ones(2))
    assert isinstance(result, Tensor)
    assert result.tolist() == [3.0, 5.0]


def test_arguments_by_position_or_name_are_recorded_alike(scaled_sum):
    for call in (
        lambda x, y: scaled_sum(x, y, 3.0),
        lambda x, y: scaled_sum(x, second=y, factor=3.0),
        lambda x, y: scaled_sum(factor=3.0, second=y, first=x),
    ):
        x, y = leaf(), leaf()
        call(x, y).sum().backward()
        assert (x.grad.tolist(), y.grad.tolist()) == ([3.0, 3.0], [1.0, 1.0])


def test_the_function_keeps_its_name_and_documentation(scaled_sum, registry):
    assert (scaled_sum.__name__, scaled_sum.__doc__) == ("scaled_sum", "A scaled sum.")
    assert registry["scaled_sum"] is scaled_sum.operation


def test_a_failing_operation_records_nothing():
    x = leaf()
    with pytest.raises(RuntimeError):
        x.reshape(3)
    assert x.grad_fn is None


# --- recording --------------------------------------------------------------------------------------------------------


def test_the_node_has_the_name_and_the_edges_of_the_inputs(scaled_sum):
    x, y = leaf(), leaf()
    node = scaled_sum(x * 1, y).grad_fn
    assert node.name() == type(node).__name__ == "ScaledSumBackward0"
    assert [target.name() for target, _ in node.next_functions] == ["MulBackward0", "AccumulateGrad"]
    assert node.next_functions[1][0].variable is y
    assert repr(node).startswith("<ScaledSumBackward0 object at 0x")


def test_inputs_that_require_no_gradient_have_no_edge(scaled_sum):
    node = scaled_sum(gradcli.ones(2), leaf()).grad_fn
    assert node.next_functions[0] == (None, 0)
    assert scaled_sum(gradcli.ones(2), gradcli.ones(2)).grad_fn is None


def test_one_leaf_has_one_node_however_often_it_is_used():
    x = leaf()
    first, second = x * 2, x.exp()
    assert first.grad_fn.next_functions[0][0] is second.grad_fn.next_functions[0][0]


def test_the_rule_gets_what_it_asks_for(scaled_sum):
    x, y = leaf(), leaf([5.0])
    result = scaled_sum(x, y)
    result.sum().backward()
    assert scaled_sum.log[0]["needs"] == (True, True)
    assert scaled_sum.log[0]["shape"] == (1,)
    assert scaled_sum.log[0]["out"] is result.array
    assert y.grad.tolist() == [2.0]


def test_the_rule_learns_which_gradients_are_wanted(scaled_sum):
    x = leaf()
    scaled_sum(x, gradcli.ones(2)).sum().backward()
    assert scaled_sum.log[0]["needs"] == (True, False)


def test_rules_of_frozen_inputs_are_neither_run_nor_saved_for(registry):
    @op("ProductBackward0")
    def product(first, second):
        return first * second

    def refuse(grad, second):
        raise AssertionError("the rule of an input that requires no gradient was run")

    product.gradient(first=refuse, second=lambda grad, first: grad * first)
    y = leaf()
    result = product(gradcli.tensor([3.0, 4.0]), y)
    assert set(result.grad_fn.saved) == {"first"}
    result.sum().backward()
    assert y.grad.tolist() == [3.0, 4.0]


def test_recorded_gradients_hand_tensors_to_the_rule(scaled_sum):
    x = leaf()
    (scaled_sum(x, x) ** 2).sum().backward(create_graph=True)
    assert isinstance(scaled_sum.log[0]["grad"], Tensor)
    assert isinstance(scaled_sum.log[0]["out"], Tensor)
    assert scaled_sum.log[0]["out"].grad_fn.name() == "ScaledSumBackward0"
    x.grad = None


def test_a_gradient_of_the_wrong_shape_is_refused_by_the_nodes_name(registry):
    @op("WrongBackward0")
    def wrong(input):
        return input * 1

    wrong.gradient(input=lambda grad: grad[:1])
    with pytest.raises(RuntimeError, match="WrongBackward0 returned an invalid gradient"):
        wrong(leaf()).sum().backward()


def test_integer_results_and_operations_without_gradient_are_not_recorded(registry):
    @op("RoundBackward0")
    def as_integers(input):
        return input.astype(np.int64)

    @op(differentiable=False)
    def constant(input):
        return input * 1

    as_integers.gradient(input=lambda grad: grad)
    assert not as_integers(leaf()).requires_grad
    assert not constant(leaf()).requires_grad


# --- refused declarations ---------------------------------------------------------------------------------------------


def test_refused_declarations(registry):
    @op("OnceBackward0")
    def once(input, option=1):
        return input

    with pytest.raises(TypeError, match="once has no input 'other'"):
        once.gradient(other=lambda grad: grad)
    with pytest.raises(TypeError, match="rule of once asks for 'saved'"):
        once.gradient(input=lambda grad, saved: grad)
    with pytest.raises(TypeError, match="rule of once asks for 'other_shape'"):
        once.gradient(input=lambda grad, other_shape: grad)
    once.gradient(input=lambda grad: grad)
    with pytest.raises(TypeError, match="once has a rule for the gradient of 'input' already"):
        once.gradient(input=lambda grad: grad * 2)
    with pytest.raises(TypeError, match="an operation once already"):
        op("TwiceBackward0")(once)
    with pytest.raises(TypeError, match="Tensor has 'detach' already"):
        tensor_method("detach")(once)


# --- PyTorch's graphs -------------------------------------------------------------------------------------------------

#     expression, names of the nodes from the result to the leaf
CHAINS = [
    (lambda x: (x * 2 + 1).sum(), ["SumBackward0", "AddBackward0", "MulBackward0"]),
    (lambda x: (1 - x / 2).mean(0), ["MeanBackward1", "RsubBackward1", "DivBackward0"]),
    (lambda x: x.reshape(2, 1).t().exp(), ["ExpBackward0", "TBackward0", "ViewBackward0"]),
    (lambda x: (x**2).unsqueeze(0)[0], ["SelectBackward0", "UnsqueezeBackward0", "PowBackward0"]),
    (lambda x: functional.log_softmax(x.relu(), 0), ["LogSoftmaxBackward0", "ReluBackward0"]),
]


@pytest.mark.parametrize(("function", "names"), CHAINS)
def test_names_along_a_chain(function, names):
    node, found = function(leaf()).grad_fn, []
    while node.next_functions:
        found.append(node.name())
        node = node.next_functions[0][0]
    assert found == names
    assert node.name() == "AccumulateGrad"


def test_every_node_has_a_name_of_pytorchs_form():
    for operation in OPERATIONS.values():
        if operation.differentiable:
            name = operation.node_type.__name__.rstrip("0123456789")
            assert name.endswith(("Backward", "Backwards")) or name == "NotImplemented", operation.name


# PyTorch computes these gradients without recording them as operations of their own, or under the names of its kernels.
NAMES_OF_OUR_OWN = {
    "ConvolutionInputGradientBackward0": "PyTorch: ConvolutionBackwardBackward0, for all gradients at once",
    "ConvolutionWeightGradientBackward0": "PyTorch: ConvolutionBackwardBackward0, for all gradients at once",
    "PadBackward0": "PyTorch writes circular padding piece by piece: CopySlices",
    "PadBackwardBackward0": "PyTorch: ReflectionPad2DBackwardBackward0, ReplicationPad2DBackwardBackward0 and so on",
    "EmbedBackward0": "PyTorch: SelectBackwardBackward0, SliceBackwardBackward0, IndexPutBackward0",
}


@pytest.mark.parity
def test_names_of_nodes_are_pytorchs():
    torch = pytest.importorskip("torch")
    known = set(dir(torch._C._functions))
    ours = {o.node_type.__name__ for o in OPERATIONS.values() if o.differentiable}
    assert ours - known == set(NAMES_OF_OUR_OWN)
