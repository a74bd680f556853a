"""What the tests of the convolution algorithms share: a naive reference in float64, and everything checked against it.

`check_every_use` is all that is asked of an algorithm: the same bits however it is called, by however many threads, and
those bits close to the definition.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from gradcli.kernels import threads
from gradcli.kernels.channel_expression import ChannelExpression, Term
from gradcli.kernels.geometry import conv_geometry
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.rows import StoredRows

# Threads, and which gradients to ask for: with what forward kept or without, of stored rows or uncomputed ones.
ROUNDS = ((1, ((True, True), (False, False))), (3, ((True, False), (False, True))))


def geometry_of(input_shape, weight_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, dtype=np.float64):
    return conv_geometry(input_shape, weight_shape, stride, padding, dilation, groups, np.dtype(dtype))


def random_arguments(geometry, seed=0):
    """Images (N, H, W, C), filters (O, kh, kw, C/g) and a gradient of the output (N, OH, OW, O)."""
    generator = np.random.RandomState(seed)
    shapes = geometry.image_shape, geometry.filter_shape, geometry.out_shape
    return [generator.standard_normal(shape).astype(geometry.dtype) for shape in shapes]


def naive_results(geometry, images, filters, grad):
    """The convolution and its two gradients by the definition, window by window, in float64."""
    images, filters, grad = (array.astype(np.float64) for array in (images, filters, grad))
    (top, left), (down, right), (below, beside) = geometry.padding, geometry.stride, geometry.dilation
    padded = np.pad(images, ((0, 0), (top, top), (left, left), (0, 0)))
    out, padded_gradient, filter_gradient = np.zeros(geometry.out_shape), np.zeros_like(padded), np.zeros_like(filters)
    channels, out_channels = geometry.channels // geometry.groups, geometry.out_channels // geometry.groups
    for group, y, x, i, j in itertools.product(
        *map(range, (geometry.groups, geometry.out_height, geometry.out_width, *geometry.kernel))
    ):
        seen = slice(group * channels, (group + 1) * channels)
        made = slice(group * out_channels, (group + 1) * out_channels)
        pixel = slice(None), y * down + i * below, x * right + j * beside, seen
        out[:, y, x, made] += padded[pixel] @ filters[made, i, j].T
        padded_gradient[pixel] += grad[:, y, x, made] @ filters[made, i, j]
        filter_gradient[made, i, j] += grad[:, y, x, made].T @ padded[pixel]
    height, width = geometry.height, geometry.width
    return out, padded_gradient[:, top : top + height, left : left + width], filter_gradient


def all_results(algorithm, geometry, images, filters, grad):
    """Output, gradient of the images and gradient of the filters, as an algorithm computes them."""
    out = np.full(geometry.out_shape, np.nan, geometry.dtype)
    kept = algorithm.forward(geometry, images, filters, out, keep=True)
    gradients = algorithm.gradients(geometry, StoredRows(grad), images, filters, kept, True, True)
    return out, gradients.images, formed(gradients.filters)


class _Case:
    """The arguments of one convolution, which nobody may write into, and its results by the definition.

    The gradient of the output is what an expression such as the backward pass of batch norm and ReLU gives.
    """

    def __init__(self, geometry):
        self.images, self.filters, one = random_arguments(geometry)
        _, _, another = random_arguments(geometry, 1)
        wide = np.result_type(geometry.dtype, np.float32)
        center, factors, constant = np.random.RandomState(2).standard_normal((3, geometry.out_channels)).astype(wide)
        self._expression = geometry.dtype, [Term(one), Term(another, factors, center)], constant, another
        self.grad = self.uncomputed_grad().images().copy()
        self.expected = naive_results(geometry, self.images, self.filters, self.grad)
        for array in (self.images, self.filters, self.grad, one, another):
            array.flags.writeable = False

    def uncomputed_grad(self):
        dtype, terms, constant, mask = self._expression
        return ChannelExpression(dtype, terms, constant, mask=ChannelExpression.stored(mask))


_case = functools.lru_cache(maxsize=None)(_Case)


def check_every_use(algorithm, geometry, tolerance, rounds=ROUNDS):
    """Forward and gradients in every way they can be asked for, by one thread and by three.

    Forward with and without an epilogue; gradients together and one by one (the other argument not there), of stored
    rows and of an expression that is computed while it is read, with and without what forward kept. All ways to ask for
    the same give the same bits; `tolerance` bounds their distance from the definition, relative to the largest value.
    """
    out, images, filters = _case(geometry).expected
    expected = {
        "out": out,
        "images of both": images,
        "filters of both": filters,
        "images alone": images,
        "filters alone": filters,
    }
    _check(algorithm, geometry, tolerance, rounds, expected)


def check_forward(algorithm, geometry, tolerance):
    """As `check_every_use`, for an algorithm that computes the convolution only."""
    rounds = [(count, ()) for count, _ in ROUNDS]
    _check(algorithm, geometry, tolerance, rounds, {"out": _case(geometry).expected[0]})


def _check(algorithm, geometry, tolerance, rounds, expected):
    assert algorithm.supports(geometry)
    case = _case(geometry)
    before = threads.get_num_threads()
    try:
        first = {}
        for count, ways in rounds:
            threads.set_num_threads(count)
            for name, array in _every_use(algorithm, geometry, case, ways):
                equal = np.array_equal(first.setdefault(name, array), array)
                assert equal, f"{name} with {count} threads has other bits than before"
    finally:
        threads.set_num_threads(before)
    assert first.keys() == expected.keys()
    for name, correct in expected.items():
        computed = first[name]
        assert computed.dtype == geometry.dtype
        assert computed.shape == correct.shape
        distance = np.abs(computed - correct).max(initial=0)
        limit = tolerance * np.abs(correct).max(initial=0)
        assert distance <= limit, f"{name}: off by {distance:.3g}, where {limit:.3g} is allowed"


def _every_use(algorithm, geometry, case, ways):
    """Everything that the algorithm can be asked for, as pairs of a name and an array."""
    plain, nothing = _forward(algorithm, geometry, case, keep=False)
    out, kept = _forward(algorithm, geometry, case, keep=True)
    assert nothing is None
    yield "out", plain
    yield "out", out
    yield "out", _forward_with_epilogue(algorithm, geometry, case, plain)
    for with_kept, stored in ways:

        def ask(images, filters, needs_images, needs_filters, value=kept if with_kept else None, stored=stored):
            rows = StoredRows(case.grad) if stored else case.uncomputed_grad()
            return algorithm.gradients(geometry, rows, images, filters, value, needs_images, needs_filters)

        both = ask(case.images, case.filters, True, True)
        yield "images of both", both.images
        yield "filters of both", formed(both.filters)
        # An argument that the result doesn't depend on may be anything of its shape.
        images_alone = ask(_absent(case.images), case.filters, True, False)
        assert images_alone.filters is None
        yield "images alone", images_alone.images
        filters_alone = ask(case.images, _absent(case.filters), False, True)
        assert filters_alone.images is None
        yield "filters alone", formed(filters_alone.filters)


def formed(filters):
    """A gradient of filters (O, kh, kw, C/g), formed if it came as factors."""
    return filters.filters() if isinstance(filters, LowRankGradient) else filters


def _absent(array):
    return np.broadcast_to(array.dtype.type(np.nan), array.shape)


def _forward(algorithm, geometry, case, epilogue=None, keep=False):
    out = np.full(geometry.out_shape, np.nan, geometry.dtype)
    kept = algorithm.forward(geometry, case.images, case.filters, out, epilogue, keep)
    return out, kept


def _forward_with_epilogue(algorithm, geometry, case, plain):
    """The output, with an epilogue that must get every finished pixel once and whose changes must stay."""
    plain_rows, calls, differences = plain.reshape(-1, geometry.out_channels), [], []

    def epilogue(first_pixel, rows):
        calls.append((first_pixel, len(rows)))
        differences.append(not np.array_equal(rows, plain_rows[first_pixel : first_pixel + len(rows)]))
        np.negative(rows, out=rows)

    out, _ = _forward(algorithm, geometry, case, epilogue)
    covered = [pixel for first, count in sorted(calls) for pixel in range(first, first + count)]
    assert covered == list(range(geometry.pixels))
    assert not any(differences)
    return -out
