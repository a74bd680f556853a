"""Which algorithm computes a convolution: the one table of what is fastest where, and why."""

from __future__ import annotations

import functools

from gradcli.kernels.algorithm import ConvAlgorithm, ForwardAlgorithm
from gradcli.kernels.direct import Direct
from gradcli.kernels.few_pixels import FewPixels
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.pointwise import Pointwise
from gradcli.kernels.policy import Kernels
from gradcli.kernels.small_map import SmallMap
from gradcli.kernels.strided import StridedByParity
from gradcli.kernels.toeplitz import Toeplitz
from gradcli.kernels.window_products import WindowProducts
from gradcli.kernels.winograd import Winograd
from gradcli.kernels.winograd_transforms import TILE

WINOGRAD, WINOGRAD_FORWARD, SMALL_MAP = Winograd(), Winograd(cuts_anywhere=True), SmallMap()
FEW_PIXELS, FEW_PIXELS_DEFERRED = FewPixels(), FewPixels(deferred=True)
WINDOW_PRODUCTS, WINDOW_PRODUCTS_DEFERRED = WindowProducts(), WindowProducts(deferred=True)
POINTWISE, STRIDED, DIRECT = Pointwise(), StridedByParity(), Direct()
TOEPLITZ = Toeplitz()

ALGORITHMS: tuple[ConvAlgorithm, ...] = (
    WINOGRAD,
    SMALL_MAP,
    FEW_PIXELS,
    FEW_PIXELS_DEFERRED,
    WINDOW_PRODUCTS,
    WINDOW_PRODUCTS_DEFERRED,
    POINTWISE,
    STRIDED,
    DIRECT,
)

# Winograd computes 36 numbers for each pair of channels where the filters have 9, which takes tiles to be worth it.
FEWEST_TILES = 8
LARGEST_WINOGRAD = 512 * 512  # pairs of channels: what lies beyond was not measured
SMALLEST_FILL = 0.7  # of the tiles with pixels of the output: what hangs over the edges is computed, too
# Small maps leave out the multiplications with padding. How many images window products are best for, by pixels of each
# map; with more, larger products pay for their copies, and with fewer, columns of all pixels at once are as good.
WINDOW_IMAGES = {4: range(4, 32), 9: range(3, 17), 16: range(3, 12)}
WINDOW_CHANNELS = 64  # at least: with fewer, the products are too small
FEWEST_SMALL_MAPS = {1: 1, 2: 2, 4: 12, 9: 9, 16: 9}  # images by pixels of each
# With stride 2 the same by pixels of the output. Only the convolution itself gains, not its gradients.
STRIDED_WINDOW_IMAGES = {1: range(2, 513), 4: range(8, 49), 16: range(6, 33)}
FEWEST_TOEPLITZ_MAPS = 64  # with fewer, forming sums takes what the products save
MOST_FEW_PIXELS = 200  # beyond, columns of all pixels at once leave the caches
MOST_STRIDED_IMAGES = 3  # with more, a thread takes whole ones
MOST_POINTS = 16  # the same for 1x1 windows, whose pixels are columns already


@functools.lru_cache(maxsize=1024)
def choose_algorithm(geometry: ConvGeometry, kernels: Kernels) -> ConvAlgorithm:
    """The algorithm for a convolution, given which kernels are allowed: the first that supports it and pays.

    Measured on two cores with the sizes of ResNet-18 (`benchmarks/convolutions.py`).
    """
    # An update that forms the gradient of the filters on the way rounds otherwise than one of the stored gradient, so
    # only fast kernels put that off.
    deferred = kernels == "fast"
    if SMALL_MAP.supports(geometry) and _suits_window_products(geometry):
        return WINDOW_PRODUCTS_DEFERRED if deferred else WINDOW_PRODUCTS  # no multiplications with padding
    if kernels == "fast" and WINOGRAD.supports(geometry) and _suits_winograd(geometry):
        return WINOGRAD  # a quarter of the multiplications
    if SMALL_MAP.supports(geometry) and _has_maps_enough(geometry):
        return SMALL_MAP  # no multiplications with padding
    few = MOST_POINTS if geometry.kernel == (1, 1) else MOST_FEW_PIXELS
    if FEW_PIXELS.supports(geometry) and 0 < geometry.pixels <= few:
        return FEW_PIXELS_DEFERRED if deferred else FEW_PIXELS  # the filters are the larger part: read them once
    if POINTWISE.supports(geometry):
        return POINTWISE  # pixels are columns already
    if STRIDED.supports(geometry) and geometry.batch <= MOST_STRIDED_IMAGES:
        return STRIDED  # pieces of an image don't overlap, so that threads can share one
    return DIRECT


@functools.lru_cache(maxsize=1024)
def choose_forward_algorithm(geometry: ConvGeometry, kernels: Kernels) -> ForwardAlgorithm:
    """As `choose_algorithm`, where nobody will ask for gradients, which some of the fast algorithms don't have."""
    if kernels == "fast":
        if TOEPLITZ.supports(geometry) and geometry.batch >= FEWEST_TOEPLITZ_MAPS:
            return TOEPLITZ  # nine products instead of sixteen
        if _suits_strided_window_products(geometry):
            return WINDOW_PRODUCTS
    algorithm = choose_algorithm(geometry, kernels)
    return WINOGRAD_FORWARD if algorithm is WINOGRAD else algorithm  # what follows works on each value by itself


def _suits_strided_window_products(geometry: ConvGeometry) -> bool:
    images = STRIDED_WINDOW_IMAGES.get(geometry.out_height * geometry.out_width, range(0))
    return (
        (geometry.kernel, geometry.stride, geometry.padding) == ((3, 3), (2, 2), (1, 1))
        and WINDOW_PRODUCTS.supports(geometry)
        and geometry.batch in images
        and min(geometry.channels, geometry.out_channels) >= WINDOW_CHANNELS
    )


def _suits_window_products(geometry: ConvGeometry) -> bool:
    images = WINDOW_IMAGES.get(geometry.height * geometry.width, range(0))
    return geometry.batch in images and min(geometry.channels, geometry.out_channels) >= WINDOW_CHANNELS


def _suits_winograd(geometry: ConvGeometry) -> bool:
    tiles = geometry.batch * -(-geometry.out_height // TILE) * -(-geometry.out_width // TILE)
    return (
        tiles >= FEWEST_TILES
        and geometry.channels * geometry.out_channels <= LARGEST_WINOGRAD
        and geometry.pixels >= SMALLEST_FILL * tiles * TILE * TILE
    )


def _has_maps_enough(geometry: ConvGeometry) -> bool:
    fewest = FEWEST_SMALL_MAPS.get(geometry.height * geometry.width)
    return fewest is not None and geometry.batch >= fewest
