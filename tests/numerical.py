"""Gradients against finite differences, along random directions: one number per case, whatever the shapes.

For a function f of tensors x, a direction u in the space of inputs and weights v on the outputs, the vector-Jacobian
product gives the derivative of <v, f(x)> along u, which a central difference in float64 must give too. Functions
with kinks (relu, max pooling) need inputs further from a kink than `STEP`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import Array

Function = Callable[..., Tensor]

STEP = 1e-5
"""About the cube root of float64's resolution, where truncation and rounding of a central difference balance."""
TOLERANCE = 1e-7


def differentiable(array: Array) -> bool:
    """Whether gradients exist with respect to this input: it holds floats."""
    return array.dtype.kind == "f"


def gradients(
    function: Function, inputs: Sequence[Array], weights: Array, *, create_graph: bool = False
) -> list[Array]:
    """The gradients of <weights, function(inputs)> with respect to every float input; zeros where it has none."""
    tensors = _leaves(inputs)
    function(*tensors).backward(Tensor(weights), create_graph=create_graph)
    return _taken_gradients(tensors)


def gradients_of_gradients(
    function: Function, inputs: Sequence[Array], weights: Array, directions: Sequence[Array]
) -> list[Array]:
    """The gradients of <directions, gradients(function)> with respect to every float input, and to the weights last.

    Zeros where the first gradients don't depend on an input, as in a linear function.
    """
    tensors = _leaves(inputs)
    weight_leaf = Tensor(weights, requires_grad=True)
    function(*tensors).backward(weight_leaf, create_graph=True)
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    firsts = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    terms = [
        (first * Tensor(direction)).sum()
        for first, direction in zip(firsts, directions, strict=True)
        if first is not None and first.requires_grad
    ]
    if terms:
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        total.backward()
    return _taken_gradients([*leaves, weight_leaf])


def check_gradients(function: Function, inputs: Sequence[Array], seed: int = 0) -> None:
    """First order: AssertionError unless the gradients of `function` are those of the finite difference."""
    generator = np.random.RandomState(seed)
    points = [array for array in inputs if differentiable(array)]
    directions = [np.asarray(generator.standard_normal(array.shape)) for array in points]
    weights = np.asarray(generator.standard_normal(function(*map(Tensor, inputs)).shape))

    def value(shift: float) -> Array:
        return function(*map(Tensor, _shifted(inputs, directions, shift))).array

    analytic = _inner(gradients(function, inputs, weights), directions)
    numerical = float(np.sum(weights * (value(STEP) - value(-STEP)))) / (2 * STEP)
    _assert_close("gradient", analytic, numerical)


def check_second_gradients(function: Function, inputs: Sequence[Array], seed: int = 0) -> None:
    """Second order: what `create_graph` recorded, differentiated again, against finite differences of the gradients.

    Also that the gradients recorded as tensors are the very ones that the fast pass over arrays gives.
    """
    generator = np.random.RandomState(seed)
    shape = function(*map(Tensor, inputs)).shape
    shapes = [array.shape for array in inputs if differentiable(array)]
    first_directions, second_directions = (
        [np.asarray(generator.standard_normal(shape)) for shape in shapes] for _ in range(2)
    )
    weights, weight_direction = (np.asarray(generator.standard_normal(shape)) for _ in range(2))

    plain = gradients(function, inputs, weights)
    recorded = gradients(function, inputs, weights, create_graph=True)
    for one, other in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12, err_msg="create_graph changes the gradient")

    def first_derivative(shift: float) -> float:
        moved = _shifted(inputs, second_directions, shift)
        return _inner(gradients(function, moved, np.asarray(weights + shift * weight_direction)), first_directions)

    analytic = _inner(
        gradients_of_gradients(function, inputs, weights, first_directions), [*second_directions, weight_direction]
    )
    numerical = (first_derivative(STEP) - first_derivative(-STEP)) / (2 * STEP)
    _assert_close("second gradient", analytic, numerical)


def _leaves(inputs: Sequence[Array]) -> list[Tensor]:
    return [Tensor(array, requires_grad=differentiable(array)) for array in inputs]


def _taken_gradients(tensors: Sequence[Tensor]) -> list[Array]:
    """The gradients as arrays; they are taken off the leaves, since a recorded one holds its leaf in a cycle."""
    taken = []
    for tensor in tensors:
        if tensor.requires_grad:
            taken.append(np.zeros_like(tensor.array) if tensor.grad is None else tensor.grad.array)
            tensor.grad = None
    return taken


def _shifted(inputs: Sequence[Array], directions: Sequence[Array], shift: float) -> list[Array]:
    remaining = iter(directions)
    return [np.asarray(array + shift * next(remaining)) if differentiable(array) else array for array in inputs]


def _inner(first: Sequence[Any], second: Sequence[Array]) -> float:
    return sum(float(np.sum(a * b)) for a, b in zip(first, second, strict=True))


def _assert_close(what: str, analytic: float, numerical: float) -> None:
    scale = max(1.0, abs(analytic), abs(numerical))
    assert abs(analytic - numerical) <= TOLERANCE * scale, f"{what}: {analytic} by the rules, {numerical} numerically"
