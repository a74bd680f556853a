"""That no operation is forgotten: each has documentation, rules for its inputs, and cases that check every rule."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numerical import differentiable
from operation_cases import Case

import gradcli.ops  # noqa: F401 - declares the operations
from gradcli.autograd import Node, Tensor
from gradcli.autograd.operation import OPERATIONS, OperationNode

FAMILIES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != Path(__file__).stem)
CASES: dict[str, Case] = {
    f"{family}: {case}": case
    for family in FAMILIES
    for case in getattr(importlib.import_module(f"tests.ops.{family}"), "CASES", [])
}

# Inputs that have no gradient, and why.
WITHOUT_GRADIENT = {
    ("where_elements", "condition"): "a truth value",
    ("masked_fill_scalar", "mask"): "a truth value",
    ("masked_fill_tensor", "mask"): "a truth value",
    ("native_batch_norm", "running_mean"): "updated in place, never recorded, as in PyTorch",
    ("native_batch_norm", "running_var"): "updated in place, never recorded, as in PyTorch",
    ("max_pool2d_at", "positions"): "integers",
    ("max_pool2d_gradient", "positions"): "integers",
    ("max_pool2d_gather", "positions"): "integers",
    ("nll_loss_rows", "target"): "classes",
    ("nll_loss_rows", "weight"): "a constant of the loss, as in PyTorch",
    ("nll_loss_planes", "target"): "classes",
    ("nll_loss_planes", "weight"): "a constant of the loss, as in PyTorch",
    ("nll_loss_gradient", "target"): "classes",
    ("nll_loss_gradient", "weight"): "a constant of the loss, as in PyTorch",
    ("logistic_loss", "weight"): "a constant of the loss",
    ("logistic_loss", "pos_weight"): "a constant of the loss",
}

# Rules that no table can check, and the test that does.
CHECKED_ELSEWHERE = {
    ("uniform", "input"): "test_random.test_what_is_drawn_in_place_has_no_gradient_for_what_was_there",
    ("normal", "input"): "test_random.test_what_is_drawn_in_place_has_no_gradient_for_what_was_there",
    ("floor_divide", "input"): "test_division.test_a_division_rounded_down_is_recorded_but_has_no_gradient",
    ("floor_divide", "other"): "test_division.test_a_division_rounded_down_is_recorded_but_has_no_gradient",
    ("to_dtype", "input"): "test_conversion.test_gradient_through_a_change_of_type_comes_back_in_the_first_type",
    ("max_pool2d_gather", "values"): "test_max_pooling.test_gradients_of_every_order_are_linear_in_the_incoming_one",
}


def array_inputs(name: str) -> list[str]:
    """The parameters of an operation that are arrays, or may be."""
    parameters = inspect.signature(OPERATIONS[name].forward).parameters.values()
    return [p.name for p in parameters if "Array" in str(p.annotation)]


def recorded_nodes(root: Node | None) -> Iterator[Node]:
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [target for target, _ in node.next_functions]


@pytest.fixture(scope="module")
def checked_rules() -> dict[str, set[str]]:
    """For each operation the inputs whose rules the cases check: those used in a recorded graph, or in its gradient's.

    The gradients are recorded as the second-order check records them, so a rule counts only if that check runs it.
    """
    checked: dict[str, set[str]] = {name: set() for name in OPERATIONS}
    for case in CASES.values():
        if not case.differentiable:
            continue
        leaves = [Tensor(array, requires_grad=differentiable(array)) for array in case.inputs()]
        result = case.call(*leaves)
        roots = [result.grad_fn]
        if case.twice:
            weights = Tensor(np.ones_like(result.array), requires_grad=True)
            result.backward(weights, create_graph=True)
            roots += [leaf.grad.grad_fn for leaf in leaves if leaf.grad is not None]
        for node in (node for root in roots for node in recorded_nodes(root)):
            if isinstance(node, OperationNode):
                names = zip(node.operation.rules, node.inputs, strict=True)
                checked[node.operation.name] |= {name for name, slot in names if slot is not None}
        for leaf in leaves:
            leaf.grad = None
    return checked


def test_the_tables_are_found():
    assert len(CASES) > 300
    assert {"test_arithmetic", "test_classification_loss", "test_max_pooling"} <= set(FAMILIES)


def test_no_two_cases_share_a_name():
    names = [
        f"{family}: {case}"
        for family in FAMILIES
        for case in getattr(importlib.import_module(f"tests.ops.{family}"), "CASES", [])
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_documentation(name):
    text = inspect.getdoc(OPERATIONS[name].forward)
    assert text
    assert text.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_array_input_has_a_rule(name):
    operation = OPERATIONS[name]
    if operation.differentiable:
        missing = [
            parameter
            for parameter in array_inputs(name)
            if parameter not in operation.rules and (name, parameter) not in WITHOUT_GRADIENT
        ]
        assert not missing
        assert operation.rules
    else:
        assert not operation.rules


@pytest.mark.parametrize(("name", "parameter"), sorted(WITHOUT_GRADIENT))
def test_what_is_said_to_have_no_gradient_exists_and_has_none(name, parameter):
    assert parameter in array_inputs(name)
    assert parameter not in OPERATIONS[name].rules


@pytest.mark.parametrize("name", sorted(name for name, operation in OPERATIONS.items() if operation.differentiable))
def test_every_rule_is_checked_by_a_case(name, checked_rules):
    unchecked = set(OPERATIONS[name].rules) - checked_rules[name]
    assert unchecked == {parameter for operation, parameter in CHECKED_ELSEWHERE if operation == name}


@pytest.mark.parametrize("test", CHECKED_ELSEWHERE.values())
def test_the_tests_that_check_the_other_rules_exist(test):
    module, function = test.split(".")
    assert callable(getattr(importlib.import_module(f"tests.ops.{module}"), function))


@pytest.mark.parametrize("name", sorted(name for name, operation in OPERATIONS.items() if not operation.differentiable))
def test_every_operation_without_gradient_is_called_by_a_case(name, monkeypatch):
    calls = []
    operation = OPERATIONS[name]
    forward = operation.forward
    monkeypatch.setattr(operation, "forward", lambda *args, **options: calls.append(name) or forward(*args, **options))
    for case in CASES.values():
        if not case.differentiable:
            case.call(*map(Tensor, case.inputs()))
    assert calls


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if case.differentiable])
def test_gradients_are_memory_of_their_own(label):
    """Whoever changes a gradient in place changes nothing else: no input, result, saved array or other gradient."""
    case = CASES[label]
    inputs = case.inputs()
    leaves = [Tensor(array, requires_grad=differentiable(array)) for array in inputs]
    result = case.call(*leaves)
    incoming = Tensor(np.ones_like(result.array))
    saved = [
        value
        for node in recorded_nodes(result.grad_fn)
        if isinstance(node, OperationNode) and node.saved is not None
        for value in node.saved.values()
        if isinstance(value, np.ndarray)
    ]
    result.backward(incoming, retain_graph=True)
    gradients = [leaf.grad.array for leaf in leaves if leaf.grad is not None]
    for index, gradient in enumerate(gradients):
        assert gradient.flags.writeable
        assert not overlaps_itself(gradient)
        for other in (incoming.array, result.array, *inputs, *saved, *gradients[:index]):
            assert not np.shares_memory(gradient, other)


def overlaps_itself(array: np.ndarray) -> bool:
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    return repeated and array.size > 0
