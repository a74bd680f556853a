"""Two-dimensional convolution. Its gradients are operations too, each the other's gradient, so any order works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray, may_put_off, settled
from gradcli.kernels import convolution as kernels
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.dims import IntPair, pair
from gradcli.ops.padding import constant_pad_nd
from gradcli.ops.reduction import sum_dims
from gradcli.ops.shape import squeeze_dim, unsqueeze

__all__ = [
    "conv2d",
]


@op("ConvolutionBackward0", extras=("convolved",), deferred=True)
def convolution(
    input: Array | DeferredArray,
    weight: Array,
    bias: Array | None,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
    keep: bool = False,
) -> tuple[Array | DeferredArray, kernels.Convolution]:
    """Cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW), plus bias (O,).

    With `keep`, intermediate results that save time in the weight's gradient are kept for it.
    """
    require_kind("conv2d", weight, "iuf")
    convolved = kernels.conv2d(settled(input), weight, stride, padding, dilation, groups, keep)
    if bias is None and may_put_off():
        return convolved, convolved
    out = convolved.array()
    if bias is not None:
        if bias.dtype != out.dtype:
            raise RuntimeError(f"Input type ({out.dtype}) and bias type ({bias.dtype}) should be the same")
        if bias.shape != weight.shape[:1]:
            raise RuntimeError(
                f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
                f"{weight.shape[0]} elements, but got bias of size {list(bias.shape)} instead"
            )
        out += bias[:, None, None]
    return out, convolved


@op("ConvolutionInputGradientBackward0", deferred=True)
def convolution_input_gradient(
    grad_output: Array | DeferredArray,
    weight: Array | DeferredArray,
    input_shape: tuple[int, int, int, int],
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
) -> DeferredArray:
    """Gradient of a convolution with respect to its input: linear in `grad_output` and in `weight`."""
    return kernels.conv2d_input_gradient(grad_output, settled(weight), input_shape, stride, padding, dilation, groups)


@op("ConvolutionWeightGradientBackward0", deferred=True)
def convolution_weight_gradient(
    grad_output: Array | DeferredArray,
    input: Array | DeferredArray,
    weight_shape: tuple[int, int, int, int],
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
    convolved: kernels.Convolution | None = None,
) -> Array | DeferredArray:
    """Gradient of a convolution with respect to its weight: linear in `grad_output` and in `input`."""
    return kernels.conv2d_weight_gradient(
        grad_output, settled(input), weight_shape, stride, padding, dilation, groups, convolved
    )


convolution.gradient(
    input=lambda grad, weight, input_shape, stride, padding, dilation, groups: convolution_input_gradient(
        grad, weight, input_shape, stride, padding, dilation, groups
    ),
    weight=lambda grad, input, weight_shape, convolved, stride, padding, dilation, groups: convolution_weight_gradient(
        grad, input, weight_shape, stride, padding, dilation, groups, convolved
    ),
    bias=lambda grad: sum_dims(grad, (0, 2, 3)),
)


@convolution.gradients("input", "weight", fresh=True)
def _both_gradients(
    grad: Any,
    input: Any,
    weight: Any,
    convolved: kernels.Convolution,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
) -> tuple[Any, Any]:
    options = (stride, padding, dilation, groups)
    if isinstance(grad, Tensor):
        return (
            convolution_input_gradient(grad, weight, tuple(input.shape), *options),
            convolution_weight_gradient(grad, input, tuple(weight.shape), *options),
        )
    return kernels.conv2d_gradients(grad, settled(input), settled(weight), convolved, *options)


convolution_input_gradient.gradient(
    grad_output=lambda grad, weight, stride, padding, dilation, groups: convolution(
        grad, weight, None, stride, padding, dilation, groups
    ),
    weight=lambda grad, grad_output, weight_shape, stride, padding, dilation, groups: convolution_weight_gradient(
        grad_output, grad, weight_shape, stride, padding, dilation, groups
    ),
)
convolution_weight_gradient.gradient(
    grad_output=lambda grad, input, stride, padding, dilation, groups: convolution(
        input, grad, None, stride, padding, dilation, groups
    ),
    input=lambda grad, grad_output, input_shape, stride, padding, dilation, groups: convolution_input_gradient(
        grad_output, grad, input_shape, stride, padding, dilation, groups
    ),
)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, H, W) or (C, H, W) with weight (O, C / groups, kH, kW), plus bias (O,).

    Meaning, options and output size as `torch.nn.functional.conv2d`; stride, padding and dilation are one number or
    (vertical, horizontal). Padding may be "valid", which is none, or "same", which with stride 1 keeps the size.
    """
    require_tensors("conv2d", input=input, weight=weight)
    if input.ndim == 3:
        return squeeze_dim(conv2d(unsqueeze(input, 0), weight, bias, stride, padding, dilation, groups), 0)
    if input.ndim != 4 or weight.ndim != 4:
        raise RuntimeError(
            f"Expected 3D (unbatched) or 4D (batched) input and 4D weight to conv2d, but got input of size: "
            f"{list(input.shape)} and weight of size: {list(weight.shape)}"
        )
    if 0 in weight.shape or 0 in input.shape[1:]:
        raise RuntimeError(
            "conv2d: only the batch may be empty, but got input of size: "
            f"{list(input.shape)} and weight of size: {list(weight.shape)}"
        )
    keep = is_grad_enabled() and isinstance(weight, Tensor) and weight.requires_grad
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    if isinstance(padding, str):
        input, padding = _padded(input, tuple(weight.shape[2:]), strides, padding, dilations)
    return convolution(input, weight, bias, strides, pair(padding, "padding"), dilations, groups, keep)


def _padded(input: Any, kernel: IntPair, stride: IntPair, padding: str, dilation: IntPair) -> tuple[Any, IntPair]:
    """The padding that a word stands for; where the two sides' differ, the input gets the difference."""
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: {padding!r}; it must be 'same' or 'valid'")
    if stride != (1, 1):
        raise RuntimeError(f"padding='same' is not supported for strided convolutions, but stride is {stride}")
    height, width = (step * (size - 1) for step, size in zip(dilation, kernel, strict=True))
    if height % 2 or width % 2:
        input = constant_pad_nd(input, (0, width % 2, 0, height % 2))
    return input, (height // 2, width // 2)
