"""A convolution, what follows of it channel by channel, and its max pooling in one go, where no gradient is wanted.

What never turns a larger value into a smaller one may as well come after the pooling, where a quarter of the values is
left: a shift, a positive factor, ReLU. And the rows of the convolution are pooled as soon as they are computed: what
would be the largest array of a network is never written to memory.
"""

from __future__ import annotations

from gradcli.kernels import memory
from gradcli.kernels.channel_expression import PieceTask, UnfinishedImages
from gradcli.kernels.convolution import geometry_of
from gradcli.kernels.convolution_choice import choose_forward_algorithm
from gradcli.kernels.direct import ConvolvedRows, Direct
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import CHANNELS_LAST, Array, Pair, as_nhwc, from_nhwc
from gradcli.kernels.max_pooling import Pooling, pool_piece, pooling_of
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece
from gradcli.kernels.policy import get_kernels
from gradcli.kernels.rows import StoredRows

PIECE_BYTES = 4 << 20  # of a piece's columns, if none were shared: rows at the edge of a piece are computed twice


class PooledConvolution(UnfinishedImages):
    """The max pooling (N, O, PH, PW) of a convolution, over channels-last memory."""

    reads_arguments = True

    def __init__(self, geometry: ConvGeometry, pooling: Pooling, images: Array, filters: Array) -> None:
        """`images` (N, H, W, C) of any strides, `filters` (O, kh, kw, C / groups) C-contiguous."""
        super().__init__((geometry.batch, geometry.out_channels, *pooling.output_size), geometry.dtype)
        self._geometry = geometry
        self._pooling = pooling
        self._operands = images, filters

    def finished_by(self, task: PieceTask) -> Array:
        return self._pool(task)

    def _compute(self) -> Array:
        return from_nhwc(self._pool(lambda first_pixel, rows: None))

    def _pool(self, task: PieceTask) -> Array:
        geometry, pooling = self._geometry, self._pooling
        images, filters = self._operands
        rows = ConvolvedRows(geometry, StoredRows(images), filters)
        values = memory.empty((geometry.batch, *pooling.output_size, geometry.out_channels), geometry.dtype)
        value_rows = values.reshape(-1, geometry.out_channels)

        def pool(piece: Piece) -> None:
            pool_piece(rows, pooling, piece, values)
            task(piece.first_pixel, value_rows[piece.span])

        for_each_piece(pool, _pieces(geometry, pooling))
        return values


def conv2d_max_pool2d(
    x: Array,
    weight: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    pool: tuple[Pair, Pair, Pair, Pair, bool],
) -> PooledConvolution | None:
    """The pooling of `conv2d`, computed when needed; `pool` are the arguments of `max_pool2d` after the first.

    None where another algorithm convolves faster than the general one does, whose rows can be had one by one. Raises
    RuntimeError as the two do.
    """
    geometry = geometry_of(x, weight, stride, padding, dilation, groups)
    pooling = pooling_of((geometry.out_height, geometry.out_width), *pool)
    if not isinstance(choose_forward_algorithm(geometry, get_kernels()), Direct):
        return None
    return PooledConvolution(geometry, pooling, x.transpose(CHANNELS_LAST), as_nhwc(weight))


def _pieces(geometry: ConvGeometry, pooling: Pooling) -> tuple[Piece, ...]:
    """Pieces of the results."""
    values = pooling.output_size[0] * pooling.output_size[1]
    depth = geometry.depth * geometry.out_height * geometry.out_width // max(1, values)  # of a result
    return cut_into_pieces(
        geometry.batch,
        *pooling.output_size,
        bytes_per_pixel=depth * geometry.groups * geometry.dtype.itemsize,
        work_per_pixel=depth * geometry.out_channels,
        budget=PIECE_BYTES,
    )
