"""The stochastic gradient descent update, in place and in PyTorch's order of operations.

The update does little with each number and so runs at the pace of the memory. All parameters go through in one pass
that the threads share, in blocks that stay in the cache from the first operation to the last. That is the last-level
cache: blocks for a nearer one are so short that the threads wait for each other between the calls of NumPy. Small
vectors, of which a network with batch norm has dozens, are strung together to one block for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.statistics import sum_of_squares
from gradcli.kernels.thin_products import BLOCK_ROWS
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 18  # elements updated at a time; a quarter of that takes a quarter longer
SMALL_PARAMETER = 1 << 12  # elements whose update takes as long as the calls for it
SMALL_TOGETHER = 1 << 10  # the same for a small vector that goes with others
ACCESS: list[list[Literal["readwrite", "readonly"]]] = [["readwrite"], ["readonly"], ["readwrite"]]


class Update(NamedTuple):
    """A parameter, its gradient and its momentum buffer: of one shape and dtype, with any strides.

    Equal strides without gaps are fastest. A missing buffer is right only without momentum. On the `first_step` the
    buffer's content is ignored.
    """

    parameter: Array
    gradient: Array | DeferredArray
    momentum_buffer: Array | None
    first_step: bool


class Rule(NamedTuple):
    """How a parameter moves; see `sgd_update`."""

    lr: float
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    maximize: bool


Block = Callable[[], float]
"""Moves some elements; returns the sum of their squared changes where that is asked for."""


def sgd_update(updates: Sequence[Update], rule: Rule, *, measured: bool = False) -> float:
    """Moves parameters one step against their gradients, and the momentum buffers with them; both change in place.

    With g = ±gradient + weight_decay * parameter (minus when `maximize`), the buffer becomes
    momentum * buffer + (1 - dampening) * g and the parameter moves by -lr times the buffer, or by
    -lr * (g + momentum * buffer) with `nesterov`; without momentum it moves by -lr * g. On the first step the buffer
    becomes g itself, without dampening, as in PyTorch's `torch.optim.SGD`.

    With `measured`, returns the sum of the squares of all changes, else 0. Gradients are left alone; low-rank ones
    are formed block by block. Raises ValueError before anything changes when an array doesn't match its parameter, or
    a buffer is missing.
    """
    for update in updates:
        _check(update, rule)
    pieces = _pieces(updates, rule, measured)
    squares = [0.0] * len(pieces)

    def move(number: int) -> None:
        squares[number] = sum(block() for block in pieces[number])

    parallel(move, len(pieces))
    return sum(squares)


def empty_momentum_buffer(parameter: Array) -> Array:
    """An uninitialised array in the parameter's own memory order, so that updates run through both side by side."""
    axes = _memory_order(parameter)
    if axes is None:
        return np.empty_like(parameter)
    buffer = memory.empty(tuple(parameter.shape[axis] for axis in axes), parameter.dtype)
    return buffer.transpose(np.argsort(axes))


def _check(update: Update, rule: Rule) -> None:
    parameter, gradient, buffer, _ = update
    for array in (gradient, buffer):
        if array is not None and (array.shape != parameter.shape or array.dtype != parameter.dtype):
            raise ValueError(
                f"gradient or momentum buffer is {array.dtype} {list(array.shape)}, "
                f"but the parameter is {parameter.dtype} {list(parameter.shape)}"
            )
    if rule.momentum and buffer is None:
        raise ValueError(f"momentum is {rule.momentum}, which needs a momentum buffer")


def _pieces(updates: Sequence[Update], rule: Rule, measured: bool) -> list[list[Block]]:
    """Blocks of all updates, in lists of about equal work."""
    pieces: list[list[Block]] = [[]]
    size = 0
    for elements, block in _blocks_of_all(updates, rule, measured):
        if size >= BLOCK_ELEMENTS:
            pieces.append([])
            size = 0
        pieces[-1].append(block)
        size += elements
    return pieces


def _blocks_of_all(updates: Sequence[Update], rule: Rule, measured: bool) -> Iterator[tuple[int, Block]]:
    """The blocks of all updates, each with the number of elements that take as long."""
    vectors: dict[tuple[np.dtype[Any], bool], list[Update]] = {}  # by what those that go together share
    for update in updates:
        if update.parameter.ndim == 1 and update.parameter.size < SMALL_PARAMETER:
            vectors.setdefault((update.parameter.dtype, update.first_step), []).append(update)
        else:
            for elements, block in _blocks(update, rule, measured):
                yield max(SMALL_PARAMETER, elements), block
    most = max(1, BLOCK_ELEMENTS // SMALL_PARAMETER)
    for alike in vectors.values():
        for first in range(0, len(alike), most):
            some = alike[first : first + most]
            yield SMALL_TOGETHER * len(some), partial(_move_vectors, some, rule, measured)


def _blocks(update: Update, rule: Rule, measured: bool) -> Iterator[tuple[int, Block]]:
    """The blocks of one update, each with its number of elements."""
    parameter, gradient, buffer, first_step = update
    move = partial(_move, first_step=first_step, rule=rule, measured=measured)
    if not rule.momentum:
        buffer = None
    axes = _memory_order(parameter)
    same_order = axes == CHANNELS_LAST and (buffer is None or _memory_order(buffer) == axes)
    if isinstance(gradient, LowRankGradient) and not gradient.is_computed and same_order:
        yield from _low_rank_blocks(parameter, gradient, buffer, move)
        return
    arrays = [parameter, settled(gradient)] if buffer is None else [parameter, settled(gradient), buffer]
    if axes is not None:
        ordered = [array.transpose(axes) for array in arrays]
        if all(array.flags.c_contiguous for array in ordered):
            flat = [array.reshape(-1) for array in ordered]
            for first in range(0, parameter.size, BLOCK_ELEMENTS):
                block = [array[first : first + BLOCK_ELEMENTS] for array in flat]
                yield block[0].size, partial(move, *block)
            return
    yield parameter.size, partial(_move_strided, arrays, move)


CHANNELS_LAST = (0, 2, 3, 1)  # (O, C, kh, kw) -> (O, kh, kw, C)


def _memory_order(array: Array) -> tuple[int, ...] | None:
    """The order of axes in which the array's elements follow one another in memory; None where they don't."""
    axes = tuple(range(array.ndim))
    if array.flags.c_contiguous and array.ndim != 4:
        return axes
    if array.ndim == 4 and array.transpose(CHANNELS_LAST).flags.c_contiguous:
        return CHANNELS_LAST
    axes = tuple(sorted(axes, key=lambda axis: -array.strides[axis]))
    return axes if array.transpose(axes).flags.c_contiguous else None


def _low_rank_blocks(
    parameter: Array, gradient: LowRankGradient, buffer: Array | None, move: Callable[..., float]
) -> Iterator[tuple[int, Block]]:
    """The blocks of a parameter (O, C, kh, kw) over (O, kh, kw, C) memory, each some whole filters."""
    filters = parameter.shape[0]
    depth = parameter.size // max(1, filters)
    values = parameter.transpose(CHANNELS_LAST).reshape(filters, depth)
    buffers = None if buffer is None else buffer.transpose(CHANNELS_LAST).reshape(filters, depth)
    step = max(BLOCK_ROWS, BLOCK_ELEMENTS // max(1, depth) // BLOCK_ROWS * BLOCK_ROWS)

    def move_filters(first: int, last: int) -> float:
        formed = memory.scratch("sgd.gradient", (last - first, depth), parameter.dtype)
        gradient.rows(first, last, formed)
        rows = None if buffers is None else buffers[first:last].reshape(-1)
        return move(values[first:last].reshape(-1), formed.reshape(-1), rows)

    for first in range(0, filters, step):
        last = min(first + step, filters)
        yield (last - first) * depth, partial(move_filters, first, last)


def _move_strided(arrays: Sequence[Array], move: Callable[..., float]) -> float:
    """`_move` for arrays whose memory differs in order or has gaps."""
    blocks = np.nditer(
        arrays,
        flags=["external_loop", "buffered", "delay_bufalloc", "zerosize_ok"],
        op_flags=ACCESS[: len(arrays)],
        order="K",
        buffersize=BLOCK_ELEMENTS,
    )
    with blocks:
        blocks.reset()
        return sum(move(*block) for block in blocks)


def _move(
    values: Array, gradient: Array, buffer: Array | None = None, *, first_step: bool, rule: Rule, measured: bool
) -> float:
    """The update of `sgd_update` for one block of one axis; without momentum there is no buffer."""
    change = _change(values, gradient, buffer, first_step, rule)
    if not measured:
        np.subtract(values, change, out=values)
        return 0.0
    # What is measured is what changed, after rounding.
    before = memory.scratch("sgd.before", values.shape, values.dtype)
    np.copyto(before, values)
    np.subtract(values, change, out=values)
    return sum_of_squares(np.subtract(values, before, out=before))


def _move_vectors(updates: Sequence[Update], rule: Rule, measured: bool) -> float:
    """The update of `sgd_update` for small vectors of one dtype, all or none of them at their first step."""
    parameters = [update.parameter for update in updates]
    values = np.concatenate(parameters)
    gradient = np.concatenate([settled(update.gradient) for update in updates])
    buffers = [update.momentum_buffer for update in updates if update.momentum_buffer is not None]
    buffer = np.concatenate(buffers) if rule.momentum else None
    change = _change(values, gradient, buffer, updates[0].first_step, rule)
    last = 0
    for number, parameter in enumerate(parameters):
        first, last = last, last + parameter.size
        np.subtract(parameter, change[first:last], out=parameter)
        if buffer is not None:
            np.copyto(buffers[number], buffer[first:last])
    return sum_of_squares(np.subtract(np.concatenate(parameters), values, out=values)) if measured else 0.0


def _change(values: Array, gradient: Array, buffer: Array | None, first_step: bool, rule: Rule) -> Array:
    """What is to be subtracted from `values`, all of one axis, in working memory; moves the buffer."""
    direction = memory.scratch("sgd.direction", values.shape, values.dtype)
    product = memory.scratch("sgd.product", values.shape, values.dtype)
    if rule.maximize:
        gradient = np.negative(gradient, out=direction)
    if rule.weight_decay:
        np.multiply(values, rule.weight_decay, out=product)
        gradient = np.add(gradient, product, out=direction)
    if buffer is not None:
        if first_step:
            np.copyto(buffer, gradient)
        else:
            np.multiply(buffer, rule.momentum, out=buffer)
            if rule.dampening:
                np.add(buffer, np.multiply(gradient, 1 - rule.dampening, out=product), out=buffer)
            else:
                np.add(buffer, gradient, out=buffer)
        if rule.nesterov:
            np.multiply(buffer, rule.momentum, out=product)
            gradient = np.add(gradient, product, out=direction)
        else:
            gradient = buffer
    return np.multiply(gradient, rule.lr, out=product)
