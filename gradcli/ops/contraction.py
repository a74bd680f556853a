"""Sums of products along chosen dims: outer and inner products, and tensordot.

All are composed of operations, so that they can be differentiated any number of times, and record PyTorch's nodes.
"""

from __future__ import annotations

import math
from typing import Any

from gradcli.autograd.operation import tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dim_order import permute
from gradcli.ops.dims import canonical_dims
from gradcli.ops.linalg import dot, mm
from gradcli.ops.reduction import sum
from gradcli.ops.shape import view

__all__ = [
    "ger",
    "inner",
    "outer",
    "tensordot",
]


@tensor_method()
def outer(input: Any, vec2: Any) -> Any:
    """The products of every element of a vector (n,) with every one of another (m,): (n, m)."""
    require_tensors("outer", input=input, vec2=vec2)
    for name, vector in (("self", input), ("vec2", vec2)):
        if vector.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {vector.ndim}-D")
    return view(input, (len(input), 1)) * vec2


ger = tensor_method("ger")(outer)


@tensor_method()
def inner(input: Any, other: Any) -> Any:
    """Sums of products along the last dim of both; of a 0-d tensor with another the product."""
    require_tensors("inner", input=input, other=other)
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]))


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums of products along dims of both: the last `dims` of `a` with the first of `b`, or those listed for each.

    The result has the other dims of `a`, then those of `b`. Where one of the sizes is 1, the other is summed.
    """
    require_tensors("tensordot", a=a, b=b)
    first_dims, second_dims = _tensordot_dims(a, b, dims)
    for first_dim, second_dim in zip(first_dims, second_dims, strict=True):
        sizes = a.shape[first_dim], b.shape[second_dim]
        if sizes[0] == sizes[1]:
            continue
        if 1 not in sizes:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {sizes[0]} in dim {first_dim} and second "
                f"has size {sizes[1]} in dim {second_dim}"
            )
        if sizes[0] == 1:
            b = sum(b, second_dim, keepdim=True)
        else:
            a = sum(a, first_dim, keepdim=True)
    first_free = [dim for dim in range(a.ndim) if dim not in first_dims]
    second_free = [dim for dim in range(b.ndim) if dim not in second_dims]
    if a.ndim == b.ndim == len(first_dims) == 1:
        return view(dot(permute(a, (0,)), permute(b, (0,))), ())
    depth = math.prod(a.shape[dim] for dim in first_dims)
    free_sizes = [a.shape[dim] for dim in first_free], [b.shape[dim] for dim in second_free]
    rows = view(permute(a, (*first_free, *first_dims)), (math.prod(free_sizes[0]), depth))
    columns = view(permute(b, (*second_dims, *second_free)), (depth, math.prod(free_sizes[1])))
    return view(mm(rows, columns), (*free_sizes[0], *free_sizes[1]))


def _tensordot_dims(a: Any, b: Any, dims: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dims of each that are summed along, counted from the front."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims} for {a.ndim} and {b.ndim} dims"
            )
        return tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    first, second = ([one] if isinstance(one, int) else list(one) for one in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    return tuple(canonical_dims(first, a.ndim) if first else ()), tuple(
        canonical_dims(second, b.ndim) if second else ()
    )
