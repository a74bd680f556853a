"""How the update of an optimizer runs over parameters: all of them in one pass that the threads share, in place.

An update does little with each number and so runs at the pace of the memory. It goes through the parameters in blocks
that stay in the cache from the first operation to the last. That is the last-level cache: blocks for a nearer one are
so short that the threads wait for each other between the calls of NumPy. Small vectors, of which a network with batch
norm has dozens, are strung together to one block for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import memory
from gradcli.kernels.layout import CHANNELS_LAST, Array, memory_order
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.statistics import sum_of_squares
from gradcli.kernels.thin_products import BLOCK_ROWS
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 18  # elements updated at a time; a quarter of that takes a quarter longer
SMALL_PARAMETER = 1 << 12  # elements whose update takes as long as the calls for it
SMALL_TOGETHER = 1 << 10  # the same for a small vector that goes with others


class Rule(Protocol):
    """How parameters move: p becomes `shrink` * p minus their change. Rules that are equal have equal hashes."""

    @property
    def shrink(self) -> float:
        """What parameters are multiplied by before their change is subtracted."""

    def change(self, values: Array, gradient: Array, *states: Array) -> Array:
        """What is to be subtracted, for a block of one axis: an array that `memory.scratch` gave.

        Moves the `states`, which are the optimizer's memory of these parameters, and leaves the rest alone.
        """


class Update(NamedTuple):
    """A parameter, its gradient and its states, all of one shape and dtype, with any strides; and how it moves.

    Equal strides without gaps are fastest: `empty_state` gives them.
    """

    parameter: Array
    gradient: Array | DeferredArray
    states: tuple[Array, ...]
    rule: Rule


Block = Callable[[], float]
"""Moves some elements; returns the sum of their squared changes where that is asked for."""


def update_parameters(updates: Sequence[Update], *, measured: bool = False) -> float:
    """Moves parameters one step by their rules, and their states with them; both change in place.

    With `measured`, returns the sum of the squares of all changes, else 0. Gradients are left alone; low-rank ones
    are formed block by block. Raises ValueError before anything changes when an array doesn't match its parameter.
    """
    for update in updates:
        _check(update)
    pieces = _pieces(updates, measured)
    squares = [0.0] * len(pieces)

    def move(number: int) -> None:
        squares[number] = sum(block() for block in pieces[number])

    parallel(move, len(pieces))
    return sum(squares)


def empty_state(parameter: Array) -> Array:
    """An uninitialised array in the parameter's own memory order, so that updates run through both side by side."""
    axes = memory_order(parameter)
    if axes is None:
        return np.empty_like(parameter)
    state = memory.empty(tuple(parameter.shape[axis] for axis in axes), parameter.dtype)
    return state.transpose(np.argsort(axes))


def zero_state(parameter: Array) -> Array:
    """An array of zeros in the parameter's own memory order."""
    state = empty_state(parameter)
    state.fill(0)
    return state


def _check(update: Update) -> None:
    parameter = update.parameter
    for array in (update.gradient, *update.states):
        if array.shape != parameter.shape or array.dtype != parameter.dtype:
            raise ValueError(
                f"gradient or state is {array.dtype} {list(array.shape)}, "
                f"but the parameter is {parameter.dtype} {list(parameter.shape)}"
            )


def _pieces(updates: Sequence[Update], measured: bool) -> list[list[Block]]:
    """Blocks of all updates, in lists of about equal work."""
    pieces: list[list[Block]] = [[]]
    size = 0
    for elements, block in _blocks_of_all(updates, measured):
        if size >= BLOCK_ELEMENTS:
            pieces.append([])
            size = 0
        pieces[-1].append(block)
        size += elements
    return pieces


def _blocks_of_all(updates: Sequence[Update], measured: bool) -> Iterator[tuple[int, Block]]:
    """The blocks of all updates, each with the number of elements that take as long."""
    vectors: dict[tuple[np.dtype[Any], Rule], list[Update]] = {}  # by what those that go together share
    for update in updates:
        if update.parameter.ndim == 1 and update.parameter.size < SMALL_PARAMETER:
            vectors.setdefault((update.parameter.dtype, update.rule), []).append(update)
        else:
            for elements, block in _blocks(update, measured):
                yield max(SMALL_PARAMETER, elements), block
    most = max(1, BLOCK_ELEMENTS // SMALL_PARAMETER)
    for (_, rule), alike in vectors.items():
        for first in range(0, len(alike), most):
            some = alike[first : first + most]
            yield SMALL_TOGETHER * len(some), partial(_move_vectors, some, rule, measured)


def _blocks(update: Update, measured: bool) -> Iterator[tuple[int, Block]]:
    """The blocks of one update, each with its number of elements."""
    parameter, gradient, states, rule = update
    axes = memory_order(parameter)
    move = partial(_move, rule, measured)
    if (
        isinstance(gradient, LowRankGradient)
        and not gradient.is_computed
        and axes == CHANNELS_LAST
        and all(memory_order(state) == axes for state in states)
    ):
        yield from _low_rank_blocks(parameter, gradient, states, move)
        return
    arrays = [parameter, settled(gradient), *states]
    if axes is not None:
        ordered = [array.transpose(axes) for array in arrays]
        if all(array.flags.c_contiguous for array in ordered):
            flat = [array.reshape(-1) for array in ordered]
            for first in range(0, parameter.size, BLOCK_ELEMENTS):
                block = [array[first : first + BLOCK_ELEMENTS] for array in flat]
                yield block[0].size, partial(move, *block)
            return
    yield parameter.size, partial(_move_strided, arrays, move)


def _low_rank_blocks(
    parameter: Array, gradient: LowRankGradient, states: Sequence[Array], move: Callable[..., float]
) -> Iterator[tuple[int, Block]]:
    """The blocks of a parameter (O, C, kh, kw) over (O, kh, kw, C) memory, each some whole filters."""
    filters = parameter.shape[0]
    depth = parameter.size // max(1, filters)
    values, *moving = (array.transpose(CHANNELS_LAST).reshape(filters, depth) for array in (parameter, *states))
    step = max(BLOCK_ROWS, BLOCK_ELEMENTS // max(1, depth) // BLOCK_ROWS * BLOCK_ROWS)

    def move_filters(first: int, last: int) -> float:
        formed = memory.scratch("update.gradient", (last - first, depth), parameter.dtype)
        gradient.rows(first, last, formed)
        rows = (state[first:last].reshape(-1) for state in moving)
        return move(values[first:last].reshape(-1), formed.reshape(-1), *rows)

    for first in range(0, filters, step):
        last = min(first + step, filters)
        yield (last - first) * depth, partial(move_filters, first, last)


def _move_strided(arrays: Sequence[Array], move: Callable[..., float]) -> float:
    """`_move` for arrays whose memory differs in order or has gaps."""
    access: list[list[Literal["readwrite", "readonly"]]] = [["readwrite"] for _ in arrays]
    access[1] = ["readonly"]  # the gradient
    blocks = np.nditer(
        arrays,
        flags=["external_loop", "buffered", "delay_bufalloc", "zerosize_ok"],
        op_flags=access,
        order="K",
        buffersize=BLOCK_ELEMENTS,
    )
    with blocks:
        blocks.reset()
        return sum(move(*block) for block in blocks)


def _move(rule: Rule, measured: bool, values: Array, gradient: Array, *states: Array) -> float:
    """Moves one block of one axis."""
    change = rule.change(values, gradient, *states)
    if not measured:
        _subtract(values, change, rule)
        return 0.0
    # What is measured is what changed, after rounding.
    before = memory.scratch("update.before", values.shape, values.dtype)
    np.copyto(before, values)
    _subtract(values, change, rule)
    return sum_of_squares(np.subtract(values, before, out=before))


def _move_vectors(updates: Sequence[Update], rule: Rule, measured: bool) -> float:
    """Moves small vectors of one dtype that follow one rule."""
    parameters = [update.parameter for update in updates]
    values = np.concatenate(parameters)
    gradient = np.concatenate([settled(update.gradient) for update in updates])
    states = [np.concatenate(alike) for alike in zip(*(update.states for update in updates), strict=True)]
    change = rule.change(values, gradient, *states)
    last = 0
    for parameter, _, own_states, _ in updates:
        first, last = last, last + parameter.size
        _subtract(parameter, change[first:last], rule)  # not copied from `values`: two may share memory
        for state, moved in zip(own_states, states, strict=True):
            np.copyto(state, moved[first:last])
    return sum_of_squares(np.subtract(np.concatenate(parameters), values, out=values)) if measured else 0.0


def _subtract(values: Array, change: Array, rule: Rule) -> None:
    if rule.shrink != 1:
        np.multiply(values, rule.shrink, out=values)
    np.subtract(values, change, out=values)
