"""Elementwise work on images, put together first and computed in one pass: what batch norm, addition and ReLU do.

A value is a sum of images, each centred and times a factor per channel, plus a constant per channel; then, perhaps,
negative values are set to zero (ReLU), or those where another image isn't positive (its gradient). The forward pass
of a residual block's end and the backward pass of a batch norm both have this form. Computed block by block, the steps
of one block find it in the cache, and a convolution can take the value row by row without it ever being stored, or
finish its own result that way while it is being computed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import memory
from gradcli.kernels.elementwise import mask_block
from gradcli.kernels.layout import Array, as_nhwc, from_nhwc
from gradcli.kernels.threads import parallel
from gradcli.numpy_settings import short_buffers

# Elements computed at a time. Between two NumPy calls a thread may have to wait for another to leave Python, for
# about as long as a call on 64 K elements takes: with fewer, two threads are slower than one.
BLOCK_ELEMENTS = 1 << 18
# Elements of a value from which on it pays to repeat vectors over a line of pixels, and to prepare for threads.
SPREAD_FROM = 1 << 15

_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)

PieceTask = Callable[[int, Array], None]
"""Called with the number of a first pixel and the rows of channels (P, C) from there on, while these are cached."""

Part = slice | tuple[slice, slice]
"""Some lines of pixels among all of a batch, or some rows of some images."""


def precision_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In which images of `dtype` are computed: `dtype` itself, but float32 for float16."""
    return _SINGLE if dtype == _HALF else dtype


class Term(NamedTuple):
    """Images (N, H, W, C), less a center (C,) for each channel, times a factor; the plain images without both.

    In their place there may be a deferred array (N, C, H, W), whose values are asked for when they are needed.
    """

    images: Array | DeferredArray
    factors: Array | None = None
    center: Array | None = None


class UnfinishedImages(DeferredArray):
    """A deferred array whose rows of channels can be worked on while it is computed."""

    def finished_by(self, task: PieceTask) -> Array:
        """Images (N, H, W, C) of it, whose rows `task` changed while they were cached; it stays uncomputed itself."""
        raise NotImplementedError


class ChannelExpression(DeferredArray):
    """A deferred array of shape (N, C, H, W): sum of `terms` plus `constant`, then rectified or masked.

    `rectified` sets negative values to zero; `mask` sets those to zero whose entry in `mask` is zero or below. All
    terms are C-contiguous (N, H, W, C), vectors have the precision that is computed in.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        terms: Sequence[Term],
        constant: Array | None = None,
        *,
        rectified: bool = False,
        mask: ChannelExpression | None = None,
        reads_others: bool = True,
    ) -> None:
        images = terms[0].images
        shape = images.shape
        if not isinstance(images, DeferredArray):
            shape = (shape[0], shape[3], shape[1], shape[2])  # (N, H, W, C) -> (N, C, H, W)
        super().__init__(shape, dtype, reads_others=reads_others)
        self.terms = tuple(terms)
        self.constant = constant
        self.is_rectified = rectified
        self.mask = mask
        self._images: Array | None = None
        self._recipes: dict[tuple[int, bool], _Recipe] = {}

    @classmethod
    def of(cls, value: Array | DeferredArray) -> ChannelExpression:
        """`value` (N, C, H, W), of any strides, as an expression of one term; an expression as it is."""
        return value if isinstance(value, ChannelExpression) else cls.stored(as_nhwc(settled(value)))

    @classmethod
    def stored(cls, images: Array) -> ChannelExpression:
        """The expression that is nothing but C-contiguous `images` (N, H, W, C)."""
        expression = cls(images.dtype, (Term(images),), reads_others=False)
        expression._keep(from_nhwc(images))
        return expression

    # --- putting together -----------------------------------------------------------------------------------------

    def plus(self, other: Array | DeferredArray, *, rectified: bool = False) -> ChannelExpression:
        """The sum with images of the same shape and dtype; ReLU of it if `rectified`."""
        (terms, constant), (more, another) = self._linear(), ChannelExpression.of(other)._linear()
        if constant is None or another is None:
            total = another if constant is None else constant
        else:
            total = constant + another
        return ChannelExpression(self.dtype, (*terms, *more), total, rectified=rectified)

    def __add__(self, other: Any) -> Any:
        other_expression = isinstance(other, ChannelExpression | np.ndarray)
        if other_expression and other.shape == self.shape and other.dtype == self.dtype:
            return self.plus(other)
        return super().__add__(other)

    def rectified(self) -> ChannelExpression:
        """ReLU of it."""
        terms, constant = self._linear()
        return ChannelExpression(self.dtype, terms, constant, rectified=True)

    def masked(self, mask: Array | ChannelExpression) -> ChannelExpression:
        """It where `mask`, of the same shape, is above zero (or NaN), else zero: the gradient of ReLU."""
        terms, constant = self._linear()
        return ChannelExpression(self.dtype, terms, constant, mask=ChannelExpression.of(mask)._as_mask())

    def _linear(self) -> tuple[tuple[Term, ...], Array | None]:
        """Terms and constant whose sum it is; what is stored already, or not linear, is one term."""
        if self.is_computed or self.is_rectified or self.mask is not None:
            return (Term(self.images()),), None
        return self.terms, self.constant

    def _as_mask(self) -> ChannelExpression:
        """Itself, computed if it has a mask too: there is working memory for the values of one."""
        if self.mask is not None:
            self.array()
        return self

    # --- computing ------------------------------------------------------------------------------------------------

    def images(self) -> Array:
        """The value as a C-contiguous array (N, H, W, C), computed once."""
        if self._images is None:
            self.array()
        assert self._images is not None
        return self._images

    def write(self, target: Array, images: slice, rows: slice) -> None:
        """Fill `target` (n, r, W, C), of any strides, with some rows of some images; computed now if not yet."""
        if self._images is None and self._pending() is not None:
            self.array()
        if self._images is not None:
            np.copyto(target, self._images[images, rows])
        else:
            self._recipe(self._line_width()).fill(target, (images, rows))

    def compute(self, task: PieceTask | None = None) -> Array:
        """The value as (P, C) rows of channels, P = N*H*W pixels; `task` sees every piece of it once."""
        n, channels, height, width = self.shape
        if self._images is None and (pending := self._pending()) is not None:
            self._keep(from_nhwc(pending.finished_by(self._finish)))
        recipe = None
        if self._images is None:
            images = memory.empty((n, height, width, channels), self.dtype)
            line_width = self._line_width()
            recipe = self._recipe(line_width)
            lines = images.reshape(n * height * width // line_width, line_width, channels)
        else:
            images = self._images
        rows = images.reshape(n * height * width, channels)

        def piece(number: int) -> None:
            first, last = number * step, min((number + 1) * step, len(rows))
            if recipe is not None:
                part = slice(first // line_width, last // line_width)
                recipe.fill(lines[part], part)
            if task is not None:
                task(first, rows[first:last])

        step = len(rows)
        if images.size > BLOCK_ELEMENTS:
            pieces = -(-images.size // BLOCK_ELEMENTS)
            step = -(-n * height // pieces) * width  # pixels; pieces of whole lines, all about as large
            if recipe is not None or task is not None:
                parallel(piece, -(-len(rows) // step))
        elif images.size < SPREAD_FROM:
            piece(0)
        else:
            with short_buffers():  # as for pieces that are shared: a third of the time less
                piece(0)
        if recipe is not None:
            self._keep(from_nhwc(images))
        return rows

    def _compute(self) -> Array:
        self.compute()
        assert self._array is not None
        return self._array

    def _keep(self, array: Array) -> None:
        self._images = array.transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        super()._keep(array)  # from here on it counts as computed, in other threads too
        self.terms, self.constant, self.mask, self._recipes = (), None, None, {}

    # --- finishing what is being computed -------------------------------------------------------------------------

    def _pending(self) -> UnfinishedImages | None:
        """The term that is not computed yet and can be finished while it is; of several, all but the first are stored.

        None where all are computed.
        """
        first = None
        for term in self.terms:
            if isinstance(term.images, UnfinishedImages) and not term.images.is_computed:
                if first is None:
                    first = term.images
                else:
                    term.images.array()
        return first

    def _finish(self, first_pixel: int, rows: Array) -> None:
        """Turn C-contiguous rows of channels (P, C) of the pending term, in place, into rows of the value.

        May be called by several threads at once, with the pixels in any order and cut anywhere.
        """
        width = self._line_width()
        if first_pixel % width or len(rows) % width:
            width = 1
        lines = rows.reshape(-1, width, rows.shape[1])
        first = first_pixel // width
        self._recipe(width, finishing=True).fill(lines, slice(first, first + len(lines)))

    def _line_width(self) -> int:
        """The pixels over which vectors are repeated: a line of the image, or one where that isn't worth the time."""
        n, channels, height, width = self.shape
        return width if n * height * width * channels >= SPREAD_FROM else 1

    def _recipe(self, line_width: int, finishing: bool = False) -> _Recipe:
        recipe = self._recipes.get((line_width, finishing))
        if recipe is None:
            recipe = self._recipes[line_width, finishing] = _Recipe(self, line_width, finishing)
        return recipe


class _Recipe:
    """How to compute pieces of an expression, as lines of pixels or as rows of images.

    Its vectors are repeated over `line_width` pixels, (line_width, C), which keeps NumPy's inner loops long. When
    `finishing`, the term that is not computed yet stands in the target already.
    """

    def __init__(self, expression: ChannelExpression, line_width: int, finishing: bool) -> None:
        self.line_width = line_width
        self.finishing = finishing
        self.dtype = precision_of(expression.dtype)
        self.terms = [
            (_term_images(term, finishing), _line(term.factors, line_width), _line(term.center, line_width))
            for term in expression.terms
        ]
        if finishing:  # what stands in the target is read before that changes
            self.terms.sort(key=lambda term: term[0] is not None)
        self.constant = _line(expression.constant, line_width)
        self.zeros = _zeros(line_width, expression.shape[1], self.dtype) if expression.is_rectified else None
        self.mask = expression.mask
        if self.mask is not None and self.mask.dtype != self.dtype:
            self.mask.array()  # float16 goes through one buffer, which can't serve for both

    def fill(self, target: Array, part: Part) -> None:
        """Fill `target` with a part: some lines (n, line_width, C), or some rows of some images (n, r, W, C)."""
        if target.dtype != self.dtype:  # float16 is computed in float32
            wide = memory.scratch("channel_expression.wide", target.shape, self.dtype)
            if self.finishing:
                np.copyto(wide, target)
            self._fill(wide, part)
            np.copyto(target, wide, casting="same_kind")
        else:
            self._fill(target, part)

    def _fill(self, target: Array, part: Part) -> None:
        total: Array | None = None
        for images, factors, center in self.terms:
            values = target if images is None else self._part(images, part)
            if factors is not None:
                out = target
                if total is not None:
                    out = memory.scratch("channel_expression.product", target.shape, target.dtype)
                if center is not None:
                    values = np.subtract(values, center, out=out)
                values = np.multiply(values, factors, out=out)
            total = values if total is None else np.add(total, values, out=target)
        assert total is not None
        if self.constant is not None:
            total = np.add(total, self.constant, out=target)
        if self.zeros is not None:
            total = np.maximum(total, self.zeros, out=target)
        if self.mask is not None:
            if total.dtype != target.dtype:
                np.copyto(target, total)
                total = target
            mask_block(total, self._mask_values(self.mask, target, part), out=target)
        elif total is not target:
            np.copyto(target, total)

    def _mask_values(self, mask: ChannelExpression, target: Array, part: Part) -> Array:
        if mask.is_computed:
            return self._part(mask.images(), part)
        values = memory.scratch("channel_expression.mask", target.shape, mask.dtype)
        mask._recipe(self.line_width).fill(values, part)
        return values

    def _part(self, images: Array, part: Part) -> Array:
        """Some lines of `images` (N, H, W, C) as (n, line_width, C), or some rows of some images as (n, r, W, C)."""
        if isinstance(part, slice):
            return images.reshape(-1, self.line_width, images.shape[3])[part]
        return images[part]


def _term_images(term: Term, finishing: bool) -> Array | None:
    """The images (N, H, W, C) of a term; None for those that aren't computed yet while these are being finished."""
    if not isinstance(term.images, DeferredArray):
        return term.images
    return None if finishing and not term.images.is_computed else as_nhwc(term.images.array())


def _line(vector: Array | None, width: int) -> Array | None:
    """A vector (C,) once for each pixel of a line: (W, C)."""
    if vector is None or width == 1:
        return vector
    line = np.empty((width, vector.size), vector.dtype)
    line[...] = vector
    return line


@functools.lru_cache(maxsize=64)
def _zeros(width: int, channels: int, dtype: np.dtype[Any]) -> Array:
    """A line of zeros (W, C): the maximum with a single number takes NumPy three times as long."""
    return np.zeros((width, channels), dtype)
