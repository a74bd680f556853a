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
from gradcli.ops.promotion import require_kind
from gradcli.ops.reduction import mean, sum
from gradcli.ops.shape import view

_VECTORS_OF = {np.dtype(np.float16): np.dtype(np.float32)}


@op("NativeBatchNormBackward0", extras=("mean", "invstd"), deferred=True)
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
    """(input - mean) / sqrt(var + eps) * weight + bias per channel of input (N, C, H, W).

    In training, mean and variance are the batch's own, and the running ones move towards them, in place. All have one
    type, only a float16 input may come with float32 vectors. Within a network's own forward, the moments of a
    convolution are taken while it is computed, and what is left to do with it is put off; without `input_needed`, by
    the backward pass, it is not even stored.
    """
    require_kind("batch_norm", input)
    for vector in (weight, bias, running_mean, running_var):
        if vector is not None and vector.dtype not in (input.dtype, _VECTORS_OF.get(input.dtype, input.dtype)):
            raise RuntimeError(f"mixed dtype: a batch norm of {input.dtype} input can't take {vector.dtype} vectors")
    if training or running_mean is None or running_var is None:
        channel_mean, variance = _moments(input)
        if running_mean is not None and running_var is not None and 0 not in input.shape:
            count = math.prod(input.shape) // input.shape[1]
            _move(running_mean, channel_mean, momentum)
            _move(running_var, variance * (count / (count - 1)), momentum)
    else:
        # Double precision, as the kernels want it; copies, as the running moments move on.
        channel_mean, variance = running_mean.astype(np.float64), running_var.astype(np.float64)
    invstd = 1 / np.sqrt(variance + eps)
    x = input if isinstance(input, Convolution) and not input_needed else settled(input)
    out = kernels.batch_norm(x, channel_mean, invstd, weight, bias)
    return out if may_put_off() else out.array(), channel_mean, invstd


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
    invstd: Array,
    training: bool,
    eps: float,
    needs: tuple[bool, bool, bool],
) -> tuple[Any, Any, Any]:
    own_moments = training or running_mean is None
    if isinstance(grad, Tensor):
        return _recorded_gradients(grad, input, weight, mean, invstd, own_moments, eps)
    return kernels.batch_norm_gradients(grad, settled(input), mean, invstd, weight, own_moments, needs)


def _recorded_gradients(
    grad: Tensor,
    input: Tensor,
    weight: Tensor | None,
    mean_: Array,
    invstd_: Array,
    own_moments: bool,
    eps: float,
) -> tuple[Any, Any, Any]:
    """The kernel's formula in recorded operations, so that it can be differentiated again."""
    per_channel = (1, -1, 1, 1)
    over = (0, 2, 3)
    count = math.prod((input.shape[0], *input.shape[2:]))
    if own_moments:
        # The moments depend on the input: computed again, to be differentiated too.
        centred = input - mean(input, over, True)
        invstd = (mean(centred * centred, over, True) + eps) ** -0.5
    else:
        centred = input - Tensor(mean_.astype(input.array.dtype).reshape(per_channel))
        invstd = Tensor(invstd_.astype(input.array.dtype).reshape(per_channel))
    normalized = centred * invstd
    grad_weight, grad_bias = sum(grad * normalized, over), sum(grad, over)
    scale = invstd if weight is None else invstd * view(weight, per_channel)
    if own_moments:
        grad = grad - (view(grad_bias, per_channel) + normalized * view(grad_weight, per_channel)) / count
    return grad * scale, grad_weight, grad_bias


def _move(running: Array, observed: Array, momentum: float) -> None:
    """Move `running` in place; `observed` is float64, and so is the sum, until it is rounded once."""
    kept = np.multiply(running, 1 - momentum, dtype=np.float64)
    np.add(kept, observed * momentum, out=running, casting="same_kind")


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
    if input.ndim < 2:
        raise RuntimeError(f"batch_norm: expected at least 2 dims, but got shape {list(input.shape)}")
    channels = input.shape[1]
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
    if training and math.prod((input.shape[0], *input.shape[2:])) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    planes = input if input.ndim == 4 else view(input, (input.shape[0], channels, math.prod(input.shape[2:]), 1))
    tracked = [tensor for tensor in (planes, weight, bias) if isinstance(tensor, Tensor) and tensor.requires_grad]
    input_needed = training or (bool(tracked) and is_grad_enabled())
    out = native_batch_norm(
        planes, weight, bias, running_mean, running_var, training, momentum, eps, input_needed=input_needed
    )
    return out if input.ndim == 4 else view(out, tuple(input.shape))
