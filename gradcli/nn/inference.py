"""Convolution, batch norm and what follows in a row: computed by one call where nobody looks at what is in between.

In passes without gradients over small images, what lies around the kernels takes a good part of the time. The modules
stay as they are, and are called one by one wherever that makes a difference to anyone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradcli.autograd import Tensor
from gradcli.autograd.anomaly import AnomalyMode
from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled, is_inference_mode_enabled
from gradcli.deferred import DeferredArray, may_put_off
from gradcli.nn.activation import ReLU
from gradcli.nn.batchnorm import BatchNorm2d
from gradcli.nn.container import Sequential
from gradcli.nn.conv import Conv2d
from gradcli.nn.module import Module
from gradcli.nn.pooling import MaxPool2d
from gradcli.ops.dims import IntPair, pair
from gradcli.ops.inference import PoolingWindows, RunningBatchNorm, conv2d_batch_norm, conv2d_batch_norm_max_pool2d
from gradcli.ops.pooling_windows import stride_of

_FORWARDS = {kind: kind.forward for kind in (Conv2d, BatchNorm2d, ReLU, Sequential, MaxPool2d)}


def conv_bn_relu(conv: Any, bn: Any, relu: Any, input: Any, shortcut: Any = None) -> Any:
    """`relu(bn(conv(input)) + shortcut)`; without ReLU or shortcut where they are None.

    To be called in the `forward` of a network that `puts_off`.
    """
    operands = _operands(conv, bn, relu, input, input if shortcut is None else shortcut)
    if operands is not None:
        last = None if shortcut is None else shortcut.deferred_array()
        return Tensor.from_operation(conv2d_batch_norm(*operands, last, relu is not None), None)
    result = bn(conv(input))
    if shortcut is not None:
        result = result + shortcut
    return result if relu is None else relu(result)


def conv_bn(layers: Any, input: Any) -> Any:
    """`layers(input)`, in one call where they are a convolution and its batch norm."""
    if _is_plain(layers, Sequential) and len(layers._modules) == 2:
        conv, bn = layers._modules.values()
        operands = _operands(conv, bn, None, input, input)
        if operands is not None:
            return Tensor.from_operation(conv2d_batch_norm(*operands), None)
    return layers(input)


def conv_bn_relu_pool(conv: Any, bn: Any, relu: Any, pool: Any, input: Any) -> Any:
    """`pool(relu(bn(conv(input))))`; to be called as `conv_bn_relu` is. Pools first where kernels are `fast`."""
    if _is_plain(pool, MaxPool2d) and not pool.return_indices:
        operands = _operands(conv, bn, relu, input, input)
        if operands is not None:
            kernel = pair(pool.kernel_size, "kernel_size")
            windows = PoolingWindows(
                kernel,
                stride_of(pool.stride, kernel),
                pair(pool.padding, "padding"),
                pair(pool.dilation, "dilation"),
                pool.ceil_mode,
            )
            return Tensor.from_operation(conv2d_batch_norm_max_pool2d(*operands, windows), None)
    return pool(conv_bn_relu(conv, bn, relu, input))


class _Operands(NamedTuple):
    """The first arguments of `conv2d_batch_norm`."""

    input: Array | DeferredArray
    weight: Array
    stride: IntPair
    padding: IntPair
    dilation: IntPair
    groups: int
    norm: RunningBatchNorm


def _operands(conv: Any, bn: Any, relu: Any, input: Any, shortcut: Any) -> _Operands | None:
    """What to compute the layers from in one call, without a graph; None where they are to be called themselves.

    They are where somebody's code runs in between, a graph is recorded, batch norm takes the batch's own statistics,
    or a layer's tensors aren't those that it is made with; what is wrong with these, the layer says itself. Also where
    every operation is looked at for anomalies, or marks its result as made in `inference_mode`.
    """
    if (
        not may_put_off()
        or AnomalyMode.enabled
        or is_inference_mode_enabled()
        or not _is_plain(conv, Conv2d)
        or not _is_plain(bn, BatchNorm2d)
        or not (relu is None or _is_plain(relu, ReLU))
        or bn.training
    ):
        return None
    weight, mean, variance = conv._parameters.get("weight"), *map(bn._buffers.get, ("running_mean", "running_var"))
    scale, shift = map(bn._parameters.get, ("weight", "bias"))
    operands = input, weight, mean, variance, scale, shift, shortcut
    for operand in operands:
        if not isinstance(operand, Tensor):
            return None
    if conv._parameters.get("bias", weight) is not None:
        return None
    if is_grad_enabled() and any(operand.requires_grad for operand in operands):
        return None
    images, kernel = input.deferred_array(), weight.deferred_array()
    norm = RunningBatchNorm(mean.array, variance.array, scale.array, shift.array, bn.eps)
    if not _fit(images, kernel, norm):
        return None
    return _Operands(
        images,
        kernel,
        pair(conv.stride, "stride"),
        pair(conv.padding, "padding"),
        pair(conv.dilation, "dilation"),
        conv.groups,
        norm,
    )


def _is_plain(module: Any, kind: type[Module]) -> bool:
    """Whether it is such a layer and nothing more: no subclass, no other `forward`, no hook."""
    return (
        type(module) is kind
        and not module._forward_hooks
        and "forward" not in module.__dict__
        and kind.forward is _FORWARDS[kind]
    )


def _fit(images: Any, kernel: Any, norm: RunningBatchNorm) -> bool:
    """Whether these are what the kernels take; those of convolution check the rest."""
    channels, dtype = kernel.shape[:1], kernel.dtype
    return (
        images.ndim == kernel.ndim == 4
        and 0 not in images.shape
        and 0 not in kernel.shape
        and norm.mean.shape == norm.variance.shape == norm.weight.shape == norm.bias.shape == channels
        and norm.mean.dtype == norm.variance.dtype == norm.weight.dtype == norm.bias.dtype == dtype
        and dtype.kind == "f"
        and dtype.itemsize >= 4
    )
