"""Padding and cropping the last dims: with a constant, by reflection, with the edge, or all the way round.

`pad` is a sequence (left, right, top, bottom, front, back ...), from the last dim forwards; negative amounts crop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import OperationFunction, op
from gradcli.kernels import memory
from gradcli.ops.arguments import require_kind, require_tensors, values_of
from gradcli.ops.promotion import as_element

__all__ = [
    "pad",
]


@op("ConstantPadNdBackward0")
def constant_pad_nd(input: Array, pad: Sequence[int], value: float = 0) -> Array:
    """input with `value` around it; negative amounts crop."""
    unpadded = [(0, 0)] * (input.ndim - len(pad) // 2)
    amounts = [*unpadded, *zip(pad[-2::-2], pad[::-2], strict=True)]  # before and after, in the order of the dims
    shape, inside, kept = [], [], []
    for size, (before, after) in zip(input.shape, amounts, strict=True):
        if min(before, after, before + after) < -size:
            raise RuntimeError(f"pad: {list(pad)} crops more than there is of an input of shape {list(input.shape)}")
        shape.append(size + before + after)
        inside.append(slice(max(before, 0), max(before, 0) + max(size + min(before, 0) + min(after, 0), 0)))
        kept.append(slice(max(-before, 0), max(size + min(after, 0), max(-before, 0))))
    result = memory.empty(tuple(shape), input.dtype)
    result.fill(as_element(value, input.dtype))  # a fraction given for integers is cut off, as in PyTorch
    result[tuple(inside)] = input[tuple(kept)]
    return result


constant_pad_nd.gradient(input=lambda grad, pad: constant_pad_nd(grad, [-amount for amount in pad]))


# --- taking the values from the input itself --------------------------------------------------------------------------


class Border(NamedTuple):
    """How an axis is padded: which element of the input each one of the result is, and where they are just those."""

    axis: int
    sources: Array
    inside: slice


def _reflected(size: int, front: int, back: int) -> Array:
    folded: Array = np.abs(np.arange(-front, size + back))
    return np.asarray(np.minimum(folded, 2 * (size - 1) - folded))


def _replicated(size: int, front: int, back: int) -> Array:
    return np.clip(np.arange(-front, size + back), 0, size - 1)


def _wrapped(size: int, front: int, back: int) -> Array:
    # What is cropped on one side doesn't come in again on the other.
    first, last = max(-front, 0), size + min(back, 0)
    return first + np.arange(-max(front, 0), last - first + max(back, 0)) % max(last - first, 1)


@op("PadBackwardBackward0")
def pad_gradient(grad_output: Array, borders: Sequence[Border], input_shape: tuple[int, ...]) -> Array:
    """The gradient of padding with the input's elements: each of grad_output added to the one it was taken from."""
    result = grad_output
    for axis, sources, inside in borders:
        summed = memory.zeros((*result.shape[:axis], input_shape[axis], *result.shape[axis + 1 :]), result.dtype)
        target, source = np.moveaxis(summed, axis, 0), np.moveaxis(result, axis, 0)  # the padded axis first
        if inside.start < inside.stop:
            first = sources[inside.start]
            target[first : first + inside.stop - inside.start] = source[inside]
        for place in (*range(inside.start), *range(inside.stop, len(sources))):
            target[sources[place]] += source[place]
        result = summed
    return result


def _declared(name: str, node_name: str) -> OperationFunction:
    """The operation that takes the border from the input: one for each of PyTorch's nodes."""

    def padded(input: Array, borders: Sequence[Border]) -> Array:
        """The elements of input that the borders of its axes tell."""
        for axis, sources, _ in borders:
            input = np.take(input, sources, axis=axis)
        return input

    padded.__name__ = name
    operation = op(node_name)(padded)
    operation.gradient(input=lambda grad, borders, input_shape: pad_gradient(grad, borders, input_shape))
    return operation


_SOURCES: dict[str, Callable[[int, int, int], Array]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _wrapped,
}
_OPERATIONS = {
    ("reflect", 1): _declared("reflection_pad1d", "ReflectionPad1DBackward0"),
    ("reflect", 2): _declared("reflection_pad2d", "ReflectionPad2DBackward0"),
    ("reflect", 3): _declared("reflection_pad3d", "ReflectionPad3DBackward0"),
    ("replicate", 1): _declared("replication_pad1d", "ReplicationPad1DBackward0"),
    ("replicate", 2): _declared("replication_pad2d", "ReplicationPad2DBackward0"),
    ("replicate", 3): _declared("replication_pad3d", "ReplicationPad3DBackward0"),
}
_CIRCULAR = _declared("circular_pad", "PadBackward0")

pad_gradient.gradient(grad_output=lambda grad, borders: _CIRCULAR(grad, borders))


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """input padded by `pad` (left, right, top, bottom, front, back ...), from the last dim forwards.

    Negative amounts crop. `mode` is constant (with `value`, 0 by default), reflect, replicate or circular; all but the
    first pad one to three dims behind those of batch and channels. Meaning and errors of `torch.nn.functional.pad`.
    """
    require_tensors("pad", input=input)
    try:
        amounts = tuple(map(operator.index, pad))
    except TypeError:
        raise TypeError(f"pad(): argument 'pad' must be a sequence of integers, but got {pad!r}") from None
    if len(amounts) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, but got {len(amounts)} amounts")
    if len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(amounts)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        return constant_pad_nd(input, amounts, 0 if value is None else value)
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _SOURCES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    padded = len(amounts) // 2
    if padded not in (1, 2, 3) or input.ndim not in (padded + 1, padded + 2):
        raise NotImplementedError(
            f"Padding size {len(amounts)} is not supported for {input.ndim}D input tensor: {mode} pads the last one, "
            "two or three dims behind a channel's, and a batch's if there is one"
        )
    if mode == "circular":
        return _CIRCULAR(input, _borders(input, amounts, mode))
    if 0 in input.shape[-padded - 1 :]:
        raise RuntimeError(f"pad: only the batch may be empty with mode {mode}, but the input has shape {input.shape}")
    require_kind(f"{mode} padding", values_of(input), "iuf")
    return _OPERATIONS[mode, padded](input, _borders(input, amounts, mode))


def _borders(input: Any, amounts: tuple[int, ...], mode: str) -> tuple[Border, ...]:
    """The borders of all padded axes; RuntimeError for amounts that the sizes don't allow."""
    shape = tuple(input.shape)
    borders = []
    for number in range(len(amounts) // 2):
        axis = len(shape) - 1 - number
        size, (front, back) = shape[axis], amounts[2 * number : 2 * number + 2]
        length = size + front + back
        largest = {"reflect": size - 1, "circular": size}.get(mode)
        if largest is not None and max(front, back) > largest:
            raise RuntimeError(
                f"Padding size should be at most {largest} with mode {mode}, "
                f"but got: padding {(front, back)} at dimension {axis} of input {list(shape)}"
            )
        nothing_to_copy = mode == "circular" and length > 0 >= size + min(front, 0) + min(back, 0)
        if length < (0 if mode == "circular" else 1) or nothing_to_copy:
            raise RuntimeError(f"pad: {(front, back)} crops all of dimension {axis} of input {list(shape)}")
        start = min(max(front, 0), length)
        inside = slice(start, max(start, length - max(back, 0)))
        borders.append(Border(axis, _SOURCES[mode](size, front, back), inside))
    return tuple(borders)
