"""Values along a dim with their indices: what sorting and the search for extrema give, and the gradient of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import memory
from gradcli.ops.arguments import Indices
from gradcli.ops.dims import canonical_dim
from gradcli.ops.shape import unsqueeze


class ValuesAndIndices(NamedTuple):
    """Chosen elements, and where along the dim they stood (int64)."""

    values: Any
    indices: Any


@op("GatherBackward0")
def take_along(input: Array, indices: Indices, dim: int) -> Array:
    """The elements that stand at `indices` along dim; the other dims match."""
    return np.take_along_axis(input, indices, dim)


@op("ScatterBackward0")
def put_along(values: Array, indices: Indices, dim: int, size: int) -> Array:
    """Zeros, `size` of them along dim, with `values` put in at `indices`, of which no two are alike."""
    shape = (*values.shape[:dim], size, *values.shape[dim + 1 :])
    result = memory.zeros(shape, values.dtype)
    np.put_along_axis(result, indices, values, dim)
    return result


take_along.gradient(
    input=lambda grad, input_shape, indices, dim: put_along(
        grad, indices, dim, input_shape[canonical_dim(dim, len(input_shape))]
    )
)
put_along.gradient(values=lambda grad, indices, dim: take_along(grad, indices, dim))


def choice(node_name: str, name: str) -> Callable[..., Any]:
    """Declare the operation `name(input, indices, dim, keepdim)`: the elements at `indices` along dim.

    Indices have the shape of the result. Where that has one element along dim, keepdim=False leaves the dim out.
    """

    def forward(input: Array, indices: Indices, dim: int, keepdim: bool = True) -> Array:
        """The elements at `indices` along dim; without that dim for keepdim=False."""
        if not input.ndim:
            return np.broadcast_to(input, indices.shape).copy()
        if keepdim:
            return np.take_along_axis(input, indices, dim)
        axis = canonical_dim(dim, input.ndim)
        return np.take_along_axis(input, np.expand_dims(indices, axis), axis).squeeze(axis)

    forward.__name__ = name
    operation = op(node_name)(forward)
    operation.gradient(
        input=lambda grad, input_shape, indices, dim, keepdim: _choice_gradient(
            grad, indices, input_shape, dim, keepdim
        )
    )
    return operation


def _choice_gradient(grad: Any, indices: Any, input_shape: tuple[int, ...], dim: int, keepdim: bool) -> Any:
    if not input_shape:
        return grad
    axis = canonical_dim(dim, len(input_shape))
    if not keepdim:
        grad, indices = unsqueeze(grad, axis), unsqueeze(indices, axis)
    return put_along(grad, indices, axis, input_shape[axis])


def with_indices(choose: Callable[..., Any], input: Any, indices: Indices, dim: int, keepdim: bool) -> ValuesAndIndices:
    """The result of a `choice`, tensors where `input` is one."""
    given = Tensor(indices) if isinstance(input, Tensor) else indices
    return ValuesAndIndices(choose(input, given, dim, keepdim), given)
