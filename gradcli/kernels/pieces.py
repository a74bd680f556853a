"""How the work of a convolution is cut into pieces for the threads, and how sums over pieces are added up.

Cuts depend on the sizes alone, never on the number of threads, so that neither do the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.threads import get_num_threads, parallel

FEWEST_PIECES = 4  # where there is work enough for them, so that a thread that was held up can leave some to others
# Multiply-adds, some 200 us. A piece is ten or twenty calls of NumPy, and between two of them a thread needs Python: if
# the other one has it just then, it goes to sleep, and waking it up takes 50 us.
SMALLEST_WORK = 8 << 20
# More threads need all pieces. Fewer may take half as many, where the products in them stay cut as they were.
MOST_JOINING_THREADS = 2
FEWEST_PIXELS = 64  # of a piece: the product with them reads all filters and arranges them for BLAS
MOST_SUMS = 16  # partial sums, and so the most threads that can share in one
FEWEST_SUMS = 4
SUMS_BYTES = 4 << 20  # of all partial sums together, between those two bounds: they are added up from the cache
ADDED_ELEMENTS = 1 << 16  # of a sum, added up at a time: enough for NumPy to leave Python to other threads

AnyPiece = TypeVar("AnyPiece")


class Piece(NamedTuple):
    """Some whole images of a batch, or some of the rows of one image."""

    images: slice
    rows: slice
    image_count: int
    row_count: int
    first_pixel: int  # its first one's number in the whole batch; a piece's pixels follow one another
    pixels: int

    @property
    def span(self) -> slice:
        """The pixels of the piece among those of the whole batch."""
        return slice(self.first_pixel, self.first_pixel + self.pixels)


def cut_into_pieces(
    batch: int,
    height: int,
    width: int,
    bytes_per_pixel: int,
    work_per_pixel: int,
    budget: int,
    fewest_pixels: int = FEWEST_PIXELS,
) -> tuple[Piece, ...]:
    """Pieces of about equal size that take about `budget` bytes each, in order; at least one row each.

    There are at least four of them, unless that left them less than SMALLEST_WORK (multiply-adds) or fewer than the
    `fewest_pixels`, and an even number, as most machines have an even number of cores.
    """
    pixels = batch * height * width
    by_memory = -(-pixels * bytes_per_pixel // budget)
    by_work = min(FEWEST_PIECES, pixels * work_per_pixel // SMALLEST_WORK, pixels // fewest_pixels)
    count = max(1, by_memory, by_work)
    count += count % 2 if count > 1 else 0
    if count <= batch:
        return tuple(
            piece_of(batch * number // count, batch * (number + 1) // count, 0, height, height, width)
            for number in range(count)
        )
    count = min(height, -(-count // max(1, batch)))
    return tuple(
        piece_of(image, image + 1, height * number // count, height * (number + 1) // count, height, width)
        for image in range(batch)
        for number in range(count)
    )


def piece_of(first_image: int, last_image: int, first_row: int, last_row: int, height: int, width: int) -> Piece:
    """Some rows of some images of height x width; its pixels follow one another if all rows or one image."""
    images, rows = last_image - first_image, last_row - first_row
    return Piece(
        images=slice(first_image, last_image),
        rows=slice(first_row, last_row),
        image_count=images,
        row_count=rows,
        first_pixel=(first_image * height + first_row) * width,
        pixels=images * rows * width,
    )


def joins_pieces() -> bool:
    """Whether few threads compute: half as many pieces are half as many calls of NumPy, after which they may wait."""
    return get_num_threads() <= MOST_JOINING_THREADS


def joined_pieces(first: Piece, last: Piece, height: int, width: int) -> Piece:
    """Everything from `first` to `last`, either rows of one image of height x width or whole images."""
    return piece_of(first.images.start, last.images.stop, first.rows.start, last.rows.stop, height, width)


def for_each_piece(task: Callable[[AnyPiece], object], pieces: Sequence[AnyPiece]) -> None:
    """Run `task` for every piece, shared among the threads."""

    def run(number: int) -> None:
        task(pieces[number])

    parallel(run, len(pieces))


def sum_over_pieces(task: Callable[[AnyPiece, Array], None], pieces: Sequence[AnyPiece], total: Array) -> None:
    """Fill `total`, of any strides, with the sum of what `task` writes for each piece into the array it is given.

    That array is C-contiguous and of the shape of `total`. See `sums_of_pieces` for the order.
    """
    if len(pieces) == 1 and total.flags.c_contiguous:
        parallel(lambda _: task(pieces[0], total), 1)
        return
    _add_in_order(sums_of_pieces(task, pieces, total.shape, total.dtype), total)


def sums_of_pieces(
    task: Callable[[AnyPiece, Array], None], pieces: Sequence[AnyPiece], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """A few partial sums (R, *shape) of what `task` writes for each piece; they are to be added up in order.

    The pieces are dealt out in R runs; within each, one thread adds them up in order.
    """
    runs = min(len(pieces), max(FEWEST_SUMS, min(MOST_SUMS, SUMS_BYTES // max(1, math.prod(shape) * dtype.itemsize))))
    sums = memory.empty((runs, *shape), dtype)

    def add_run(run: int) -> None:
        first, last = len(pieces) * run // runs, len(pieces) * (run + 1) // runs
        task(pieces[first], sums[run])
        for piece in pieces[first + 1 : last]:
            contribution = memory.scratch("pieces.contribution", shape, dtype)
            task(piece, contribution)
            np.add(sums[run], contribution, out=sums[run])

    parallel(add_run, runs)
    return sums


def _add_in_order(sums: Array, total: Array) -> None:
    """Fill `total` with sums[0] + sums[1] + ..., zeros if there are none."""
    if len(sums) == 0:
        total.fill(0)
        return
    axis = int(np.argmax(total.shape))

    def add_block(some: slice) -> None:
        block = *(slice(None),) * axis, some
        first = sums[0][block]
        for following in sums[1:-1]:
            np.add(first, following[block], out=first)
        if len(sums) == 1:
            np.copyto(total[block], first)
        else:
            np.add(first, sums[-1][block], out=total[block])

    for_each_slice(add_block, total.shape[axis], min(total.shape[axis], total.size // ADDED_ELEMENTS))
