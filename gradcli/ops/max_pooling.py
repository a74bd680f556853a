"""Max pooling over windows of each channel's plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import max_pooling as kernels
from gradcli.kernels import max_pooling_gradient
from gradcli.kernels.channel_expression import ChannelExpression
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.dims import IntPair, pair
from gradcli.ops.pooling_windows import check_planes, stride_of

__all__ = [
    "max_pool2d",
    "max_pool2d_with_indices",
]


@op("MaxPool2DWithIndicesBackward0", extras=("winners",), deferred=True)
def max_pool2d_with_winners(
    input: Array | DeferredArray,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> tuple[Array, kernels.Winners]:
    """Largest element of each window of input (N, C, H, W) or (C, H, W), and an account of which these are."""
    images, batched = _readable(input)
    out, winners = kernels.max_pool2d(images, kernel_size, stride, padding, dilation, ceil_mode)
    return out if batched else out[0], winners


@op(differentiable=False, deferred=True)
def max_pool2d_values(
    input: Array | DeferredArray,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> Array:
    """Largest element of each window of input, where no gradient will ask which these are."""
    images, batched = _readable(input)
    out = kernels.max_pool2d_values(images, kernel_size, stride, padding, dilation, ceil_mode)
    return out if batched else out[0]


@op(differentiable=False)
def max_pool2d_positions(
    input: Array, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair, ceil_mode: bool
) -> Array:
    """Where in each window of input its largest element is: (N, C, OH, OW), also for an input without a batch."""
    images, _ = _readable(input)
    _, winners = kernels.max_pool2d(images, kernel_size, stride, padding, dilation, ceil_mode)
    return winners.positions


def _readable(input: Array | DeferredArray) -> tuple[Array | ChannelExpression, bool]:
    """What max pooling can compute row by row as it is, anything else as images (N, C, H, W); whether it had an N."""
    if isinstance(input, ChannelExpression):
        return input, True
    array: Array = settled(input)
    require_kind("max_pool2d", array, "iuf")
    return (array, True) if array.ndim == 4 else (array[None], False)


# --- gradients --------------------------------------------------------------------------------------------------------


@op("MaxPool2DWithIndicesBackwardBackward0")
def max_pool2d_gradient(
    grad_output: Array,
    positions: Array,
    input_shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
) -> Array:
    """The gradient of each window, at the place of its largest element."""
    batched = len(input_shape) == 4
    n, channels, height, width = input_shape if batched else (1, *input_shape)
    result = max_pooling_gradient.max_pool2d_input_gradient(
        grad_output if batched else grad_output[None],
        kernels.Winners(positions),
        (n, channels, height, width),
        kernel_size,
        stride,
        padding,
        dilation,
    ).array()
    return result if batched else result[0]


def _gathered(
    values: Array, positions: Array, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair
) -> Array:
    images = values if values.ndim == 4 else values[None]
    out = max_pooling_gradient.max_pool2d_gather(images, positions, kernel_size, stride, padding, dilation)
    return out if values.ndim == 4 else out[0]


@op("MaxPool2DWithIndicesBackward0")
def max_pool2d_at(
    input: Array, positions: Array, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair
) -> Array:
    """The elements of input that the windows took: the result of the pooling, once the positions are known."""
    return _gathered(input, positions, kernel_size, stride, padding, dilation)


@op("GatherBackward0")
def max_pool2d_gather(
    values: Array, positions: Array, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair
) -> Array:
    """The elements of values, of the input's shape, at the places that the windows took."""
    return _gathered(values, positions, kernel_size, stride, padding, dilation)


@max_pool2d_with_winners.gradients("input")
def _max_pool2d_input_gradient(
    grad: Any,
    winners: kernels.Winners,
    input_shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
) -> tuple[Any]:
    options = (kernel_size, stride, padding, dilation)
    if isinstance(grad, Tensor) or len(input_shape) == 3:
        return (max_pool2d_gradient(grad, winners.positions, input_shape, *options),)
    n, channels, height, width = input_shape
    shape = n, channels, height, width
    return (max_pooling_gradient.max_pool2d_input_gradient(settled(grad), winners, shape, *options),)


max_pool2d_at.gradient(
    input=lambda grad, positions, input_shape, kernel_size, stride, padding, dilation: max_pool2d_gradient(
        grad, positions, input_shape, kernel_size, stride, padding, dilation
    )
)
max_pool2d_gradient.gradient(
    grad_output=lambda grad, positions, kernel_size, stride, padding, dilation: max_pool2d_gather(
        grad, positions, kernel_size, stride, padding, dilation
    )
)
max_pool2d_gather.gradient(
    values=lambda grad, positions, values_shape, kernel_size, stride, padding, dilation: max_pool2d_gradient(
        grad, positions, values_shape, kernel_size, stride, padding, dilation
    )
)


# --- as PyTorch has them ----------------------------------------------------------------------------------------------


def max_pool2d(
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of each window of input (N, C, H, W) or (C, H, W); stride defaults to the kernel size.

    Padding counts as minus infinity. Of equal elements the first gets the whole gradient, and NaN wins, as in PyTorch.
    With `return_indices` also where they are in their planes, row by row.
    """
    require_tensors("max_pool2d", input=input)
    if return_indices:
        return max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    check_planes("max_pool2d", input)
    kernel = pair(kernel_size, "kernel_size")
    pool = max_pool2d_with_winners if input.requires_grad and is_grad_enabled() else max_pool2d_values
    return pool(
        input,
        kernel_size=kernel,
        stride=stride_of(stride, kernel),
        padding=pair(padding, "padding"),
        dilation=pair(dilation, "dilation"),
        ceil_mode=ceil_mode,
    )


def max_pool2d_with_indices(
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple[Any, Any]:
    """The result of `max_pool2d`, and the number of each one's element in its plane, row by row, as int64."""
    check_planes("max_pool2d", input)
    kernel = pair(kernel_size, "kernel_size")
    windows = kernel, stride_of(stride, kernel), pair(padding, "padding"), pair(dilation, "dilation")
    positions = max_pool2d_positions(input, *windows, ceil_mode)
    values = max_pool2d_at(input, positions, *windows)
    indices = kernels.max_pool2d_indices(positions.array, input.shape[-1], *windows)
    return values, Tensor(indices if input.ndim == 4 else indices[0])
