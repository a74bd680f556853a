"""Pooling over windows of each channel's plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import average_pooling, max_pooling, max_pooling_gradient
from gradcli.kernels.channel_expression import ChannelExpression
from gradcli.ops.dims import pair
from gradcli.ops.promotion import require_kind
from gradcli.ops.reduction import mean_dims
from gradcli.ops.shape import squeeze_dim, unsqueeze

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "max_pool2d",
]

IntPair = tuple[int, int]


@op("MaxPool2DWithIndicesBackward0", extras=("winners",), deferred=True)
def max_pool2d_with_winners(
    input: Array | DeferredArray,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> tuple[Array, max_pooling.Winners]:
    """Largest element of each window of input (N, C, H, W), and an account of which these are."""
    return max_pooling.max_pool2d(_readable(input), kernel_size, stride, padding, dilation, ceil_mode)


@op(differentiable=False, deferred=True)
def max_pool2d_values(
    input: Array | DeferredArray,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> Array:
    """Largest element of each window of input (N, C, H, W), where no gradient will ask which these are."""
    return max_pooling.max_pool2d_values(_readable(input), kernel_size, stride, padding, dilation, ceil_mode)


def _readable(input: Array | DeferredArray) -> Array | ChannelExpression:
    """What max pooling can compute row by row as it is, anything else as an array of numbers."""
    if isinstance(input, ChannelExpression):
        return input
    array: Array = settled(input)
    require_kind("max_pool2d", array, "iuf")
    return array


@op("MaxPool2DWithIndicesBackwardBackward0")
def max_pool2d_gradient(
    grad_output: Array,
    positions: Array,
    input_shape: tuple[int, int, int, int],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
) -> Array:
    """The gradient of each window, at the place of its largest element."""
    winners = max_pooling.Winners(positions)
    return max_pooling_gradient.max_pool2d_input_gradient(
        grad_output, winners, input_shape, kernel_size, stride, padding, dilation
    ).array()


@op("GatherBackward0")
def max_pool2d_gather(
    values: Array,
    positions: Array,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
) -> Array:
    """The elements of values (N, C, H, W) that the windows took."""
    return max_pooling_gradient.max_pool2d_gather(values, positions, kernel_size, stride, padding, dilation)


@max_pool2d_with_winners.gradients("input")
def _max_pool2d_input_gradient(
    grad: Any,
    winners: max_pooling.Winners,
    input_shape: tuple[int, int, int, int],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
) -> tuple[Any]:
    options = (input_shape, kernel_size, stride, padding, dilation)
    if isinstance(grad, Tensor):
        return (max_pool2d_gradient(grad, winners.positions, *options),)
    return (max_pooling_gradient.max_pool2d_input_gradient(settled(grad), winners, *options),)


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


def max_pool2d(
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Any:
    """Largest element of each window of input (N, C, H, W) or (C, H, W); stride defaults to the kernel size.

    Padding counts as minus infinity. Of equal elements the first gets the whole gradient, and NaN wins, as in PyTorch.
    """
    if input.ndim == 3:
        return squeeze_dim(max_pool2d(unsqueeze(input, 0), kernel_size, stride, padding, dilation, ceil_mode), 0)
    _check_planes("max_pool2d", input)
    kernel = pair(kernel_size, "kernel_size")
    pool = max_pool2d_with_winners if input.requires_grad and is_grad_enabled() else max_pool2d_values
    return pool(
        input,
        kernel_size=kernel,
        stride=_stride(stride, kernel),
        padding=pair(padding, "padding"),
        dilation=pair(dilation, "dilation"),
        ceil_mode=ceil_mode,
    )


@op("AvgPool2DBackward0")
def avg_pool2d_windows(
    input: Array,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Mean of each window of input (N, C, H, W)."""
    require_kind("avg_pool2d", input)
    return average_pooling.avg_pool2d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@op("AvgPool2DBackwardBackward0")
def avg_pool2d_gradient(
    grad_output: Array,
    input_shape: tuple[int, int, int, int],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """The gradient of each window's mean, spread over the window."""
    return average_pooling.avg_pool2d_input_gradient(
        grad_output, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


avg_pool2d_windows.gradient(
    input=lambda grad, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: (
        avg_pool2d_gradient(
            grad, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
    )
)
avg_pool2d_gradient.gradient(
    grad_output=lambda grad, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: (
        avg_pool2d_windows(grad, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    )
)


def avg_pool2d(
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Mean of each window of input (N, C, H, W) or (C, H, W), as `torch.nn.functional.avg_pool2d`."""
    if input.ndim == 3:
        options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return squeeze_dim(avg_pool2d(unsqueeze(input, 0), *options), 0)
    _check_planes("avg_pool2d", input)
    kernel = pair(kernel_size, "kernel_size")
    return avg_pool2d_windows(
        input,
        kernel_size=kernel,
        stride=_stride(stride, kernel),
        padding=pair(padding, "padding"),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@op("AdaptiveAvgPool2DBackward0")
def adaptive_avg_pool2d_to(input: Array, output_size: IntPair) -> Array:
    """Means of input (N, C, H, W) over a grid of output_size areas."""
    require_kind("adaptive_avg_pool2d", input)
    return average_pooling.adaptive_avg_pool2d(input, output_size)


@op("AdaptiveAvgPool2DBackwardBackward0")
def adaptive_avg_pool2d_gradient(
    grad_output: Array, input_shape: tuple[int, int, int, int], output_size: IntPair
) -> Array:
    """The gradient of each area's mean, spread over the area."""
    return average_pooling.adaptive_avg_pool2d_input_gradient(grad_output, input_shape)


adaptive_avg_pool2d_to.gradient(
    input=lambda grad, input_shape, output_size: adaptive_avg_pool2d_gradient(grad, input_shape, output_size)
)
adaptive_avg_pool2d_gradient.gradient(grad_output=lambda grad, output_size: adaptive_avg_pool2d_to(grad, output_size))


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None]) -> Any:
    """Means of input (N, C, H, W) or (C, H, W) over a grid of output_size areas; None keeps a size.

    Area i of n covers floor(i * size / n) to ceil((i + 1) * size / n), as in PyTorch.
    """
    if input.ndim == 3:
        return squeeze_dim(adaptive_avg_pool2d(unsqueeze(input, 0), output_size), 0)
    _check_planes("adaptive_avg_pool2d", input)
    wanted = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(wanted) != 2 or any(want is not None and want < 0 for want in wanted):
        raise RuntimeError(f"adaptive_avg_pool2d: output_size must be one or two sizes >= 0, but got {output_size}")
    height, width = (size if want is None else want for want, size in zip(wanted, input.shape[2:], strict=True))
    if (height, width) == (1, 1):
        return mean_dims(input, (-1, -2), True)
    return adaptive_avg_pool2d_to(input, (height, width))


def _stride(stride: int | Sequence[int] | None, kernel: IntPair) -> IntPair:
    """The stride, or the kernel's size where None or an empty list is given."""
    return kernel if stride is None or stride in ((), []) else pair(stride, "stride")


def _check_planes(operation: str, input: Any) -> None:
    if input.ndim != 4 or input.shape[1] == 0:
        raise RuntimeError(
            f"{operation}: expected 3D or 4D input with at least one channel, but got shape {list(input.shape)}"
        )
