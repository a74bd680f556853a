"""What `gradcheck` checks of a function at one place: both Jacobians, and how backward behaves otherwise.

The numerical Jacobian comes from central differences, the analytical one from vector-Jacobian products with one-hot
vectors. A Jacobian has a row for each element of the input and a column for each element of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.engine import grad
from gradcli.autograd.finite_differences import Numbered, difference_quotients, is_float, numerical_jacobians
from gradcli.autograd.formatting import format_tensor
from gradcli.autograd.tensor import Tensor
from gradcli.numpy_settings import quietly

Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """Analytical and numerical gradients differ, or backward breaks one of its other rules."""


class Tolerances(NamedTuple):
    """The step of the differences, and what may differ."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float


class GradientChecks:
    """What is checked of one function at one place. Its methods raise GradcheckError where a check fails."""

    def __init__(
        self,
        func: Function,
        inputs: tuple[Any, ...],
        tolerances: Tolerances,
        check_dtypes: bool,
        *,
        output_name: Callable[[int], str] = "output {}".format,
        input_name: Callable[[int], str] = "input {}".format,
    ) -> None:
        self.func = func
        self.inputs = inputs
        self.tolerances = tolerances
        self.check_dtypes = check_dtypes
        self.output_name = output_name
        self.input_name = input_name
        self.leaves = [Numbered(i, tensor) for i, tensor in enumerate(inputs) if requires_grad(tensor)]
        self.leaf_tensors = [leaf.tensor for leaf in self.leaves]

    def run(self, fast_mode: bool, check_undefined_grad: bool) -> None:
        """All checks, one after another."""
        called = self._called()
        outputs = [Numbered(i, out) for i, out in enumerate(called) if requires_grad(out)]
        if not outputs:
            self._check_constant(called, fast_mode)
        elif fast_mode:
            self._check_one_direction(outputs)
        else:
            self._check_jacobians(outputs)
        if outputs:
            self._check_zero_gradients([out.tensor for out in outputs])
        if len(outputs) > 1 and check_undefined_grad:
            self._check_undefined_gradients()

    # --- comparisons ----------------------------------------------------------------------------------------------

    def _check_jacobians(self, outputs: Sequence[Numbered]) -> None:
        numerical = [numerical_jacobians(self._called, leaf, outputs, self.tolerances.eps) for leaf in self.leaves]
        for position, output in enumerate(outputs):
            analytical = self._reproduced_products(output, _unit_vectors(output.tensor))
            for leaf, of_leaf, own in zip(self.leaves, numerical, analytical, strict=True):
                if not np.all(self._close(own, of_leaf[position])):
                    raise GradcheckError(self._mismatch(output, leaf, of_leaf[position], own))

    def _check_one_direction(self, outputs: Sequence[Numbered]) -> None:
        """vᵀ(Ju), where Ju is a difference along u, against (vᵀJ)u. All u and v are positive and of length 1."""
        generator = np.random.default_rng(0)
        directions = [_unit_vector(generator, leaf.tensor) for leaf in self.leaves]
        weights = [_unit_vector(generator, output.tensor) for output in outputs]
        numerical = []
        for leaf, direction in zip(self.leaves, directions, strict=True):
            along = self._derivatives_along(leaf, outputs, direction)
            numerical.append([_dot(weight, quotient) for weight, quotient in zip(weights, along, strict=True)])
        for position, (output, weight) in enumerate(zip(outputs, weights, strict=True)):
            products = self._reproduced_products(output, weight[np.newaxis])
            for leaf, direction, of_leaf, product in zip(self.leaves, directions, numerical, products, strict=True):
                analytical = _dot(product, direction)
                # An error of atol in every entry sums to this.
                allowed = self.tolerances.atol * float(np.sum(direction)) * float(np.sum(weight))
                if not self._close(analytical, of_leaf[position], allowed):
                    raise GradcheckError(
                        self._mismatch_in_fast_mode(output, leaf, of_leaf[position], analytical, allowed)
                    )

    def _check_constant(self, called: Sequence[Any], fast_mode: bool) -> None:
        """Where no output requires gradients, the differences must be zero."""
        floats = [Numbered(i, out) for i, out in enumerate(called) if is_float(out)]
        generator = np.random.default_rng(0)
        for leaf in self.leaves:
            if fast_mode:
                derivatives = self._derivatives_along(leaf, floats, _unit_vector(generator, leaf.tensor))
                allowed = self.tolerances.nondet_tol
            else:
                derivatives = numerical_jacobians(self._called, leaf, floats, self.tolerances.eps)
                allowed = 0.0
            for output, derivative in zip(floats, derivatives, strict=True):
                if not np.all(np.abs(derivative) <= allowed):
                    raise GradcheckError(
                        "Numerical gradient for function expected to be zero: "
                        f"{self.output_name(output.position)} doesn't require gradients, but changes with "
                        f"{self.input_name(leaf.position)}"
                    )

    def _check_zero_gradients(self, outputs: Sequence[Tensor]) -> None:
        zeros = [Tensor(np.zeros_like(out.array)) for out in outputs]
        gradients = grad(outputs, self.leaf_tensors, zeros, retain_graph=True, allow_unused=True)
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            if gradient is None:
                continue
            if np.any(gradient.array != 0):
                raise GradcheckError(
                    f"backward not multiplied by grad_output: the gradient of {self.input_name(leaf.position)} isn't "
                    "zero where those of all outputs are"
                )
            if gradient.array.dtype != leaf.tensor.array.dtype:
                raise GradcheckError(f"grad is incorrect type: {self._types(leaf, gradient)}")

    def _check_undefined_gradients(self) -> None:
        """One output after another gets no gradient at all, the others zeros: nothing may fail or become non-zero."""
        count = len(differentiable(self._called()))
        for left_out in range(count):
            called = differentiable(self._called())
            outputs = [out for position, out in enumerate(called) if position != left_out]
            try:
                gradients = grad(
                    outputs,
                    self.leaf_tensors,
                    [Tensor(np.zeros_like(out.array)) for out in outputs],
                    retain_graph=True,
                    allow_unused=True,
                )
            except RuntimeError as error:
                raise GradcheckError(
                    "Expected backward function to handle undefined output grads, but without that of differentiable "
                    f"output {left_out} it failed: {error}"
                ) from error
            if any(gradient is not None and np.any(gradient.array != 0) for gradient in gradients):
                raise GradcheckError(
                    "Expected all input grads to be undefined or zero when all output grads are undefined or zero, "
                    f"but without that of differentiable output {left_out} they aren't"
                )

    # --- analytical derivatives ---------------------------------------------------------------------------------------

    def _reproduced_products(self, output: Numbered, vectors: Array) -> list[Array]:
        """vᵀJ of every row of `vectors`, computed twice; a column each, one array for each leaf."""
        first, second = (self._products(output.tensor, vectors) for _ in range(2))
        for leaf, one, other in zip(self.leaves, first, second, strict=True):
            difference = float(np.max(quietly(_difference, one, other), initial=0.0))
            if difference > self.tolerances.nondet_tol:
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                    f"gives different values: the gradient of {self.input_name(leaf.position)} by "
                    f"{self.output_name(output.position)} differs by up to {difference:.6g}. "
                    f"The tolerance for nondeterminism was {self.tolerances.nondet_tol}."
                )
        return first

    def _products(self, output: Tensor, vectors: Array) -> list[Array]:
        products = [np.zeros((tensor.numel(), len(vectors)), tensor.array.dtype) for tensor in self.leaf_tensors]
        for column, vector in enumerate(vectors):
            weight = Tensor(vector.reshape(output.shape))
            gradients = grad(output, self.leaf_tensors, weight, retain_graph=True, allow_unused=True)
            for leaf, product, gradient in zip(self.leaves, products, gradients, strict=True):
                if gradient is None:
                    continue
                if gradient.shape != leaf.tensor.shape:
                    raise GradcheckError(
                        f"Analytical gradient has incorrect size: {list(gradient.shape)} for "
                        f"{self.input_name(leaf.position)} of size {list(leaf.tensor.shape)}"
                    )
                if self.check_dtypes and gradient.array.dtype != leaf.tensor.array.dtype:
                    raise GradcheckError(f"Gradient has dtype mismatch: {self._types(leaf, gradient)}")
                product[:, column] = gradient.array.ravel()
        return products

    # --- what the checks have in common ---------------------------------------------------------------------------

    def _called(self) -> tuple[Any, ...]:
        return outputs_of(self.func, self.inputs)

    def _derivatives_along(self, leaf: Numbered, outputs: Sequence[Numbered], direction: Array) -> list[Array]:
        shaped = direction.reshape(leaf.tensor.shape)
        return difference_quotients(self._called, leaf, outputs, ..., shaped, self.tolerances.eps)

    def _close(self, analytical: Any, numerical: Any, atol: float | None = None) -> Any:
        """Entry by entry; infinities are close to themselves, NaN is close to nothing."""
        atol = self.tolerances.atol if atol is None else atol
        return quietly(np.isclose, analytical, numerical, self.tolerances.rtol, atol)

    def _mismatch(self, output: Numbered, leaf: Numbered, numerical: Array, analytical: Array) -> str:
        """Where the Jacobians differ most beyond what is allowed, and both of them."""
        close = self._close(analytical, numerical)
        difference = quietly(_difference, analytical, numerical)
        allowed = quietly(np.add, self.tolerances.atol, self.tolerances.rtol * np.abs(numerical))
        excess = np.where(close, -np.inf, np.nan_to_num(quietly(np.subtract, difference, allowed), nan=np.inf))
        row, column = np.unravel_index(np.argmax(excess), excess.shape)
        output_name, input_name = self.output_name(output.position), self.input_name(leaf.position)
        return (
            f"{self._headline(output, leaf)}\n"
            f"most at {_element(column, output)}{output_name} and {_element(row, leaf)}{input_name}: "
            f"numerical {numerical[row, column]:.6g}, analytical {analytical[row, column]:.6g}, "
            f"absolute difference {difference[row, column]:.6g}, allowed {allowed[row, column]:.6g} "
            f"(entry [{row}, {column}] below; {np.sum(~close)} of {close.size} entries differ)\n"
            f"numerical:{format_tensor(numerical)}\nanalytical:{format_tensor(analytical)}\n"
        )

    def _mismatch_in_fast_mode(
        self,
        output: Numbered,
        leaf: Numbered,
        numerical: float,
        analytical: float,
        allowed: float,
    ) -> str:
        """What differs along the random direction, and whole Jacobians computed now, to find the entry."""
        products = self._products(output.tensor, _unit_vectors(output.tensor))
        own = next(one for other, one in zip(self.leaves, products, strict=True) if other is leaf)
        (quotients,) = numerical_jacobians(self._called, leaf, [output], self.tolerances.eps)
        along = (
            f"in fast mode, along one random direction: numerical {numerical:.6g}, analytical {analytical:.6g}, "
            f"absolute difference {abs(numerical - analytical):.6g}, "
            f"allowed {allowed + self.tolerances.rtol * abs(numerical):.6g}.\n"
        )
        if not np.all(self._close(own, quotients)):
            return self._mismatch(output, leaf, quotients, own) + f"Found {along}"
        return (
            f"{self._headline(output, leaf)}\n"
            f"{along}Entry by entry the differences are small: fast_mode=False might pass.\n"
            f"numerical:{format_tensor(quotients)}\nanalytical:{format_tensor(own)}\n"
        )

    def _headline(self, output: Numbered, leaf: Numbered) -> str:
        output_name, input_name = self.output_name(output.position), self.input_name(leaf.position)
        return f"Jacobian mismatch for {output_name} with respect to {input_name},"

    def _types(self, leaf: Numbered, gradient: Tensor) -> str:
        return f"{gradient.dtype} for {self.input_name(leaf.position)} of {leaf.tensor.dtype}"


def as_tuple(values: Any) -> tuple[Any, ...]:
    """The inputs or outputs of a function, which may be a single one."""
    return tuple(values) if isinstance(values, tuple | list) else (values,)


def requires_grad(value: Any) -> bool:
    """Whether this input or output is a tensor that requires gradients."""
    return isinstance(value, Tensor) and value.requires_grad


def outputs_of(func: Function, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What the function returns, as a tuple of tensors, or None for what is no output at all."""
    outputs = as_tuple(func(*inputs))
    for index, output in enumerate(outputs):
        if output is not None and not isinstance(output, Tensor):
            raise TypeError(f"func must return a Tensor or a tuple of them, but output {index} is {output!r:.80}")
    return outputs


def differentiable(outputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """The outputs that require gradients."""
    return tuple(output for output in outputs if requires_grad(output))


def _unit_vectors(tensor: Tensor) -> Array:
    """A row for each element, 1 there."""
    return np.eye(tensor.numel(), dtype=tensor.array.dtype)


def _unit_vector(generator: np.random.Generator, tensor: Tensor) -> Array:
    """A flat random vector of positive numbers, of length 1."""
    vector = generator.uniform(0.1, 1.0, tensor.numel()).astype(tensor.array.dtype)
    return vector / np.linalg.norm(vector) if vector.size else vector


def _dot(first: Array, second: Array) -> float:
    return float(quietly(np.dot, first.ravel(), second.ravel()))


def _difference(first: Array, second: Array) -> Array:
    return np.asarray(np.abs(first - second))


def _element(flat_index: Any, of: Numbered) -> str:
    index = [int(i) for i in np.unravel_index(flat_index, of.tensor.shape)]
    return f"element {index} of " if index else ""
