"""Where a function is undefined, infinite or has a kink: what it gives there, and its gradients, against PyTorch too.

A row of edges has a name, a function of gradcli (or PyTorch) and tensors, the numbers in each of these, and what is
expected: the values, then the gradient of each tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcli

Function = Callable[..., Any]
Numbers = list[float]
Edge = tuple[str, Function, list[Numbers], list[Any]]


def outcome(module: Any, function: Function, *inputs: Numbers) -> list[Any]:
    """The values of a function at float64 inputs, and the gradients of their sum."""
    leaves = [module.tensor(numbers, dtype=module.float64, requires_grad=True) for numbers in inputs]
    result = function(module, *leaves)
    result.backward(module.ones_like(result))
    return [result.tolist(), *(leaf.grad.tolist() for leaf in leaves)]


def check_edge(function: Function, inputs: list[Numbers], expected: list[Any]) -> None:
    """`expected` are the values, and the gradients with respect to each input."""
    for numbers, numbers_expected in zip(outcome(gradcli, function, *inputs), expected, strict=True):
        np.testing.assert_allclose(numbers, numbers_expected, rtol=1e-12)


def check_edge_parity(function: Function, inputs: list[Numbers]) -> None:
    """PyTorch gives the same."""
    torch = pytest.importorskip("torch")
    theirs = outcome(torch, function, *inputs)
    for numbers, numbers_expected in zip(outcome(gradcli, function, *inputs), theirs, strict=True):
        np.testing.assert_allclose(numbers, numbers_expected, rtol=1e-12)


def edge_checks_of(edges: list[Edge]) -> list[Any]:
    """What a family's test of its edges is parametrised with: both checks, with what they take of each row."""
    parameters = []
    for name, function, inputs, expected in edges:
        parameters += [
            pytest.param(check_edge, (function, inputs, expected), id=name),
            pytest.param(check_edge_parity, (function, inputs), id=f"parity-{name}", marks=pytest.mark.parity),
        ]
    return parameters
