"""Convolution of few images with small maps: each pixel's window times the filters, both read where they lie.

A general product first copies its operands into an order of its own, and im2col writes most pixels nine times before
that. OpenBLAS leaves the copy out for products of fewer than a million multiplications. So the convolution is cut into
products that small, and into such operands as there are in memory already. For an output pixel, the part of its window
that lies on the image is a few rows of pixels, and the taps that meet them are a few rows of each filter:

    out[n, y, x, o] = sum over rows i of the window:
        images[n, y + i - 1, x0 : x1, :] (N, T*C)  times  filters[o, i, j0 : j1, :] (O, T*C), turned

Nothing is multiplied with padding: on a 2x2 map that is 20 of 36 pairs of pixels and taps, on a 4x4 one 44 of 144. All
products for pixels whose windows meet as many taps are one call of `np.matmul` on strided views, in which one block of
filters after the other is used for all pixels while it is in the cache. The gradient of the images is put together in
the same way from the gradient of the output, and that of the filters tap by tap.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue, pass_rows
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.low_rank import low_rank_gradient
from gradcli.kernels.pieces import FEWEST_PIECES, joins_pieces
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.slices import slices
from gradcli.kernels.thin_products import SMALL_PRODUCT, divisor_below
from gradcli.kernels.threads import parallel
from gradcli.kernels.windows import Tap, window_taps

BLOCK_FILTERS = 16  # read side by side, a power of two; more get in each other's way in the first cache
BLOCK_DEPTH = 1024  # longest sum within a block
BLOCK_GRADIENTS = 256  # the same for the gradient of the images
FILTERS_AT_ONCE = 128  # of an output, computed by one thread
CHANNELS_AT_ONCE = 128  # of the gradient of the images: shorter rows of the filters come slower from memory


class WindowProducts:
    """Any kernel, stride and padding, without dilation and groups, in float32 or float64; images that aren't empty.

    Best with some four to thirty images, of few pixels. With `deferred`, the gradient of the filters comes as a
    `LowRankGradient` where there are few enough pixels.
    """

    name = "window-products"

    def __init__(self, deferred: bool = False) -> None:
        self.deferred = deferred

    def supports(self, geometry: ConvGeometry) -> bool:
        return geometry.plain and geometry.dtype in (np.float32, np.float64) and 0 not in geometry.image_shape

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> None:
        _compute(_plan(geometry, joins_pieces()).outputs, filters, images, out)
        if epilogue is not None:
            pass_rows(epilogue, out.reshape(geometry.pixels, geometry.out_channels))

    def gradients(
        self,
        geometry: ConvGeometry,
        grad: ImageRows,
        images: Array,
        filters: Array,
        kept: None,
        needs_images: bool,
        needs_filters: bool,
    ) -> ConvGradients:
        plan = _plan(geometry, joins_pieces())
        outputs = grad.images()
        image_gradient: Array | None = None
        if needs_images:
            image_gradient = memory.empty(geometry.image_shape, geometry.dtype)
            _compute(plan.pixels, outputs, filters, image_gradient)
        if not needs_filters:
            return ConvGradients(image_gradient, None)
        factors = [_tap_factors(geometry, outputs, images, tap) for tap in plan.taps]
        return ConvGradients(image_gradient, low_rank_gradient(factors, geometry, self.deferred))


class _Run(NamedTuple):
    """Results along one axis that are sums of equally many terms: a tap times an element of the source.

    The results are `length` positions from `first` on, `step` apart; the n-th one's terms are tap + n * tap_step and
    source + n * source_step, and the `terms` that follow there, of which the taps are `next_tap` apart.
    """

    length: int
    first: int
    step: int
    tap: int
    tap_step: int
    source: int
    source_step: int
    terms: int
    next_tap: int


class _View(NamedTuple):
    """A view of a C-contiguous array, in bytes."""

    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    def of(self, array: Array) -> Array:
        view: Array = np.ndarray(self.shape, array.dtype, array, self.offset, self.strides)
        return view


class _Products(NamedTuple):
    """Products (..., M, K) times (..., K, N); their sums over some axes before the last two make up the target."""

    left: _View
    right: _View
    target: _View
    shape: tuple[int, ...]
    summed_shape: tuple[int, ...]  # the same with the axes to be summed as one, the last but two


def _products(left: _View, right: _View, target: _View) -> _Products:
    *stack, rows, columns = target.shape
    terms = math.prod(left.shape[len(stack) : -2])
    return _Products(left, right, target, (*left.shape[:-1], columns), (*stack, terms, rows, columns))


def _compute(pieces: Sequence[Sequence[_Products]], left: Array, right: Array, target: Array) -> None:
    """Share out the pieces. Their views are made beforehand: in the threads, they would keep each other waiting."""
    made = [
        [(some, some.left.of(left), some.right.of(right), some.target.of(target)) for some in piece] for piece in pieces
    ]

    def compute(number: int) -> None:
        for products, some_left, some_right, some_target in made[number]:
            sums = memory.scratch("window_products.sums", products.shape, target.dtype)
            np.matmul(some_left, some_right, out=sums)
            np.add.reduce(sums.reshape(products.summed_shape), axis=-3, out=some_target)

    parallel(compute, len(made))


class _Plan(NamedTuple):
    outputs: tuple[tuple[_Products, ...], ...]  # by piece: output pixels from filters and pixels
    pixels: tuple[tuple[_Products, ...], ...]  # pixels' gradients from those of outputs and filters
    taps: tuple[Tap, ...]


@functools.lru_cache(maxsize=256)
def _plan(geometry: ConvGeometry, joined: bool) -> _Plan:
    """If `joined`, four pieces of outputs are two, where that leaves the blocks of filters as they are."""
    size, out_size = (geometry.height, geometry.width), (geometry.out_height, geometry.out_width)
    down, across = (
        _runs_of_axis(*sizes)
        for sizes in zip(size, out_size, geometry.kernel, geometry.stride, geometry.padding, strict=True)
    )
    taps = window_taps(size, out_size, geometry.kernel, geometry.stride, geometry.padding, geometry.dilation)
    count, channels = geometry.out_channels, geometry.channels
    pieces = count // FILTERS_AT_ONCE
    if joined and pieces == FEWEST_PIECES and count % (pieces * BLOCK_FILTERS) == 0:
        pieces //= 2
    return _Plan(
        tuple(
            tuple(_output_products(geometry, some, *runs) for runs in itertools.product(down[0], across[0]))
            for some in slices(count, pieces)
        ),
        tuple(
            tuple(_pixel_products(geometry, some, *runs) for runs in itertools.product(down[1], across[1]))
            for some in slices(channels, channels // CHANNELS_AT_ONCE)
        ),
        tuple(taps),
    )


def _runs_of_axis(
    size: int, out_size: int, kernel: int, stride: int, padding: int
) -> tuple[tuple[_Run, ...], tuple[_Run, ...]]:
    """The runs of outputs and those of pixels."""
    outputs: list[list[Pair]] = [[] for _ in range(out_size)]
    pixels: list[list[Pair]] = [[] for _ in range(size)]
    for output in range(out_size):
        for tap in range(kernel):
            pixel = output * stride + tap - padding
            if 0 <= pixel < size:
                outputs[output].append((tap, pixel))
                pixels[pixel].append((tap, output))
    return _runs(outputs, 1), _runs(pixels, -stride)


def _runs(results: Sequence[Sequence[Pair]], next_tap: int) -> tuple[_Run, ...]:
    """Runs for results whose terms are (tap, source) pairs, sources one after the other."""
    alike: dict[int, list[int]] = {}
    for position, pairs in enumerate(results):
        alike.setdefault(len(pairs), []).append(position)
    runs: list[_Run] = []
    for terms, positions in alike.items():
        starts = [(position, *(results[position][0] if terms else (0, 0))) for position in positions]
        while starts:
            first = starts[0]
            step = tuple(b - a for a, b in zip(first, starts[1], strict=True)) if len(starts) > 1 else (0, 0, 0)
            count = 1
            while count < len(starts) and starts[count] == tuple(
                a + count * b for a, b in zip(first, step, strict=True)
            ):
                count += 1
            runs.append(_Run(count, first[0], step[0], first[1], step[1], first[2], step[2], terms, next_tap))
            starts = starts[count:]
    return tuple(runs)


def _output_products(geometry: ConvGeometry, some: slice, down: _Run, across: _Run) -> _Products:
    """Some channels of the outputs (N, OH, OW, O) of two runs; images (N, H, W, C), filters (O, kh, kw, C)."""
    batch, channels, itemsize = geometry.batch, geometry.channels, geometry.dtype.itemsize
    count = some.stop - some.start
    run = across.terms * channels  # of pixels, and of taps, that lie side by side
    depth = divisor_below(run, BLOCK_DEPTH)
    blocks = run // max(1, depth)
    rows = divisor_below(count, max(1, min(BLOCK_FILTERS, SMALL_PRODUCT // max(1, depth * batch))))
    return _products(
        # (O/r, y, x, i, T*C/k, r, k)
        _view(
            geometry.filter_shape,
            itemsize,
            (some.start, down.tap, across.tap, 0),
            (count // rows, down.length, across.length, down.terms, blocks, rows, depth),
            (0, 1, 2, 1, 3, 0, 3),
            (rows, down.tap_step, across.tap_step, 1, depth, 1, 1),
        ),
        # (y, x, i, T*C/k, k, N)
        _view(
            geometry.image_shape,
            itemsize,
            (0, down.source, across.source, 0),
            (down.length, across.length, down.terms, blocks, depth, batch),
            (1, 2, 1, 3, 3, 0),
            (down.source_step, across.source_step, 1, depth, 1, 1),
        ),
        # (O/r, y, x, r, N)
        _view(
            geometry.out_shape,
            itemsize,
            (0, down.first, across.first, some.start),
            (count // rows, down.length, across.length, rows, batch),
            (3, 1, 2, 3, 0),
            (rows, down.step, across.step, 1, 1),
        ),
    )


def _pixel_products(geometry: ConvGeometry, some: slice, down: _Run, across: _Run) -> _Products:
    """Some channels of the gradients of pixels (N, H, W, C) of two runs, likewise."""
    batch, count, itemsize = geometry.batch, geometry.out_channels, geometry.dtype.itemsize
    channels = some.stop - some.start
    rows = divisor_below(count, max(1, min(BLOCK_GRADIENTS, SMALL_PRODUCT // (batch * channels))))
    shape = down.length, across.length, down.terms, across.terms, count // rows
    return _products(
        # (y, x, q, p, O/r, N, r)
        _view(
            geometry.out_shape,
            itemsize,
            (0, down.source, across.source, 0),
            (*shape, batch, rows),
            (1, 2, 1, 2, 3, 0, 3),
            (down.source_step, across.source_step, 1, 1, rows, 1, 1),
        ),
        # (y, x, q, p, O/r, r, C)
        _view(
            geometry.filter_shape,
            itemsize,
            (0, down.tap, across.tap, some.start),
            (*shape, rows, channels),
            (1, 2, 1, 2, 0, 0, 3),
            (down.tap_step, across.tap_step, down.next_tap, across.next_tap, rows, 1, 1),
        ),
        # (y, x, N, C)
        _view(
            geometry.image_shape,
            itemsize,
            (0, down.first, across.first, some.start),
            (down.length, across.length, batch, channels),
            (1, 2, 0, 3),
            (down.step, across.step, 1, 1),
        ),
    )


def _tap_factors(geometry: ConvGeometry, grad: Array, images: Array, tap: Tap) -> tuple[Array, Array]:
    """The factors (O, P') and (P', C) of one tap's gradient, where P' counts the outputs at which it meets a pixel.

    They are copies: a deferred gradient's factors are its own. The left one is stored by rows of the outputs, since a
    product reads it transposed as fast, and turning it round would take longer than the copies.
    """
    left, right = np.array(grad[tap.outputs], order="C"), np.array(images[tap.elements], order="C")
    met = math.prod(left.shape[:3])
    return left.reshape(met, geometry.out_channels).T, right.reshape(met, geometry.channels)


def _view(
    of_shape: tuple[int, ...],
    itemsize: int,
    start: tuple[int, ...],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
) -> _View:
    """The view from the element `start` on, whose axes go along `axes` of an array of `of_shape` in such steps."""
    strides = [math.prod(of_shape[axis + 1 :]) * itemsize for axis in range(len(of_shape))]
    return _View(
        shape,
        sum(map(operator.mul, start, strides)),
        tuple(strides[axis] * step for axis, step in zip(axes, steps, strict=True)),
    )
