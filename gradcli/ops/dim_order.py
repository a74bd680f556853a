"""Dims in another order, as views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dims import canonical_dim, canonical_dims, integers, variadic_method

__all__ = [
    "adjoint",
    "moveaxis",
    "movedim",
    "permute",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
]


@op("PermuteBackward0", view=True)
def permute_dims(input: Array, dims: tuple[int, ...]) -> Array:
    """Dims in another order."""
    if len(dims) != input.ndim:
        raise RuntimeError(f"permute(): a tensor of {input.ndim} dims can't be put in the order {list(dims)}")
    return input.transpose(canonical_dims(dims, input.ndim))


@permute_dims.gradients("input")
def _permute_gradient(grad: Any, dims: tuple[int, ...]) -> tuple[Any]:
    forward = canonical_dims(dims, len(dims))
    return (permute_dims(grad, tuple(forward.index(axis) for axis in range(len(forward)))),)


@variadic_method()
def permute(input: Any, dims: Sequence[int]) -> Any:
    """Dims in the order given."""
    return permute_dims(input, integers("permute", "dims", dims))


@op("TransposeBackward0", method=True, view=True)
def transpose(input: Array, dim0: int, dim1: int) -> Array:
    """Two dims swapped."""
    first, second = canonical_dim(dim0, input.ndim), canonical_dim(dim1, input.ndim)
    return input.swapaxes(first, second) if input.ndim else input.view()


transpose.gradient(input=lambda grad, dim0, dim1: transpose(grad, dim0, dim1))


@op("TBackward0", method=True, view=True)
def t(input: Array) -> Array:
    """The transpose of a matrix; a vector or 0-d tensor stays as it is."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input.T


t.gradient(input=lambda grad: t(grad))


swapdims = tensor_method("swapdims")(transpose)


@tensor_method()
def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dims swapped, as `transpose`."""
    return transpose(input, axis0, axis1)


@tensor_method()
def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """The `source` dims (one or several) moved to the places `destination`; the others keep their order."""
    require_tensors("movedim", input=input)
    if isinstance(source, Sequence) != isinstance(destination, Sequence):
        raise TypeError("movedim(): source and destination must be two integers or two sequences of integers")
    given, places = (
        integers("movedim", key, value if isinstance(value, Sequence) else (value,))
        for key, value in (("source", source), ("destination", destination))
    )
    if len(given) != len(places):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(given)} dims) should contain the same number "
            f"of dims as destination ({list(places)} dims)"
        )
    moved, target = (tuple(canonical_dim(dim, input.ndim) for dim in dims) for dims in (given, places))
    for key, dims, written in (("source", moved, given), ("destination", target, places)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{key}` ({list(written)})")
    rest = iter([axis for axis in range(input.ndim) if axis not in moved])
    source_of = dict(zip(target, moved, strict=True))
    order = (source_of[axis] if axis in source_of else next(rest) for axis in range(input.ndim))
    return permute_dims(input, tuple(order))


moveaxis = tensor_method("moveaxis")(movedim)


@tensor_method()
def adjoint(input: Any) -> Any:
    """The last two dims swapped: the conjugate transpose, whose conjugation is nothing for real numbers."""
    return _swapped_matrices(input, "adjoint()")


def _swapped_matrices(input: Any, name: str) -> Any:
    if input.ndim == 0 and name != "adjoint()":
        return input
    if input.ndim < 2:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


def _reversed_dims(input: Tensor) -> Any:
    """Dims in reverse order (`Tensor.T`)."""
    return permute_dims(input, tuple(reversed(range(input.ndim))))


def _matrix_transpose(input: Tensor) -> Any:
    """The last two dims swapped (`Tensor.mT`); a 0-d tensor stays as it is."""
    return _swapped_matrices(input, "mT")


def _matrix_adjoint(input: Tensor) -> Any:
    """The last two dims swapped (`Tensor.mH`): the conjugate transpose of real matrices."""
    return _swapped_matrices(input, "mH")


def _adjoint_of_a_matrix(input: Tensor) -> Any:
    """The transpose of a matrix (`Tensor.H`): the conjugate transpose of a real one. A 0-d tensor stays as it is."""
    if input.ndim == 0:
        return input
    if input.ndim != 2:
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {input.ndim}-D tensor.")
    return transpose(input, 0, 1)


Tensor.T = property(_reversed_dims)  # type: ignore[attr-defined]
Tensor.H = property(_adjoint_of_a_matrix)  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose)  # type: ignore[attr-defined]
Tensor.mH = property(_matrix_adjoint)  # type: ignore[attr-defined]
