"""The linear maps around Winograd's F(4x4, 3x3): tiles, filters and products, to and from 6x6 frequencies.

A tile of 4x4 outputs reads 6x6 pixels. Both filter (3x3) and outputs (4x4) are looked at as polynomials of degree 2
and 3 in each direction: their product has degree 5 and is known from its values at six points, so that a tile takes
36 products for each pair of channels instead of 144. One direction at a time, the maps are small matrices from Lavin
and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): with images d, filter g, outputs y,

    y = A^T [(G g G^T) * (B^T d B)] A

and transposed for the filter's gradient. Lavin and Gray evaluate at 0, 1, -1, 2, -2 and infinity, which saves
multiplications where transforms are written out as additions. Here transforms are matrix products, which take any
points, and those below lose the fewest digits: a quarter of the largest error and half of the mean one.

Frequencies are numbered column first: 6 * horizontal + vertical.
"""

from __future__ import annotations

import numpy as np

from gradcli.kernels.layout import Array

TILE = 4  # outputs of a tile in one direction
OVERLAP = 2  # pixels that neighbouring tiles both read
READ = TILE + OVERLAP  # pixels that a tile reads, and frequencies, in one direction
FREQUENCIES = READ * READ

POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity

DTYPE = np.dtype(np.float32)


class Map:
    """A linear map that is applied to both directions of tiles; a key for workspaces, which arrays can't be."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = np.ascontiguousarray(matrix, np.float32)


def _matrices() -> tuple[Array, Array, Array]:
    """B^T (6, 6), G (6, 3) and A (6, 4) for POINTS, float64, by Toom and Cook's construction."""
    points = np.array(POINTS)
    others = [np.delete(points, number) for number in range(len(points))]
    # Row i of B^T: the coefficients, lowest first, of the polynomial that vanishes at all other points.
    pixels = np.zeros((READ, READ))
    for number, roots in enumerate(others):
        pixels[number, : READ - 1] = np.poly(roots)[::-1]
    pixels[-1] = np.poly(points)[::-1]
    # The point at infinity takes the highest coefficient.
    outputs = np.vstack([np.vander(points, TILE, increasing=True), np.eye(TILE)[-1]])
    filters = np.vstack([np.vander(points, 3, increasing=True), np.eye(3)[-1]])
    filters[:-1] /= [[np.prod(point - roots)] for point, roots in zip(points, others, strict=True)]
    return pixels, filters, outputs


_PIXELS, _FILTERS, _OUTPUTS = _matrices()
FROM_PIXELS, FROM_FILTERS, FROM_MIRRORED_FILTERS = Map(_PIXELS), Map(_FILTERS), Map(_FILTERS[:, ::-1])
FROM_OUTPUTS, TO_OUTPUTS, TO_FILTERS = Map(_OUTPUTS), Map(_OUTPUTS.T), Map(_FILTERS.T)
