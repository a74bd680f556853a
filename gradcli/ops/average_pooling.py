"""Average and adaptive average pooling over windows of each channel's plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.kernels import average_pooling as kernels
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.dims import IntPair, pair
from gradcli.ops.pooling_windows import check_planes, stride_of
from gradcli.ops.reduction import mean_dims

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
]


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
    """Mean of each window of input (N, C, H, W) or (C, H, W)."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if input.dtype == np.int64:  # the one integer type, whose means are cut off
        out = np.trunc(kernels.avg_pool2d(_images(input).astype(np.float64), *options)).astype(np.int64)
    else:
        require_kind("avg_pool2d", input)
        out = kernels.avg_pool2d(_images(input), *options)
    return out if input.ndim == 4 else out[0]


def _images(planes: Array) -> Array:
    """(C, H, W) as a batch of one; (N, C, H, W) as it is."""
    return planes if planes.ndim == 4 else planes[None]


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    n, channels, height, width = shape if len(shape) == 4 else (1, *shape)
    return n, channels, height, width


@op("AvgPool2DBackwardBackward0")
def avg_pool2d_gradient(
    grad_output: Array,
    input_shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """The gradient of each window's mean, spread over the window."""
    result = kernels.avg_pool2d_input_gradient(
        _images(grad_output),
        _image_shape(input_shape),
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
    return result if len(input_shape) == 4 else result[0]


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
    require_tensors("avg_pool2d", input=input)
    if input.ndim < 3:
        raise IndexError(f"avg_pool2d: expected 3D or 4D input, but got shape {list(input.shape)}")
    check_planes("avg_pool2d", input)
    kernel = pair(kernel_size, "kernel_size")
    return avg_pool2d_windows(
        input,
        kernel_size=kernel,
        stride=stride_of(stride, kernel),
        padding=pair(padding, "padding"),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@op("AdaptiveAvgPool2DBackward0")
def adaptive_avg_pool2d_to(input: Array, output_size: IntPair) -> Array:
    """Means of input (N, C, H, W) or (C, H, W) over a grid of output_size areas."""
    require_kind("adaptive_avg_pool2d", input)
    out = kernels.adaptive_avg_pool2d(_images(input), output_size)
    return out if input.ndim == 4 else out[0]


@op("AdaptiveAvgPool2DBackwardBackward0")
def adaptive_avg_pool2d_gradient(grad_output: Array, input_shape: tuple[int, ...], output_size: IntPair) -> Array:
    """The gradient of each area's mean, spread over the area."""
    result = kernels.adaptive_avg_pool2d_input_gradient(_images(grad_output), _image_shape(input_shape))
    return result if len(input_shape) == 4 else result[0]


adaptive_avg_pool2d_to.gradient(
    input=lambda grad, input_shape, output_size: adaptive_avg_pool2d_gradient(grad, input_shape, output_size)
)
adaptive_avg_pool2d_gradient.gradient(grad_output=lambda grad, output_size: adaptive_avg_pool2d_to(grad, output_size))


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None]) -> Any:
    """Means of input (N, C, H, W) or (C, H, W) over a grid of output_size areas; None keeps a size.

    Area i of n covers floor(i * size / n) to ceil((i + 1) * size / n), as in PyTorch.
    """
    require_tensors("adaptive_avg_pool2d", input=input)
    if not isinstance(output_size, int) and input.ndim <= len(output_size):
        raise ValueError(
            f"Input dimension should be at least {len(output_size) + 1}, but the input has shape {list(input.shape)}"
        )
    check_planes("adaptive_avg_pool2d", input)
    wanted = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(wanted) != 2 or any(want is not None and want < 0 for want in wanted):
        raise RuntimeError(f"adaptive_avg_pool2d: output_size must be one or two sizes >= 0, but got {output_size}")
    height, width = (size if want is None else want for want, size in zip(wanted, input.shape[-2:], strict=True))
    if (height, width) == (1, 1):
        return mean_dims(input, (-1, -2), True)
    return adaptive_avg_pool2d_to(input, (height, width))
