"""Batch normalization (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray, may_put_off, settled
from gradcli.kernels import normalization as kernels
from gradcli.kernels.convolution import Convolution
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.conversion import clone
from gradcli.ops.reduction import mean, sum
from gradcli.ops.shape import view

__all__ = [
    "batch_norm",
]

_DOUBLE = np.dtype(np.float64)
_VECTORS_OF = {np.dtype(np.float16): np.dtype(np.float32)}


@op("NativeBatchNormBackward0", extras=("mean", "deviation"), deferred=True)
def native_batch_norm(
    input: Array | DeferredArray,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    input_needed: bool = True,
) -> tuple[Array | DeferredArray, Array, Array]:
    """(input - mean) / sqrt(var + eps) * weight + bias per channel of input (N, C, ...).

    In training, mean and variance are the batch's own, and the running ones move towards them, in place. All have one
    type, only a float16 input may come with float32 vectors. Within a network's own forward, the moments of a
    convolution are taken while it is computed, and what is left to do with it is put off; without `input_needed`, by
    the backward pass, it is not even stored.
    """
    require_kind("batch_norm", input)
    shape, dtype = input.shape, input.dtype
    if len(shape) != 4:
        input = _planes(settled(input))
    for vector in (weight, bias, running_mean, running_var):
        if vector is not None and vector.dtype != dtype and vector.dtype != _VECTORS_OF.get(dtype, dtype):
            raise RuntimeError(f"mixed dtype: a batch norm of {dtype} input can't take {vector.dtype} vectors")
    if training or running_mean is None or running_var is None:
        channel_mean, variance = _moments(input)
        if running_mean is not None and running_var is not None and 0 not in shape:
            count = math.prod(shape) // shape[1]
            _move(running_mean, channel_mean, momentum, momentum)
            _move(running_var, variance, momentum, momentum * count / (count - 1))
    else:
        # Double precision, as the kernels want it; copies, as the running moments move on.
        channel_mean, variance = running_mean.astype(_DOUBLE), running_var.astype(_DOUBLE)
    variance += eps
    deviation = np.sqrt(variance, out=variance)
    x = input if isinstance(input, Convolution) and not input_needed else settled(input)
    out = kernels.batch_norm(x, channel_mean, deviation, weight, bias)
    if len(shape) != 4:
        return out.array().reshape(shape), channel_mean, deviation
    return out if may_put_off() else out.array(), channel_mean, deviation


def _planes(array: Array) -> Array:
    """(N, C, ...) as (N, C, pixels, 1)."""
    return array.reshape(*array.shape[:2], math.prod(array.shape[2:]), 1)


def _moments(input: Array | DeferredArray) -> tuple[Array, Array]:
    """Mean and variance by channel, of a convolution that is computed only now piece by piece."""
    if isinstance(input, Convolution) and not input.is_computed and 0 not in input.shape:
        moments = kernels.ChannelMoments(input.shape[1])
        input.compute(moments.add)
        return moments.result()
    return kernels.channel_moments(settled(input))


@native_batch_norm.gradients("input", "weight", "bias", fresh=True)
def _batch_norm_gradients(
    grad: Any,
    input: Any,
    weight: Any,
    running_mean: Any,
    mean: Array,
    deviation: Array,
    training: bool,
    eps: float,
    needs: tuple[bool, bool, bool],
) -> tuple[Any, Any, Any]:
    own_moments = training or running_mean is None
    if isinstance(grad, Tensor):
        return _recorded_gradients(grad, input, weight, mean, deviation, own_moments, eps)
    if len(input.shape) != 4:
        planes = _planes(settled(grad)), _planes(settled(input))
        share, weight_share, bias_share = kernels.batch_norm_gradients(
            *planes, mean, deviation, weight, own_moments, needs
        )
        return None if share is None else share.array().reshape(input.shape), weight_share, bias_share
    return kernels.batch_norm_gradients(grad, settled(input), mean, deviation, weight, own_moments, needs)


def _recorded_gradients(
    grad: Tensor,
    input: Tensor,
    weight: Tensor | None,
    mean_: Array,
    deviation: Array,
    own_moments: bool,
    eps: float,
) -> tuple[Any, Any, Any]:
    """The kernel's formula in recorded operations, so that it can be differentiated again."""
    per_channel = (1, -1, *(1,) * (input.ndim - 2))
    over = (0, *range(2, input.ndim))
    count = math.prod((input.shape[0], *input.shape[2:]))
    if own_moments:
        # The moments depend on the input: computed again, to be differentiated too.
        centred = input - mean(input, over, True)
        invstd = (mean(centred * centred, over, True) + eps) ** -0.5
    else:
        centred = input - Tensor(mean_.astype(input.array.dtype).reshape(per_channel))
        invstd = Tensor((1 / deviation).astype(input.array.dtype).reshape(per_channel))
    normalized = centred * invstd
    grad_weight, grad_bias = sum(grad * normalized, over), sum(grad, over)
    scale = invstd if weight is None else invstd * view(weight, per_channel)
    if own_moments:
        grad = grad - (view(grad_bias, per_channel) + normalized * view(grad_weight, per_channel)) / count
    return grad * scale, grad_weight, grad_bias


def _move(running: Array, observed: Array, momentum: float, share: float) -> None:
    """Turn `running` into running * (1 - momentum) + observed * share, in place; float64 until it is rounded once."""
    kept = np.multiply(running, 1 - momentum, dtype=_DOUBLE)
    np.add(kept, observed * share, out=running, casting="same_kind")


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of input (N, C, ...) and apply weight and bias (C,), as `torch.nn.functional.batch_norm`.

    In training the batch's moments are used, and the running ones move towards them by `momentum` (the variance
    towards the unbiased one). Otherwise the running moments are used. ValueError for a batch with one value per
    channel in training, RuntimeError for sizes that don't fit.
    """
    require_tensors("batch_norm", input=input)
    shape = tuple(input.shape)
    empty = 0 in shape
    if len(shape) < (1 if empty else 2):
        raise RuntimeError(f"batch_norm: expected at least 2 dims, but got shape {list(shape)}")
    channels = shape[1] if len(shape) > 1 else 0
    for name, value in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if value is not None and value.shape != (channels,):
            raise RuntimeError(f"{name} should contain {channels} elements not {math.prod(value.shape)}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be {'positive' if training else 'non-negative'}, but got {eps}")
    if training and shape[0] == 1 and math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    if empty:
        require_kind("batch_norm", input.array)
        out = clone(input)
        if weight is not None:
            out = out * weight[0]  # joined to the graph, as in PyTorch: its gradient is zero
        return out if bias is None else out + bias[0]
    input_needed = training or (
        is_grad_enabled()
        and any(isinstance(tensor, Tensor) and tensor.requires_grad for tensor in (input, weight, bias))
    )
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, input_needed)
