"""Two-dimensional convolution (cross-correlation, as in PyTorch) and its two gradients, by the algorithm that fits.

Stride, padding and dilation are (vertical, horizontal) pairs. The two gradients are linear in each of their arguments
and adjoint to the convolution, so gradients of gradients need no further kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.deferred import DeferredArray
from gradcli.kernels import memory
from gradcli.kernels.algorithm import Epilogue, ForwardAlgorithm
from gradcli.kernels.channel_expression import ChannelExpression, PieceTask, UnfinishedImages
from gradcli.kernels.convolution_choice import choose_algorithm, choose_forward_algorithm
from gradcli.kernels.geometry import ConvGeometry, conv_geometry
from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.policy import get_kernels
from gradcli.kernels.rows import ImageRows

Gradient = Array | DeferredArray


class UndifferentiatedConvolution(UnfinishedImages):
    """The result (N, O, OH, OW) of a convolution, over channels-last memory.

    Whoever computes it may have a task done with each piece of it while that is in the cache.
    """

    reads_arguments = True

    def __init__(self, geometry: ConvGeometry, algorithm: ForwardAlgorithm, images: Array, filters: Array) -> None:
        n, height, width, channels = geometry.out_shape
        super().__init__((n, channels, height, width), geometry.dtype)
        self.geometry = geometry
        self._algorithm = algorithm
        self._operands: tuple[Array, Array] | None = (images, filters)

    def finished_by(self, task: PieceTask) -> Array:
        return self._convolve(task, keep=False)[0]

    def _compute(self) -> Array:
        out, _ = self._convolve(None, keep=False)
        self._operands = None
        return from_nhwc(out)

    def _convolve(self, epilogue: Epilogue | None, keep: bool) -> tuple[Array, Any]:
        """The result (N, OH, OW, O), and what the algorithm kept."""
        assert self._operands is not None
        out = memory.empty(self.geometry.out_shape, self.dtype)
        return out, self._algorithm.forward(self.geometry, *self._operands, out, epilogue, keep)


class Convolution(UndifferentiatedConvolution):
    """One whose gradients may be asked for: it remembers how it was computed, and what its algorithm kept for them."""

    def __init__(self, geometry: ConvGeometry, images: Array, filters: Array, keep: bool) -> None:
        self.algorithm = choose_algorithm(geometry, get_kernels())
        super().__init__(geometry, self.algorithm, images, filters)
        self.kept: Any = None
        self._keep_for_gradients = keep

    def compute(self, epilogue: Epilogue) -> Array:
        """The result, whose rows of channels `epilogue` sees, piece by piece; only while it is not computed yet."""
        self._keep(self._compute_with(epilogue))
        return self.array()

    def _compute(self) -> Array:
        return self._compute_with(None)

    def _compute_with(self, epilogue: Epilogue | None) -> Array:
        out, self.kept = self._convolve(epilogue, self._keep_for_gradients)
        self._operands = None
        return from_nhwc(out)


def conv2d(
    x: Array, weight: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, keep: bool = False
) -> Convolution:
    """Cross-correlation of `x` (N, C, H, W) with `weight` (O, C/groups, kh, kw); no bias. Computed when needed.

    The result has the dtype that both share; with `keep` it may hold on to intermediate results that save time in
    `conv2d_gradients`. Raises RuntimeError for shapes or dtypes that don't go together.
    """
    geometry = geometry_of(x, weight, stride, padding, dilation, groups)
    return Convolution(geometry, as_nhwc(x), as_nhwc(weight), keep)


def undifferentiated_conv2d(
    x: Array, weight: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> UndifferentiatedConvolution:
    """As `conv2d`, where nobody will ask for gradients: `fast` kernels may be others then."""
    geometry = geometry_of(x, weight, stride, padding, dilation, groups)
    algorithm = choose_forward_algorithm(geometry, get_kernels())
    return UndifferentiatedConvolution(geometry, algorithm, as_nhwc(x), as_nhwc(weight))


def geometry_of(x: Array, weight: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> ConvGeometry:
    """The geometry of a convolution of `x` (N, C, H, W); RuntimeError for shapes or dtypes that don't go together."""
    _check_same_dtype("input", x, "weight", weight)
    return conv_geometry(x.shape, weight.shape, stride, padding, dilation, groups, x.dtype)


def conv2d_gradients(
    grad: Gradient, x: Array, weight: Array, out: Convolution, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[ChannelExpression, Array | LowRankGradient]:
    """Gradients of `conv2d` with respect to its input and to its weight, together: they share work.

    `grad` is (N, O, OH, OW), `out` what `conv2d` returned; the results are (N, C, H, W), and (O, C/groups, kh, kw)
    over (O, kh, kw, C/groups) memory or as its factors. Raises RuntimeError for shapes or dtypes that don't go
    together.
    """
    geometry, rows = _checked(grad, x.shape, weight.shape, x.dtype, stride, padding, dilation, groups)
    images, filters = out.algorithm.gradients(
        geometry, rows, as_nhwc(x), as_nhwc(weight), out.kept, needs_images=True, needs_filters=True
    )
    assert images is not None
    assert filters is not None
    return ChannelExpression.stored(images), _as_weight(filters)


def conv2d_input_gradient(
    grad: Gradient,
    weight: Array,
    input_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> ChannelExpression:
    """Gradient of `conv2d` with respect to its input: the transposed convolution of `grad`.

    `grad` is (N, O, OH, OW), `weight` (O, C/groups, kh, kw). Returns `input_shape` (N, C, H, W) over
    channels-last memory. Raises RuntimeError for shapes or dtypes that don't go together.
    """
    _check_same_dtype("gradient", grad, "weight", weight)
    geometry, rows = _checked(grad, input_shape, weight.shape, weight.dtype, stride, padding, dilation, groups)
    absent = _absent(geometry.image_shape, geometry)
    images, _ = choose_algorithm(geometry, get_kernels()).gradients(
        geometry, rows, absent, as_nhwc(weight), None, needs_images=True, needs_filters=False
    )
    assert images is not None
    return ChannelExpression.stored(images)


def conv2d_weight_gradient(
    grad: Gradient,
    x: Array,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    out: Convolution | None = None,
) -> Array | LowRankGradient:
    """Gradient of `conv2d` with respect to its weight.

    `grad` is (N, O, OH, OW), `x` (N, C, H, W). Returns `weight_shape` (O, C/groups, kh, kw) over
    (O, kh, kw, C/groups) memory or as its factors. Raises RuntimeError for shapes or dtypes that don't go together.
    """
    _check_same_dtype("gradient", grad, "input", x)
    geometry, rows = _checked(grad, x.shape, weight_shape, x.dtype, stride, padding, dilation, groups)
    algorithm = choose_algorithm(geometry, get_kernels()) if out is None else out.algorithm
    absent = _absent(geometry.filter_shape, geometry)
    _, filters = algorithm.gradients(
        geometry, rows, as_nhwc(x), absent, None if out is None else out.kept, needs_images=False, needs_filters=True
    )
    assert filters is not None
    return _as_weight(filters)


def _as_weight(filters: Array | LowRankGradient) -> Array | LowRankGradient:
    """A gradient (O, kh, kw, C/groups) in the shape of the weight, (O, C/groups, kh, kw)."""
    return filters if isinstance(filters, LowRankGradient) else from_nhwc(filters)


def _absent(shape: Shape4, geometry: ConvGeometry) -> Array:
    """Stands for an array that a gradient doesn't depend on; takes no memory."""
    return np.broadcast_to(geometry.dtype.type(0), shape)


def _checked(
    grad: Gradient,
    input_shape: Shape4,
    weight_shape: Shape4,
    dtype: np.dtype[Any],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[ConvGeometry, ImageRows]:
    """The geometry of the convolution, and `grad` as rows of it; RuntimeError where its shape is another."""
    geometry = conv_geometry(tuple(input_shape), tuple(weight_shape), stride, padding, dilation, groups, dtype)
    n, height, width, channels = geometry.out_shape
    if grad.shape != (n, channels, height, width):
        raise RuntimeError(
            f"gradient has shape {list(grad.shape)}, but the convolution's output has shape "
            f"{[n, channels, height, width]}"
        )
    return geometry, ChannelExpression.of(grad)


def _check_same_dtype(first_name: str, first: Gradient, second_name: str, second: Array) -> None:
    if first.dtype != second.dtype:
        raise RuntimeError(
            f"convolution {first_name} is {first.dtype} but its {second_name} is {second.dtype}; they must be the same"
        )
