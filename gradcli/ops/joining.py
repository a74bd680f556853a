"""Several tensors made one: end to end along a dim, or along a new one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import OPERATIONS, Operation
from gradcli.ops.arguments import require_tensor_elements
from gradcli.ops.dims import canonical_dim
from gradcli.ops.indexing import select, slice_dim
from gradcli.ops.promotion import result_type
from gradcli.ops.shape import unsqueeze, view

__all__ = [
    "cat",
    "concat",
    "concatenate",
    "hstack",
    "stack",
    "vstack",
]


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors end to end along `dim`; their other sizes must agree. Types are promoted.

    Tensors of shape (0,) are left out, whatever the others' shape.
    """
    given = _tensors("cat", tensors)
    if not given:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    return _join("cat", given, dim)


concat = concatenate = cat


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors of one shape side by side along a new dim. Types are promoted."""
    given = _tensors("stack", tensors)
    if not given:
        raise RuntimeError("stack expects a non-empty TensorList")
    return _join("stack", given, dim)


def hstack(tensors: Sequence[Any]) -> Any:
    """The tensors side by side: along dim 1, or along dim 0 where they are vectors or 0-d."""
    given = _tensors("hstack", tensors)
    if not given:
        raise RuntimeError("hstack expects a non-empty TensorList")
    vectors = [view(tensor, (1,)) if tensor.ndim == 0 else tensor for tensor in given]
    return cat(vectors, 0 if vectors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """The tensors one below the other: along dim 0, where vectors and 0-d tensors are rows."""
    given = _tensors("vstack", tensors)
    if not given:
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat([_as_row(tensor) for tensor in given], 0)


def _as_row(tensor: Any) -> Any:
    if tensor.ndim == 0:
        return view(tensor, (1, 1))
    return unsqueeze(tensor, 0) if tensor.ndim == 1 else tensor


def _tensors(function: str, given: Any) -> Sequence[Any]:
    """The tensors of a sequence of them; TypeError for anything else."""
    if not isinstance(given, tuple | list):
        raise TypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(given).__name__}"
        )
    require_tensor_elements(given, 0)
    return given


# --- the operations, one for each number of tensors ------------------------------------------------------------------


def concatenated(tensors: Sequence[Array], dim: int) -> Array:
    """The tensors end to end along `dim`."""
    for position, tensor in enumerate(tensors):
        if tensor.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    dtype = _common_type(tensors)
    joined = [tensor for tensor in tensors if tensor.shape != (0,)]
    if not joined:
        return np.empty(0, dtype)
    first = joined[0]
    axis = canonical_dim(dim, first.ndim)
    for tensor in joined:
        if tensor.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {tensor.ndim}")
        for own, expected, position in zip(tensor.shape, first.shape, range(first.ndim), strict=True):
            if own != expected and position != axis:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {expected} but got size "
                    f"{own} for a tensor of shape {list(tensor.shape)}"
                )
    return np.concatenate(joined, axis, dtype=dtype)


def stacked(tensors: Sequence[Array], dim: int) -> Array:
    """The tensors along a new dim."""
    first = tensors[0]
    for position, tensor in enumerate(tensors):
        if tensor.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(tensor.shape)} at entry {position}"
            )
    return np.stack(tensors, canonical_dim(dim, first.ndim + 1), dtype=_common_type(tensors))


def _common_type(tensors: Sequence[Array]) -> np.dtype[Any]:
    first = tensors[0].dtype
    return first if all(tensor.dtype == first for tensor in tensors) else result_type(*tensors)


def _cat_gradient(grad: Any, dim: int, shapes: Sequence[tuple[int, ...]], needs: Sequence[bool]) -> tuple[Any, ...]:
    shares, start = [], 0
    axis = canonical_dim(dim, grad.ndim)
    for shape, needed in zip(shapes, needs, strict=True):
        if shape == (0,):
            shares.append(view(slice_dim(grad, 0, 0, 0), shape) if needed else None)
        else:
            shares.append(slice_dim(grad, axis, start, start + shape[axis]) if needed else None)
            start += shape[axis]
    return tuple(shares)


def _stack_gradient(grad: Any, dim: int, needs: Sequence[bool]) -> tuple[Any, ...]:
    return tuple(select(grad, dim, position) if needed else None for position, needed in enumerate(needs))


def _join(name: str, tensors: Sequence[Any], dim: int) -> Any:
    """Call the operation `cat` or `stack` for so many tensors."""
    return _joining(name, len(tensors)).call(dim, [tensor.shape for tensor in tensors], *tensors)


@functools.lru_cache(maxsize=64)  # not all: a list that grows from step to step needs each number once
def _joining(name: str, count: int) -> Operation:
    """The operation `cat` or `stack` for `count` tensors: each number of inputs makes one of its own."""
    node_name, forward, gradient = _JOININGS[name]

    def join(dim: int, shapes: Sequence[tuple[int, ...]], *tensors: Array) -> Array:
        return forward(tensors, dim)

    # Operations are read from their signatures, which here has to say what stands behind `*tensors`.
    inputs = {f"tensor{position}": Array for position in range(count)}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = {"dim": int, "shapes": Sequence} | inputs
    join.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, annotation=annotation) for name, annotation in parameters.items()]
    )
    join.__name__, join.__doc__ = name, forward.__doc__
    operation = Operation(join, node_name, (), view=False, multiple=False, differentiable=True, deferred=False)
    operation.gradient_rules.add(tuple(inputs), gradient, joint=True)
    return operation


_JOININGS: dict[str, tuple[str, Callable[..., Array], Callable[..., tuple[Any, ...]]]] = {
    "cat": ("CatBackward0", concatenated, _cat_gradient),
    "stack": ("StackBackward0", stacked, _stack_gradient),
}
OPERATIONS.update({name: _joining(name, 2) for name in _JOININGS})  # one of them stands for all in the list
