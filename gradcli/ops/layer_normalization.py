"""Layer normalization (Ba, Kiros and Hinton, 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.reduction import mean, sum

__all__ = [
    "layer_norm",
]


@op("NativeLayerNormBackward0", extras=("centre", "invstd"))
def native_layer_norm(
    input: Array, weight: Array | None, bias: Array | None, normalized_ndim: int, eps: float
) -> tuple[Array, Array, Array]:
    """(input - mean) / sqrt(var + eps) * weight + bias over the last dims of input, so many of them."""
    require_kind("layer_norm", input)
    axes = tuple(range(-normalized_ndim, 0))
    # Double precision, as the vectors are small; the result is rounded once.
    count = max(math.prod(input.shape[-normalized_ndim:]), 1)
    centre = np.asarray(np.sum(input, axis=axes, keepdims=True, dtype=np.float64)) / count
    centred = input - centre
    invstd = 1 / np.sqrt(np.sum(np.square(centred), axis=axes, keepdims=True) / count + eps)
    centred *= invstd
    if weight is not None:
        centred *= weight
    if bias is not None:
        centred += bias
    return centred.astype(input.dtype, copy=False), centre, invstd


@native_layer_norm.gradients("input", "weight", "bias")
def _layer_norm_gradients(
    grad: Any,
    input: Any,
    weight: Any,
    centre: Array,
    invstd: Any,
    normalized_ndim: int,
    eps: float,
    needs: tuple[bool, bool, bool],
) -> tuple[Any, Any, Any]:
    within = tuple(range(-normalized_ndim, 0))
    over = tuple(range(input.ndim - normalized_ndim))
    if isinstance(grad, Tensor):
        # The moments depend on the input: computed again, to be differentiated too.
        centred = input - mean(input, within, True)
        invstd = (mean(centred * centred, within, True) + eps) ** -0.5
        normalized = centred * invstd
    else:
        invstd = invstd.astype(input.dtype)
        normalized = (input - centre).astype(input.dtype, copy=False) * invstd
    grad_input = None
    if needs[0]:
        scaled = grad if weight is None else grad * weight
        inner = scaled - mean(scaled, within, True) - normalized * mean(scaled * normalized, within, True)
        grad_input = inner * invstd
    grad_weight = _summed(grad * normalized, over) if needs[1] else None
    return grad_input, grad_weight, _summed(grad, over) if needs[2] else None


def _summed(values: Any, over: tuple[int, ...]) -> Any:
    return sum(values, over) if over else values


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalize input over its last dims, of `normalized_shape`, and apply weight and bias, of that shape too.

    The variance is the biased one. As `torch.nn.functional.layer_norm`. RuntimeError for shapes that don't fit.
    """
    require_tensors("layer_norm", input=input)
    if not isinstance(normalized_shape, Sequence):
        raise TypeError(f"layer_norm(): normalized_shape must be a sequence of integers, but got {normalized_shape!r}")
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, but got normalized_shape = []")
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and tuple(vector.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(vector.shape)} and normalized_shape = {list(shape)}"
            )
        if vector is not None and vector.dtype != input.dtype:
            raise RuntimeError(f"mixed dtype: a layer norm of {input.dtype} input can't take {vector.dtype} vectors")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size {list(input.shape)}"
        )
    return native_layer_norm(input, weight, bias, len(shape), eps)
