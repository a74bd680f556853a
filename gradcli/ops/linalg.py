"""Products of matrices and vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import matrix_product
from gradcli.ops.arguments import require_kind, require_tensors, values_of
from gradcli.ops.arithmetic import scaled
from gradcli.ops.dim_order import t, transpose
from gradcli.ops.expansion import expand
from gradcli.ops.shape import contiguous, squeeze_dim, unsqueeze, view

__all__ = [
    "addmm",
    "baddbmm",
    "bmm",
    "dot",
    "matmul",
    "mm",
    "mv",
]


def _check(operation: str, first: Array, second: Array, ndims: tuple[int, int]) -> None:
    """RuntimeError in PyTorch's words unless the operands have these numbers of dims and one type, which isn't bool."""
    if (first.ndim, second.ndim) != ndims:
        raise RuntimeError(
            f"{operation}: expected operands of {ndims[0]} and {ndims[1]} dims, but got shapes "
            f"{list(first.shape)} and {list(second.shape)}"
        )
    if first.shape[-1] != second.shape[-2 if second.ndim > 1 else -1]:
        raise RuntimeError(
            "mat1 and mat2 shapes cannot be multiplied "
            f"({'x'.join(map(str, first.shape))} and {'x'.join(map(str, second.shape))})"
        )
    if first.dtype != second.dtype:
        raise RuntimeError(f"expected both operands to have the same dtype, but got: {first.dtype} != {second.dtype}")
    require_kind(operation, first, "iuf")


@op("DotBackward0", method=True)
def dot(input: Array, tensor: Array) -> Array:
    """Product of two vectors, 0-d."""
    _check("dot", input, tensor, (1, 1))
    return np.asarray(np.dot(input, tensor))


dot.gradient(input=lambda grad, tensor: grad * tensor, tensor=lambda grad, input: grad * input)


@op("MvBackward0", method=True)
def mv(input: Array, vec: Array) -> Array:
    """Matrix (n, m) times vector (m,)."""
    _check("mv", input, vec, (2, 1))
    return np.asarray(input @ np.ascontiguousarray(vec))  # one that repeats a number would not go through BLAS


mv.gradient(
    input=lambda grad, vec: unsqueeze(grad, 1) * vec,
    vec=lambda grad, input: mv(t(input), grad),
)


@op("MmBackward0", method=True)
def mm(input: Array, mat2: Array) -> Array:
    """Matrix (n, m) times matrix (m, p)."""
    _check("mm", input, mat2, (2, 2))
    return matrix_product.shared_matmul(input, mat2)


def _mm_first_gradient(grad: Any, mat2: Any) -> Any:
    return mm(grad, t(mat2))


def _mm_second_gradient(grad: Any, first: Any, mat2: Any) -> Any:
    # For a transposed matrix (the weight of a linear layer) the gradient comes out transposed too, as PyTorch's does:
    # the weight's own gradient then is row-major like the weight.
    array = values_of(mat2)
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return t(mm(t(grad), first))
    return mm(t(first), grad)


mm.gradient(
    input=_mm_first_gradient,
    mat2=lambda grad, input, mat2: _mm_second_gradient(grad, input, mat2),
)


def _check_batches(operation: str, first: Array, second: Array) -> None:
    _check(operation, first, second, (3, 3))
    if len(first) != len(second):
        raise RuntimeError(
            f"{operation}: expected as many matrices in both operands, but got {len(first)} and {len(second)}"
        )


@op("BmmBackward0", method=True)
def bmm(input: Array, mat2: Array) -> Array:
    """Matrices (b, n, m) times matrices (b, m, p), one by one."""
    _check_batches("bmm", input, mat2)
    return matrix_product.shared_matmul(input, mat2)


bmm.gradient(
    input=lambda grad, mat2: bmm(grad, transpose(mat2, 1, 2)),
    mat2=lambda grad, input: bmm(transpose(input, 1, 2), grad),
)


def _added(product: Array, input: Array, beta: float, alpha: float) -> Array:
    """beta * input + alpha * product, in the memory of `product`; RuntimeError where input can't be broadcast to it."""
    if alpha != 1:
        product *= product.dtype.type(alpha)
    if beta == 0:
        return product  # whatever input holds, nan too
    try:
        scaled = input if beta == 1 else input * input.dtype.type(beta)
        return np.add(product, scaled, out=product)
    except ValueError:
        raise RuntimeError(
            f"The expanded size of the tensor {list(product.shape)} must match the existing size {list(input.shape)}"
        ) from None


def _check_added(input: Array, product_dtype: np.dtype[Any]) -> None:
    if input.dtype != product_dtype:
        raise RuntimeError(f"input and mat2 must have the same dtype, but got {input.dtype} and {product_dtype}")


@op("AddmmBackward0", method=True, in_place=True)
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (mat1 @ mat2), input broadcast to (n, p)."""
    _check("addmm", mat1, mat2, (2, 2))
    _check_added(input, mat2.dtype)
    return _added(matrix_product.shared_matmul(mat1, mat2), input, beta, alpha)


addmm.gradient(
    input=lambda grad, beta: scaled(grad, beta),
    mat1=lambda grad, mat2, alpha: scaled(_mm_first_gradient(grad, mat2), alpha),
    mat2=lambda grad, mat1, mat2, alpha: scaled(_mm_second_gradient(grad, mat1, mat2), alpha),
)


@op("BaddbmmBackward0", method=True, in_place=True)
def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * bmm(batch1, batch2), input broadcast to (b, n, p)."""
    _check_batches("baddbmm", batch1, batch2)
    _check_added(input, batch2.dtype)
    return _added(matrix_product.shared_matmul(batch1, batch2), input, beta, alpha)


baddbmm.gradient(
    input=lambda grad, beta: scaled(grad, beta),
    batch1=lambda grad, batch2, alpha: scaled(bmm(grad, transpose(batch2, 1, 2)), alpha),
    batch2=lambda grad, batch1, alpha: scaled(bmm(transpose(batch1, 1, 2), grad), alpha),
)


@op("UnsafeViewBackward0")
def reshape_product(input: Array, shape: tuple[int, ...]) -> Array:
    """A new product in the shape that the caller gets, recorded under the name that PyTorch has for this."""
    return input.reshape(shape)


reshape_product.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward4")
def squeeze_product(input: Array, dim: int) -> Array:
    """A new product without `dim`, which has size 1, recorded as PyTorch records squeezing in place."""
    return input.squeeze(dim)


squeeze_product.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@tensor_method("matmul", "__matmul__")
def matmul(input: Any, other: Any) -> Any:
    """Product of vectors, matrices or batches of matrices, broadcast over the leading dims, as `torch.matmul`.

    As in PyTorch, a batch times a single matrix or vector is folded into one product, unless the single one requires
    no gradients and the batch would have to be copied.
    """
    require_tensors("matmul", input=input, other=other)
    dims = (input.ndim, other.ndim)
    if 0 in dims:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are " + "D and ".join(map(str, dims)) + "D"
        )
    if dims == (2, 2):
        return mm(input, other)
    if dims == (2, 1):
        return mv(input, other)
    if dims == (1, 1):
        return dot(input, other)
    if dims == (1, 2):
        return squeeze_product(mm(unsqueeze(input, 0), other), 0)
    if dims[0] >= dims[1]:
        if dims[1] <= 2 and _folds(input, other):
            return _folded_matmul(input, other)
    elif dims[0] <= 2 and _folds(other, input):
        product = _folded_matmul(transpose(other, -2, -1), t(input))
        return contiguous(transpose(product, -2, -1)) if dims[0] == 2 else product
    return _batched_matmul(input, other)


def _folds(larger: Any, smaller: Any) -> bool:
    """Whether the product of a batch and a single matrix or vector is computed as that of two matrices."""
    if isinstance(smaller, Tensor) and smaller.requires_grad:
        return True  # else its gradient would be as large as the batch, before it is summed
    array = values_of(larger)
    return bool(array.size == 0 or array.flags.c_contiguous)


def _folded_matmul(batch: Any, other: Any) -> Any:
    """`batch` (..., n, m) times one matrix (m, p) or vector (m,)."""
    rows = view(batch, (math.prod(batch.shape[:-1]), batch.shape[-1]))
    product = mm(rows, other) if other.ndim == 2 else mv(rows, other)
    return reshape_product(product, (*batch.shape[:-1], *other.shape[1:]))


def _batched_matmul(input: Any, other: Any) -> Any:
    """`input` (..., n, m) or (m,) times `other` (..., m, p) or (m,), the leading dims broadcast."""
    if input.ndim == other.ndim == 3 and len(input) != len(other):
        # One matrix for a batch: its gradient is smaller, and summed at once, when that batch is folded.
        if len(input) == 1 and isinstance(input, Tensor) and input.requires_grad:
            return matmul(squeeze_dim(input, 0), other)
        if len(other) == 1 and isinstance(other, Tensor) and other.requires_grad:
            return matmul(input, squeeze_dim(other, 0))
    rows = tuple(input.shape[-2:-1])
    depths = (input.shape[-1], other.shape[max(other.ndim - 2, 0)])
    columns = tuple(other.shape[-1:]) if other.ndim > 1 else ()
    batch = _broadcast_batch(tuple(input.shape[:-2]), tuple(other.shape[:-2]))
    count = math.prod(batch)
    first = view(expand(input, (*batch, *rows, depths[0])), (count, *(rows or (1,)), depths[0]))
    second = view(expand(other, (*batch, depths[1], *columns)), (count, depths[1], *(columns or (1,))))
    return reshape_product(bmm(first, second), (*batch, *rows, *columns))


@tensor_method("__rmatmul__")
def _reflected_matmul(input: Tensor, other: Any) -> Any:
    """other @ input."""
    return matmul(other, input)


def _broadcast_batch(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        raise RuntimeError(f"matmul: batches of shapes {list(first)} and {list(second)} can't be broadcast") from None
