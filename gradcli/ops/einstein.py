"""Einstein's summation: products of tensors along named dims, composed of operations as PyTorch composes them."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensor_elements
from gradcli.ops.diagonals import diagonal
from gradcli.ops.dim_order import permute
from gradcli.ops.linalg import bmm
from gradcli.ops.reduction import sum
from gradcli.ops.shape import unsqueeze, view

__all__ = [
    "einsum",
]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Label = int | tuple[str, int]
"""A named dim: the position of its letter in `LETTERS`, or ("...", i) for the i-th of those that `...` stands for,
counted from the last (-1)."""


class Subscripts(NamedTuple):
    """What an equation says: for each operand and for the result the names of its dims, "..." among them.

    `output` is None where the equation leaves it open.
    """

    operands: list[list[int | str]]
    output: list[int | str] | None


def einsum(*args: Any) -> Any:
    """Einstein's summation: `einsum("ij,jk->ik", a, b)` multiplies along dims of one name and sums those not in the
    result.

    Names are the letters a-z and A-Z; `...` stands for the dims that have none and are broadcast. Without `->` the
    result has the dims of `...` and then the names that appear once, capital letters first. A name that an operand has
    twice stands for its diagonal. Sizes of 1 are broadcast. Operands may also come in a list, or each be followed by
    a list of numbers below 52 instead of letters: `einsum(a, [0, 1], b, [1, 2], [0, 2])`.
    """
    subscripts, operands = _read_arguments(args)
    labels = [
        _labels(names, operand.ndim, number)
        for number, (names, operand) in enumerate(zip(subscripts.operands, operands, strict=True))
    ]
    output = _output_labels(subscripts, labels)
    summed = sorted({label for own in labels for label in own} - set(output), key=_order)
    aligned = [
        _aligned(operand, own, [*output, *summed], number)
        for number, (operand, own) in enumerate(zip(operands, labels, strict=True))
    ]
    _check_sizes(aligned, [*output, *summed])
    axes = tuple(range(len(output), len(output) + len(summed)))
    if len(aligned) == 1:
        return sum(aligned[0], axes) if axes else aligned[0]
    product = _product_of_all(aligned, axes)
    return view(product, tuple(product.shape[: len(output)])) if axes else product


def _read_arguments(args: tuple[Any, ...]) -> tuple[Subscripts, list[Any]]:
    """The subscripts and the operands of a call in either format."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    if isinstance(args[0], Tensor | np.ndarray):
        operands = list(args[0 : len(args) - 1 : 2])
        lists = [_from_list(names) for names in args[1::2]]
        output = _from_list(args[-1]) if len(args) % 2 else None
        return _checked(Subscripts(lists, output), operands)
    equation, *rest = args
    if not isinstance(equation, str):
        raise TypeError(f"einsum(): argument 'equation' (position 1) must be str, not {type(equation).__name__}")
    if len(rest) == 1 and isinstance(rest[0], list | tuple):
        rest = list(rest[0])
    inputs, arrow, result = equation.partition("->")
    lists = [_from_text(part, number) for number, part in enumerate(inputs.split(","))]
    return _checked(Subscripts(lists, _from_text(result, None) if arrow else None), rest)


def _from_list(names: Sequence[Any]) -> list[int | str]:
    """Subscripts given as numbers."""
    read: list[int | str] = []
    for name in names:
        if name is not Ellipsis and not 0 <= operator.index(name) < len(LETTERS):
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
        read.append("..." if name is Ellipsis else operator.index(name))
    return read


def _from_text(text: str, operand: int | None) -> list[int | str]:
    """Subscripts given as letters, of an operand or of the output."""
    where = "the output" if operand is None else f"operand {operand}"
    names: list[int | str] = []
    text = text.replace(" ", "")
    position = 0
    while position < len(text):
        if text.startswith("...", position):
            names.append("...")
            position += 3
            continue
        letter = text[position]
        if letter == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        if letter not in LETTERS:
            raise RuntimeError(f"einsum(): invalid subscript {letter!r} for {where}, subscripts must be in [a-zA-Z]")
        names.append(LETTERS.index(letter))
        position += 1
    return names


def _checked(subscripts: Subscripts, operands: list[Any]) -> tuple[Subscripts, list[Any]]:
    """Both as they are; RuntimeError where they don't fit each other."""
    require_tensor_elements(operands, 1)
    if len(subscripts.operands) != len(operands):
        fewer = "fewer" if len(operands) < len(subscripts.operands) else "more"
        raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the equation")
    for names in (*subscripts.operands, subscripts.output or []):
        if names.count("...") > 1:
            raise RuntimeError("einsum(): an ellipsis ('...') was found more than once for one operand")
    return subscripts, operands


def _labels(names: list[int | str], ndim: int, number: int) -> list[Label]:
    """The label of every dim of an operand."""
    covered = ndim - len(names) + 1 if "..." in names else 0
    if covered < 0 or (len(names) != ndim and "..." not in names):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(names)}) does not match the number of "
            f"dimensions ({ndim}) for operand {number}"
        )
    labels: list[Label] = []
    for name in names:
        if isinstance(name, str):
            labels += [(name, position) for position in range(-covered, 0)]
        else:
            labels.append(name)
    return labels


def _output_labels(subscripts: Subscripts, labels: list[list[Label]]) -> list[Label]:
    """The label of every dim of the result."""
    broadcast = max((len(own) - len([name for name in own if isinstance(name, int)]) for own in labels), default=0)
    ellipsis: list[Label] = [("...", position) for position in range(-broadcast, 0)]
    counts = Counter(label for own in labels for label in own)
    if subscripts.output is None:
        return [*ellipsis, *sorted(label for label, n in counts.items() if n == 1 and isinstance(label, int))]
    output: list[Label] = []
    for name in subscripts.output:
        if isinstance(name, str):
            output += ellipsis
            continue
        if name in output:
            raise RuntimeError(f"einsum(): output subscript {LETTERS[name]} appears more than once in the output")
        if name not in counts:
            raise RuntimeError(
                f"einsum(): output subscript {LETTERS[name]} does not appear in the equation for any input operand"
            )
        output.append(name)
    return output


def _order(label: Label) -> tuple[int, int]:
    return (0, label[1]) if isinstance(label, tuple) else (1, label)


def _aligned(operand: Any, own: list[Label], all_labels: list[Label], number: int) -> Any:
    """An operand with all labels as its dims, in this order: of size 1 where it has none of that name."""
    own = list(own)
    for label in dict.fromkeys(own):
        while own.count(label) > 1:
            first = own.index(label)
            second = own.index(label, first + 1)
            sizes = operand.shape[first], operand.shape[second]
            if sizes[0] != sizes[1]:
                raise RuntimeError(
                    f"einsum(): subscript {_text(label)} is repeated for operand {number} but the sizes don't match, "
                    f"{sizes[1]} != {sizes[0]}"
                )
            operand = diagonal(operand, 0, first, second)  # the diagonal comes last: (..., n)
            del own[second], own[first]
            operand = permute(operand, (*range(first), operand.ndim - 1, *range(first, operand.ndim - 1)))
            own.insert(first, label)
    for label in all_labels:
        if label not in own:
            operand = unsqueeze(operand, operand.ndim)
            own.append(label)
    return permute(operand, tuple(map(own.index, all_labels)))


def _check_sizes(operands: list[Any], labels: list[Label]) -> None:
    """RuntimeError where operands have different sizes under one name, other than 1."""
    for axis, label in enumerate(labels):
        seen = 1
        for number, operand in enumerate(operands):
            size = operand.shape[axis]
            if size != 1 and seen not in (1, size):
                raise RuntimeError(
                    f"einsum(): subscript {_text(label)} has size {size} for operand {number} which does not "
                    f"broadcast with previously seen size {seen}"
                )
            seen = size if size != 1 else seen


def _text(label: Label) -> str:
    return "..." if isinstance(label, tuple) else LETTERS[label]


def _product_of_all(operands: list[Any], axes: tuple[int, ...]) -> Any:
    """The product of operands of as many dims, from left to right, each of `axes` summed as soon as it can be."""
    left = {axis: len([1 for operand in operands if operand.shape[axis] != 1]) for axis in axes}
    product, *rest = operands
    for operand in rest:
        together: list[int] = []
        alone: tuple[list[int], list[int]] = ([], [])
        for axis in axes:
            has = product.shape[axis] != 1, operand.shape[axis] != 1
            if all(has):
                left[axis] -= 1
                if left[axis] == 1:
                    together.append(axis)
            elif left[axis] == 1 and any(has):
                alone[has.index(True)].append(axis)
        if alone[0]:
            product = sum(product, tuple(alone[0]), keepdim=True)
        if alone[1]:
            operand = sum(operand, tuple(alone[1]), keepdim=True)
        product = _summed_product(product, operand, together)
    return product


def _summed_product(first: Any, second: Any, summed: list[int]) -> Any:
    """first * second, broadcast, with the axes `summed`, which both have, summed and kept as size 1."""
    if not summed:
        return first * second
    kept = [axis for axis in range(first.ndim) if axis not in summed]
    both = [axis for axis in kept if first.shape[axis] != 1 and second.shape[axis] != 1]
    only_first = [axis for axis in kept if first.shape[axis] != 1 and second.shape[axis] == 1]
    only_second = [axis for axis in kept if first.shape[axis] == 1]

    def count(operand: Any, axes: list[int]) -> int:
        return math.prod(operand.shape[axis] for axis in axes)

    # One batch of matrix products: (both, only first, summed) times (both, summed, only second)
    batch, depth = count(first, both), count(first, summed)
    lefts = view(permute(first, (*both, *only_first, *summed, *only_second)), (batch, count(first, only_first), depth))
    rights = view(
        permute(second, (*both, *summed, *only_second, *only_first)), (batch, depth, count(second, only_second))
    )
    order = [*both, *only_first, *summed, *only_second]
    shape = [first.shape[axis] for axis in both + only_first] + [1] * len(summed)
    product = view(bmm(lefts, rights), (*shape, *(second.shape[axis] for axis in only_second)))
    return permute(product, tuple(map(order.index, range(first.ndim))))
