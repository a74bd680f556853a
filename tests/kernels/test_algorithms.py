"""Every convolution algorithm, forced on every geometry that it supports, in every way that it can be asked.

The geometries are a wide random family, seeded, and corner cases picked by hand. They are small, and each is computed
in one piece, as usual, and in tiny ones, which threads share.
"""

from __future__ import annotations

import collections

import numpy as np
import pytest

from gradcli.kernels import algorithm as algorithm_module
from gradcli.kernels import (
    direct,
    few_pixels,
    memory,
    pieces,
    pointwise,
    small_map,
    strided,
    window_products,
    winograd,
    winograd_filters,
)
from gradcli.kernels.convolution_choice import ALGORITHMS, FEW_PIXELS_DEFERRED, WINOGRAD
from gradcli.kernels.rows import StoredRows
from tests.kernels.convolution_checks import ROUNDS, all_results, check_every_use, formed, geometry_of, random_arguments

F16, F32, F64 = np.float16, np.float32, np.float64

# Input shape, weight shape, stride, padding, dilation, groups.
CORNERS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 9, 8), (4, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((3, 4, 7, 5), (17, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 5, 4, 4), (16, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 5, 5, 4), (3, 5, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 3, 8, 10), (3, 3, 1, 1), (3, 4), (0, 0), (1, 1), 1),  # the last rows and columns are seen by no window
    ((3, 2, 1, 1), (4, 2, 1, 1), (3, 2), (0, 0), (1, 1), 1),  # strides beyond the image
    ((2, 5, 3, 3), (9, 5, 1, 1), (1, 1), (2, 1), (1, 1), 1),  # 1x1 with padding
    ((1, 2, 1, 1), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # one pixel
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),  # one of everything
    ((1, 1, 2, 2), (1, 1, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((1, 3, 12, 2), (2, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 2, 2, 10), (5, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # no image
    ((0, 3, 4, 4), (4, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((0, 2, 4, 4), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 3, 9, 10), (2, 3, 3, 2), (2, 3), (2, 0), (2, 3), 1),
    ((1, 2, 8, 9), (3, 2, 3, 3), (1, 1), (2, 2), (2, 2), 1),
    ((2, 3, 4, 5), (10, 3, 2, 3), (1, 1), (4, 3), (1, 1), 1),  # padding beyond the window
    ((1, 2, 3, 3), (2, 2, 2, 2), (3, 3), (6, 5), (1, 1), 1),  # windows that see nothing but padding
    ((1, 2, 4, 3), (3, 2, 3, 3), (1, 1), (5, 6), (1, 1), 1),
    ((1, 2, 7, 8), (2, 2, 1, 2), (4, 5), (0, 0), (1, 1), 1),  # pixels that no window sees
    ((2, 2, 3, 3), (4, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),  # one window
    ((2, 2, 33, 5), (3, 2, 3, 3), (1, 1), (0, 1), (1, 1), 1),  # fewer rows of tiles in the output than in the images
    ((1, 1, 2, 9), (1, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 6, 6), (2, 3, 3, 3), (1, 1), (3, 0), (1, 1), 1),
    ((2, 4, 6, 5), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((2, 4, 6, 5), (8, 1, 3, 3), (2, 1), (1, 0), (1, 2), 4),
    ((3, 6, 3, 4), (6, 2, 1, 1), (1, 1), (0, 0), (1, 1), 3),
    ((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
]

# In float32, large enough for several pieces of the usual size, for sums that are cut into runs, and for every kind of
# product that few pixels have: 1, 4, 16, 32, 33 and 200.
LARGER = [
    ((5, 16, 18, 20), (24, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((5, 16, 18, 21), (24, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((5, 16, 28, 24), (32, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 3, 40, 40), (32, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((5, 16, 18, 20), (24, 8, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((4, 64, 16, 16), (64, 64, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 128, 9, 8), (128, 128, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((6, 48, 26, 25), (64, 48, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((6, 48, 53, 52), (64, 48, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((1, 67, 1, 1), (520, 67, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 256, 1, 1), (200, 256, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 256, 2, 2), (515, 256, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 96, 7, 7), (264, 96, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 80, 14, 11), (243, 80, 5, 3), (2, 2), (2, 0), (2, 1), 1),
    ((5, 140, 2, 2), (130, 140, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 70, 1, 2), (513, 70, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((9, 66, 3, 4), (192, 66, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 128, 8, 8), (136, 128, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((4, 96, 3, 5), (96, 96, 3, 3), (2, 1), (1, 0), (1, 1), 1),
    ((11, 64, 3, 1), (80, 64, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((8, 70, 5, 5), (72, 70, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 256, 4, 4), (512, 256, 1, 1), (1, 1), (0, 0), (1, 1), 1),
]

THREE_BY_THREE = {"kernel": (3, 3), "dilation": (1, 1), "groups": 1}
# How many random geometries, and what they have in common: each algorithm's own kind beside those of any kind.
FAMILIES = [
    (110, {}),
    (30, {**THREE_BY_THREE, "stride": (1, 1), "dtype": F32}),
    (25, {**THREE_BY_THREE, "stride": (1, 1), "padding": (1, 1), "most": 4}),
    (25, {**THREE_BY_THREE, "stride": (2, 2), "padding": (1, 1), "even": True}),
    (25, {"kernel": (1, 1), "padding": (0, 0), "groups": 1}),
]
FEWEST_GEOMETRIES = 20  # of each algorithm

# Largest distance from the definition, relative to the largest value; Winograd is float32 alone.
TOLERANCES = {F16: 3e-3, F32: 3e-6, F64: 5e-15}
WINOGRAD_TOLERANCE = 1e-5

SMALL_CUTS = [
    (direct, {"COLUMN_BYTES": 1, "COPIED_ELEMENTS": 7}),
    (strided, {"PIECE_BYTES": 1}),
    (pointwise, {"PIECE_BYTES": 1}),
    (winograd, {"PIECE_BYTES": 1, "FILTERS_AT_ONCE": 2}),
    (winograd_filters, {"FILTERS_AT_ONCE": 2}),
    (
        window_products,
        {"BLOCK_FILTERS": 2, "BLOCK_DEPTH": 3, "BLOCK_GRADIENTS": 2, "FILTERS_AT_ONCE": 3, "CHANNELS_AT_ONCE": 2},
    ),
    (
        few_pixels,
        {"SLICE_WORK": 7, "FILTERS_WORK": 7, "COLUMNS_AT_ONCE": 7, "PIECE_PIXELS": 7, "FEWEST_LIVE_PIXELS": 2},
    ),
    (small_map, {"NARROWEST": 2, "COPIED_ELEMENTS": 20}),
    (algorithm_module, {"PASSED_ELEMENTS": 20}),
    (pieces, {"ADDED_ELEMENTS": 7}),
]
NOT_BY_PIECE = {"LARGEST_PRODUCT_BY_PIECE": 0, "LARGEST_SUM_BY_PIECE": 0}
WINOGRAD_BY_FILTER = (winograd, NOT_BY_PIECE)
WINOGRAD_BY_FREQUENCY = (winograd, {**NOT_BY_PIECE, "MOST_TILES_BY_FILTER": -1})


def random_geometry(generator, most=9, even=False, **fixed):
    """A geometry whose sizes are drawn, apart from those given, such that a window fits."""
    while True:
        groups = int(generator.choice([1, 1, 1, 2, 3]))
        drawn = {
            "kernel": generator.randint(1, 5, 2),
            "stride": generator.choice([1, 1, 2, 3], 2),
            "padding": generator.choice([0, 1, 1, 2, 4], 2),
            "dilation": generator.choice([1, 1, 1, 2, 3], 2),
            "groups": groups,
            "dtype": [F32, F32, F32, F64, F64, F16][generator.randint(6)],
        } | fixed
        kernel, stride, padding, dilation = (
            tuple(map(int, drawn[name])) for name in ("kernel", "stride", "padding", "dilation")
        )
        batch, channels, filters = int(generator.choice([1, 1, 2, 3, 7])), *map(int, generator.randint(1, 7, 2))
        size = [int(side) * (2 if even else 1) for side in generator.randint(1, most + 1, 2)]
        groups = drawn["groups"]
        window = [gap * (taps - 1) + 1 for gap, taps in zip(dilation, kernel, strict=True)]
        if all(side + 2 * pad >= length for side, pad, length in zip(size, padding, window, strict=True)):
            input_shape, weight_shape = (batch, channels * groups, *size), (filters * groups, channels, *kernel)
            return geometry_of(input_shape, weight_shape, stride, padding, dilation, groups, drawn["dtype"])


def all_geometries():
    corners = [geometry_of(*corner, dtype=dtype) for corner in CORNERS for dtype in (F32, F64)]
    sides = [
        geometry_of((batch, 5, height, width), (9, 5, 3, 3), (1, 1), (1, 1), dtype=F64)
        for height in range(1, small_map.LARGEST_SIDE + 1)
        for width in range(1, small_map.LARGEST_SIDE + 1)
        for batch in (1, 3)
    ]
    generator = np.random.RandomState(0)
    drawn = [random_geometry(generator, **fixed) for count, fixed in FAMILIES for _ in range(count)]
    return list(dict.fromkeys([*corners, *sides, *drawn]))


def supporting(geometries):
    """Pairs of an algorithm and a geometry that it supports, as parameters with readable names."""
    for number, geometry in enumerate(geometries):
        for algorithm in ALGORITHMS:
            if algorithm.supports(geometry):
                name = "few-pixels-deferred" if algorithm is FEW_PIXELS_DEFERRED else algorithm.name
                yield pytest.param(algorithm, geometry, id=f"{name}-{number}")


SMALLER_CASES = list(supporting(all_geometries()))
LARGER_CASES = list(supporting([geometry_of(*larger, dtype=F32) for larger in LARGER]))


def tolerance_of(algorithm, geometry):
    return WINOGRAD_TOLERANCE if algorithm is WINOGRAD else TOLERANCES[geometry.dtype.type]


@pytest.fixture(autouse=True)
def _memory_that_holds_no_numbers(monkeypatch):
    """All memory that kernels ask for is full of NaN, which would come out where they read what they never wrote."""
    for name in ("empty", "scratch"):
        monkeypatch.setattr(memory, name, _filled_with_nan(getattr(memory, name)))


def _filled_with_nan(take):
    def taken(*arguments):
        array = take(*arguments)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    return taken


@pytest.fixture
def _small_cuts(monkeypatch):
    _set_constants(monkeypatch, SMALL_CUTS)
    for module in (winograd, few_pixels, window_products):
        module._plan.cache_clear()
    yield
    for module in (winograd, few_pixels, window_products):
        module._plan.cache_clear()


def _set_constants(monkeypatch, cuts):
    for module, constants in cuts:
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize(("algorithm", "geometry"), SMALLER_CASES)
def test_every_use_gives_the_results_of_the_definition(algorithm, geometry):
    check_every_use(algorithm, geometry, tolerance_of(algorithm, geometry), ROUNDS[:1])


@pytest.mark.usefixtures("_small_cuts")
@pytest.mark.parametrize(("algorithm", "geometry"), SMALLER_CASES)
def test_so_it_does_in_small_pieces(algorithm, geometry):
    check_every_use(algorithm, geometry, tolerance_of(algorithm, geometry))


@pytest.mark.usefixtures("_small_cuts")
@pytest.mark.parametrize("way", [WINOGRAD_BY_FILTER, WINOGRAD_BY_FREQUENCY], ids=["by filter", "by frequency"])
@pytest.mark.parametrize(("algorithm", "geometry"), [case for case in SMALLER_CASES if case.values[0] is WINOGRAD])
def test_other_ways_of_winograd(algorithm, geometry, way, monkeypatch):
    _set_constants(monkeypatch, [way])
    check_every_use(algorithm, geometry, WINOGRAD_TOLERANCE)


@pytest.mark.parametrize(("algorithm", "geometry"), LARGER_CASES)
def test_several_pieces_of_the_usual_size(algorithm, geometry):
    check_every_use(algorithm, geometry, tolerance_of(algorithm, geometry))


NESTED_CASES = [
    (algorithm, geometry_of((3, 4, 4, 4), (5, 4, *kernel), *rest), geometry_of((2, 7, 4, 2), (6, 7, *kernel), *rest))
    for kernel, *rest in (
        ((3, 3), (1, 1), (1, 1), (1, 1), 1, F32),
        ((3, 3), (2, 2), (1, 1), (1, 1), 1, F32),
        ((1, 1), (1, 1), (0, 0), (1, 1), 1, F32),
    )
    for algorithm in ALGORITHMS
    if algorithm.supports(geometry_of((3, 4, 4, 4), (5, 4, *kernel), *rest))
]


@pytest.mark.parametrize(("algorithm", "geometry", "other"), NESTED_CASES)
def test_reading_the_gradient_and_epilogues_may_compute_other_convolutions(algorithm, geometry, other):
    images, filters, grad = arguments = random_arguments(geometry)
    others = random_arguments(other)
    out, *gradients = all_results(algorithm, geometry, *arguments)

    def compute_another(*_):
        all_results(algorithm, other, *others)

    class Computing(StoredRows):
        def write(self, *part):
            compute_another()
            super().write(*part)

    compute_another()  # so that it finds working memory large enough, and uses the same below
    again = np.empty_like(out)
    kept = algorithm.forward(geometry, images, filters, again, compute_another, keep=True)
    image_gradient, filter_gradient = algorithm.gradients(
        geometry, Computing(grad), images, filters, kept, needs_images=True, needs_filters=True
    )
    np.testing.assert_array_equal(again, out)
    np.testing.assert_array_equal(image_gradient, gradients[0])
    np.testing.assert_array_equal(formed(filter_gradient), gradients[1])


def test_every_algorithm_has_been_forced_often_enough():
    forced = collections.Counter(
        algorithm for algorithm, geometry in (case.values for case in SMALLER_CASES) if geometry.batch > 0
    )
    assert set(forced) == set(ALGORITHMS)
    assert min(forced.values()) >= FEWEST_GEOMETRIES
