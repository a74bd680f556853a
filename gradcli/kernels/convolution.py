"""Two-dimensional convolution (cross-correlation, as in PyTorch) and its two gradients.

All three work on im2col columns in pieces of a few megabytes, so that memory stays bounded whatever
the batch, and end in matrix products. Stride, padding and dilation are (vertical, horizontal) pairs.
The two gradients are linear in each of their arguments and adjoint to the convolution, so gradients of
gradients need no further kernels.
"""

from __future__ import annotations

import numpy as np

from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, empty_channels_last, from_nhwc
from gradcli.kernels.matrix_product import matmul
from gradcli.kernels.windows import col2im, conv_output_size, im2col, output_chunks

COLUMN_BYTES = 2 << 20  # columns made at a time: a few pieces fit into the last-level cache


def conv2d_output_shape(
    input_shape: Shape4, weight_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Shape4:
    """Shape (N, O, OH, OW) of a convolution.

    Raises RuntimeError when the channels of input, weight and groups don't go together or the window
    doesn't fit.
    """
    n, channels, height, width = input_shape
    out_channels, channels_per_group, kernel_height, kernel_width = weight_shape
    if groups < 1 or out_channels % groups:
        raise RuntimeError(
            f"groups is {groups}; it must divide the {out_channels} output channels of the weight "
            f"of shape {list(weight_shape)}"
        )
    if channels != channels_per_group * groups:
        raise RuntimeError(
            f"weight of shape {list(weight_shape)} with groups={groups} expects an input with "
            f"{channels_per_group * groups} channels, but the input of shape {list(input_shape)} "
            f"has {channels}"
        )
    return (
        n,
        out_channels,
        conv_output_size(height, kernel_height, stride[0], padding[0], dilation[0]),
        conv_output_size(width, kernel_width, stride[1], padding[1], dilation[1]),
    )


def conv2d(x: Array, weight: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Cross-correlation of `x` (N, C, H, W) with `weight` (O, C/groups, kh, kw); no bias.

    Returns (N, O, OH, OW) over channels-last memory, in the dtype that both share. Raises RuntimeError
    for shapes or dtypes that don't go together.
    """
    _check_same_dtype("input", x, "weight", weight)
    out_shape = conv2d_output_shape(x.shape, weight.shape, stride, padding, dilation, groups)
    out = empty_channels_last(out_shape, x.dtype)
    out_channels = weight.shape[0]
    filters = as_nhwc(weight).reshape(groups, out_channels // groups, -1)
    matrices = filters.transpose(0, 2, 1)  # (g, O/g, K) -> (g, K, O/g)
    _multiply_columns(as_nhwc(x), matrices, as_nhwc(out), _kernel(weight.shape), stride, padding, dilation)
    return out


def conv2d_input_gradient(
    grad: Array,
    weight: Array,
    input_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Gradient of `conv2d` with respect to its input: the transposed convolution of `grad`.

    `grad` is (N, O, OH, OW), `weight` (O, C/groups, kh, kw). Returns `input_shape` (N, C, H, W) over
    channels-last memory. Raises RuntimeError for shapes or dtypes that don't go together.
    """
    _check_same_dtype("gradient", grad, "weight", weight)
    out_shape = conv2d_output_shape(input_shape, weight.shape, stride, padding, dilation, groups)
    _check_gradient_shape(grad, out_shape)
    n, out_channels, out_height, out_width = out_shape
    _, channels, height, width = input_shape
    kernel = _kernel(weight.shape)
    filters = as_nhwc(weight).reshape(groups, out_channels // groups, *kernel, channels // groups)
    grad_images = as_nhwc(grad)

    mirrored_padding = (
        dilation[0] * (kernel[0] - 1) - padding[0],
        dilation[1] * (kernel[1] - 1) - padding[1],
    )
    # Mirroring the weights copies them all, which doesn't pay for a handful of positions.
    mirroring_pays = kernel == (1, 1) or n * out_height * out_width >= out_channels // 2
    if stride == (1, 1) and min(mirrored_padding) >= 0 and mirroring_pays:
        images = np.empty((n, height, width, channels), grad.dtype)
        # (g, O/g, kh, kw, C/g) -> (g, kh, kw, O/g, C/g)
        mirrored = filters[:, :, ::-1, ::-1].transpose(0, 2, 3, 1, 4)
        matrices = mirrored.reshape(groups, -1, channels // groups)
        _multiply_columns(grad_images, matrices, images, kernel, stride, mirrored_padding, dilation)
        return from_nhwc(images)

    images = np.zeros((n, height, width, channels), grad.dtype)
    matrices = filters.reshape(groups, out_channels // groups, -1)
    bytes_per_row = out_width * channels * kernel[0] * kernel[1] * grad.itemsize
    for chunk in output_chunks(n, out_height, bytes_per_row, COLUMN_BYTES):
        grad_rows = _grouped_rows(grad_images[chunk.images, chunk.rows], groups)
        columns = matmul(grad_rows, matrices)
        col2im(columns, images[chunk.images], kernel, stride, padding, dilation, chunk.rows)
    return from_nhwc(images)


def conv2d_weight_gradient(
    grad: Array,
    x: Array,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Gradient of `conv2d` with respect to its weight.

    `grad` is (N, O, OH, OW), `x` (N, C, H, W). Returns `weight_shape` (O, C/groups, kh, kw) over
    (O, kh, kw, C/groups) memory. Raises RuntimeError for shapes or dtypes that don't go together.
    """
    _check_same_dtype("gradient", grad, "input", x)
    out_shape = conv2d_output_shape(x.shape, weight_shape, stride, padding, dilation, groups)
    _check_gradient_shape(grad, out_shape)
    n, out_channels, out_height, out_width = out_shape
    channels_per_group = weight_shape[1]
    kernel = _kernel(weight_shape)
    grad_images, images = as_nhwc(grad), as_nhwc(x)

    filters = np.zeros((out_channels, *kernel, channels_per_group), grad.dtype)
    total = filters.reshape(groups, out_channels // groups, -1)
    bytes_per_row = out_width * channels_per_group * groups * kernel[0] * kernel[1] * grad.itemsize
    for number, chunk in enumerate(output_chunks(n, out_height, bytes_per_row, COLUMN_BYTES)):
        columns = im2col(images[chunk.images], kernel, stride, padding, dilation, groups, chunk.rows)
        grad_rows = _grouped_rows(grad_images[chunk.images, chunk.rows], groups)
        grad_rows = grad_rows.transpose(0, 2, 1)  # (g, P, O/g) -> (g, O/g, P)
        if number == 0:
            np.matmul(grad_rows, columns, out=total)
        else:
            total += np.matmul(grad_rows, columns)
    return from_nhwc(filters)


def _multiply_columns(
    images: Array,
    matrices: Array,
    out: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    """Fills `out` (N, OH, OW, O) with columns of `images` (N, H, W, C) times `matrices` (groups, K, O/g)."""
    n, out_height, out_width, _ = out.shape
    groups, depth, _ = matrices.shape
    for chunk in output_chunks(n, out_height, out_width * depth * groups * out.itemsize, COLUMN_BYTES):
        columns = im2col(images[chunk.images], kernel, stride, padding, dilation, groups, chunk.rows)
        matmul(columns, matrices, out=_grouped_rows(out[chunk.images, chunk.rows], groups))


def _grouped_rows(images: Array, groups: int) -> Array:
    """The (groups, N*H*W, C/groups) view of whole images or of some rows of one image, (N, H, W, C)."""
    n, height, width, channels = images.shape
    rows = images.reshape(n * height * width, groups, channels // groups)
    return rows.transpose(1, 0, 2)  # (P, g, C/g) -> (g, P, C/g)


def _kernel(weight_shape: Shape4) -> Pair:
    return weight_shape[2], weight_shape[3]


def _check_same_dtype(first_name: str, first: Array, second_name: str, second: Array) -> None:
    if first.dtype != second.dtype:
        raise RuntimeError(
            f"convolution {first_name} is {first.dtype} but its {second_name} is {second.dtype}; they must be the same"
        )


def _check_gradient_shape(grad: Array, out_shape: Shape4) -> None:
    if grad.shape != tuple(out_shape):
        raise RuntimeError(
            f"gradient has shape {list(grad.shape)}, but the convolution's output has shape {list(out_shape)}"
        )
