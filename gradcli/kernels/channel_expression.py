"""Elementwise work on images, put together first and computed in one pass: what batch norm, addition and ReLU do.

A value is a sum of images, each centred and times a factor per channel, plus a constant per channel; then, perhaps,
negative values are set to zero (ReLU), or those where another image isn't positive (its gradient). The forward pass
of a residual block's end and the backward pass of a batch norm both have this form. Computed block by block, the steps
of one block find it in the cache, and a convolution can take the value row by row without it ever being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.deferred import DeferredArray
from gradcli.kernels import memory
from gradcli.kernels.layout import Array, as_nhwc, from_nhwc
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 16  # elements computed at a time: some such buffers fit into the second-level cache

PieceTask = Callable[[int, Array], None]
"""Called with the number of a first pixel and the rows of channels (P, C) from there on, while these are cached."""


class Term(NamedTuple):
    """Images (N, H, W, C), less a center (C,) for each channel, times a factor; the plain images without both."""

    images: Array
    factors: Array | None = None
    center: Array | None = None


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
    ) -> None:
        n, height, width, channels = terms[0].images.shape
        super().__init__((n, channels, height, width), dtype)
        self.terms = tuple(terms)
        self.constant = constant
        self.is_rectified = rectified
        self.mask = mask
        self._lines: _Recipe | None = None

    @classmethod
    def of(cls, value: Array | ChannelExpression) -> ChannelExpression:
        """`value` (N, C, H, W), any strides, as an expression of one term; an expression as it is."""
        return value if isinstance(value, ChannelExpression) else cls.stored(as_nhwc(value))

    @classmethod
    def stored(cls, images: Array) -> ChannelExpression:
        """The expression that is nothing but C-contiguous `images` (N, H, W, C)."""
        expression = cls(images.dtype, [Term(images)])
        expression._keep(from_nhwc(images))
        return expression

    # --- putting together -----------------------------------------------------------------------------------------

    def plus(self, other: Array | ChannelExpression) -> ChannelExpression:
        """The sum with images of the same shape and dtype."""
        (terms, constant), (more, another) = self._linear(), ChannelExpression.of(other)._linear()
        if constant is None or another is None:
            total = another if constant is None else constant
        else:
            total = constant + another
        return ChannelExpression(self.dtype, (*terms, *more), total)

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
        return ChannelExpression(self.dtype, terms, constant, mask=ChannelExpression.of(mask))

    def _linear(self) -> tuple[tuple[Term, ...], Array | None]:
        """Terms and constant whose sum it is; what is stored already, or not linear, is one term."""
        if self.is_computed or self.is_rectified or self.mask is not None:
            return (Term(self.images()),), None
        return self.terms, self.constant

    # --- computing ------------------------------------------------------------------------------------------------

    def images(self) -> Array:
        """The value as a C-contiguous array (N, H, W, C), computed once."""
        return self.array().transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)

    def write(self, target: Array, images: slice, rows: slice) -> None:
        """Fill `target` (n, r, W, C), of any strides, with some rows of some images; computed now if not yet."""
        if self._array is not None:
            np.copyto(target, self.images()[images, rows])
        else:
            self._recipe().fill(target, (images, rows))

    def compute(self, task: PieceTask | None = None) -> Array:
        """The value as (P, C) rows of channels, P = N*H*W pixels; `task` sees every piece of it once."""
        n, channels, height, width = self.shape
        if self._array is None:
            images = memory.empty((n, height, width, channels), self.dtype)
            fill = self._recipe().fill
        else:
            images, fill = self.images(), None
        rows = images.reshape(-1, channels)
        lines = images.reshape(n * height, width, channels)

        def piece(number: int) -> None:
            first, last = number * step, min((number + 1) * step, n * height)
            if fill is not None:
                fill(lines[first:last], slice(first, last))
            if task is not None:
                task(first * width, rows[first * width : last * width])

        step = max(1, BLOCK_ELEMENTS // max(1, width * channels))
        if fill is not None or task is not None:
            parallel(piece, -(-n * height // step))
        if fill is not None:
            self._keep(from_nhwc(images))
        return rows

    def _compute(self) -> Array:
        rows = self.compute()
        return from_nhwc(rows.reshape(self.shape[0], *self.shape[2:], self.shape[1]))

    def _keep(self, array: Array) -> None:
        super()._keep(array)
        self.terms, self.constant, self.mask, self._lines = (), None, None, None

    def _recipe(self) -> _Recipe:
        if self._lines is None:
            self._lines = _Recipe(self)
        return self._lines


class _Recipe:
    """How to compute pieces of an expression: its vectors repeated over a line of pixels, which keeps loops long."""

    def __init__(self, expression: ChannelExpression) -> None:
        width = expression.shape[3]
        self.dtype = np.result_type(expression.dtype, np.float32)
        self.plain = [term.images for term in expression.terms if term.factors is None]
        self.scaled = [
            (term.images, _line(term.factors, width), None if term.center is None else _line(term.center, width))
            for term in expression.terms
            if term.factors is not None
        ]
        self.constant = None if expression.constant is None else _line(expression.constant, width)
        self.rectified = expression.is_rectified
        self.mask = expression.mask

    def fill(self, target: Array, part: slice | tuple[slice, slice]) -> None:
        """Fill `target` with a part: some lines (n, W, C), or some rows of some images (n, r, W, C)."""
        if target.dtype != self.dtype:  # float16 is computed in float32
            wide = memory.scratch("expression wide", target.shape, self.dtype)
            self._fill(wide, part)
            np.copyto(target, wide, casting="same_kind")
        else:
            self._fill(target, part)

    def _fill(self, target: Array, part: slice | tuple[slice, slice]) -> None:
        plain = [_part(images, part) for images in self.plain]
        scaled = [(_part(images, part), factors, center) for images, factors, center in self.scaled]
        if len(plain) > 1:
            np.add(plain.pop(), plain.pop(), out=target)
        elif scaled:
            _scale(*scaled.pop(), out=target)
        else:
            np.copyto(target, plain.pop())
        for values in plain:
            np.add(target, values, out=target)
        for values, factors, center in scaled:
            product = memory.scratch("expression product", target.shape, target.dtype)
            np.add(target, _scale(values, factors, center, out=product), out=target)
        if self.constant is not None:
            np.add(target, self.constant, out=target)
        if self.rectified:
            np.maximum(target, target.dtype.type(0), out=target)
        if self.mask is not None:
            _mask(target, self._mask_values(target, part))

    def _mask_values(self, target: Array, part: slice | tuple[slice, slice]) -> Array:
        assert self.mask is not None
        if self.mask.is_computed:
            return _part(self.mask.images(), part)
        values = memory.scratch("expression mask", target.shape, self.mask.dtype)
        self.mask._recipe().fill(values, part)
        return values


def _part(images: Array, part: slice | tuple[slice, slice]) -> Array:
    """Some lines of `images` (N, H, W, C) as (n, W, C), or some rows of some images as (n, r, W, C)."""
    if isinstance(part, slice):
        return images.reshape(-1, *images.shape[2:])[part]  # (N, H, W, C) -> (N*H, W, C)
    return images[part]


def _scale(values: Array, factors: Array, center: Array | None, out: Array) -> Array:
    """(values - center) * factors."""
    if center is not None:
        values = np.subtract(values, center, out=out)
    return np.multiply(values, factors, out=out)


def _line(vector: Array, width: int) -> Array:
    """A vector (C,) once for each pixel of a line: (W, C)."""
    line = np.empty((width, vector.size), vector.dtype)
    line[...] = vector
    return line


def _mask(target: Array, values: Array) -> None:
    """Set `target` to zero, in place, where `values` are zero or below."""
    dropped = memory.scratch("expression dropped", target.shape, np.dtype(np.uint8))
    np.less_equal(values, values.dtype.type(0), out=dropped.view(np.bool_))
    np.subtract(dropped, np.uint8(1), out=dropped)  # 0 where dropped, else all bits set
    integer = np.dtype(f"i{target.dtype.itemsize}")
    bits = memory.scratch("expression bits", target.shape, integer)
    np.copyto(bits, dropped.view(np.int8))
    whole = target.view(integer)
    np.bitwise_and(whole, bits, out=whole)
