"""How large the tensors of an expression may become: estimated from the arguments of each call before it is made.

A slip such as `x.repeat(10**9)` or `x[:, None] * x` of a long vector is refused in a line, instead of filling the
memory. The estimates are those of the operations that can make much of little; all others give no more elements than
their arguments have when they are broadcast together.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from gradcli.autograd import Tensor

MAX_ELEMENTS = 2**26
"""Of one tensor."""
MAX_TOTAL = 2**28
"""Of all tensors that one evaluation makes."""
MAX_PARTS = 10_000
"""Results of one call."""
MAX_LISTED = 2**20
"""Elements of all lists and tuples that one evaluation makes, those of lists in lists too."""

Arguments = Sequence[Any]
Options = Mapping[str, Any]
Estimate = Callable[[Arguments, Options], float]


class Budget:
    """The elements that one evaluation has made so far. OverflowError for a call that would make too many."""

    def __init__(self) -> None:
        self.used = 0
        self.listed = 0

    def check_call(self, name: str, args: Arguments, options: Options) -> None:
        """Before the function or method `name` is called."""
        # What makes no sense to an estimate makes none to the operation, which says so in better words.
        with contextlib.suppress(TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError):
            parts = _PARTS[name](args, options) if name in _PARTS else 1
            if parts > MAX_PARTS:
                raise OverflowError(f"{name} would give {parts:,.0f} tensors; {MAX_PARTS:,} is the limit")
            self._check_size(name, _ELEMENTS.get(name, _broadcast)(args, options))

    def check_index(self, tensor: Tensor, key: Any) -> None:
        """Before `tensor[key]`."""
        with contextlib.suppress(TypeError, ValueError, IndexError):
            self._check_size("indexing", _indexed(tensor, key))

    def spend(self, result: Any) -> None:
        """After a call."""
        self.used += sum(tensor.numel() for tensor in _tensors([result]))
        if self.used > MAX_TOTAL:
            raise OverflowError(f"the expression makes tensors of more than {MAX_TOTAL:,} elements in all")

    def spend_list(self, elements: Sequence[Any]) -> None:
        """After a list or tuple is written down; `y = [y, y];` again and again would double it each time."""
        waiting = [elements]
        while waiting:
            part = waiting.pop()
            self.listed += len(part)
            if self.listed > MAX_LISTED:
                raise OverflowError(f"the expression makes lists of more than {MAX_LISTED:,} elements in all")
            waiting += [element for element in part if isinstance(element, list | tuple)]

    def _check_size(self, name: str, elements: float) -> None:
        if elements > MAX_ELEMENTS:
            raise OverflowError(
                f"{name} would give a tensor of {elements:,.0f} elements; {MAX_ELEMENTS:,} is the limit"
            )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _integers(*values: Any) -> Iterator[int]:
    """All integers in arguments, which may be nested."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _integers(*value)
        elif isinstance(value, int) or (isinstance(value, Tensor) and value.ndim == 0):
            yield int(value)


def _product(*values: Any) -> int:
    return math.prod(_integers(*values))


def _given(args: Arguments, options: Options, position: int, name: str) -> Any:
    """The argument at a position, or by its name; None where there is none."""
    return args[position] if position < len(args) else options.get(name)


# --- how many elements ------------------------------------------------------------------------------------------------


def _broadcast(args: Arguments, options: Options) -> float:
    return math.prod(np.broadcast_shapes(*(tensor.shape for tensor in _tensors([*args, *options.values()]))))


def _joined(args: Arguments, options: Options) -> float:
    return sum(tensor.numel() for tensor in _tensors([*args, *options.values()]))


def _arange(args: Arguments, options: Options) -> float:
    names = ("end",) if len(args) == 1 and "end" not in options else ("start", "end", "step")
    given = {"start": 0, "step": 1, **dict(zip(names, args, strict=False)), **options}
    return abs(float(given["end"]) - float(given["start"])) / abs(float(given["step"]))


def _eye(args: Arguments, options: Options) -> float:
    rows, columns = _given(args, options, 0, "n"), _given(args, options, 1, "m")
    return _product(rows) * _product(rows if columns is None else columns)


def _repeated(args: Arguments, options: Options) -> float:
    return float(args[0].numel() * _product(args[1:], list(options.values())))


def _expanded(args: Arguments, options: Options) -> float:
    sizes = list(_integers(args[1:], options.get("size")))
    return float(math.prod(size for size in sizes if size >= 0) * (args[0].numel() if min(sizes, default=0) < 0 else 1))


def _padded(args: Arguments, options: Options) -> float:
    shape = list(args[0].shape)
    amounts = list(_integers(_given(args, options, 1, "pad")))
    for place, pair in enumerate(zip(amounts[::2], amounts[1::2], strict=False), start=1):
        shape[-place] += sum(pair)
    return float(math.prod(max(size, 0) for size in shape))


def _pooled(args: Arguments, options: Options) -> float:
    sizes = list(_integers(_given(args, options, 1, "output_size")))
    return float(math.prod(args[0].shape[:-2]) * math.prod(sizes * 2 if len(sizes) == 1 else sizes))


def _convolved(args: Arguments, options: Options) -> float:
    input, weight = args[:2]
    padding = list(_integers(_given(args, options, 4, "padding"))) or [0]
    heights = [size + 2 * padding[place % len(padding)] for place, size in enumerate(input.shape[-2:])]
    return float(math.prod(input.shape[:-3]) * len(weight) * math.prod(heights))


def _outer(args: Arguments, options: Options) -> float:
    return math.prod(tensor.numel() for tensor in _tensors([*args, *options.values()]))


def _matrix_product(args: Arguments, options: Options) -> float:
    first, second = list(_tensors([*args, *options.values()]))[-2:]
    batch = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    return float(math.prod(batch) * math.prod(first.shape[-2:-1]) * (second.shape[-1] if second.ndim > 1 else 1))


def _inner(args: Arguments, options: Options) -> float:
    return float(_outer(args, options) / max(args[0].shape[-1:] or (1,)) ** 2)


def _tensordot(args: Arguments, options: Options) -> float:
    dims = _given(args, options, 2, "dims")
    dims = 2 if dims is None else dims
    first_dims = range(-dims, 0) if isinstance(dims, int) else list(_integers(dims[0]))
    return float(_outer(args[:2], {}) / math.prod(args[0].shape[dim] for dim in first_dims) ** 2)


def _einsum(args: Arguments, options: Options) -> float:
    """The larger of the result and of what is multiplied on the way, from left to right, before it is summed."""
    equation, *rest = args
    inputs, _, output = str(equation).replace(" ", "").replace("...", "").partition("->")
    operands = list(zip(inputs.split(","), _tensors(rest), strict=True))
    sizes: dict[str, int] = {}
    for letters, operand in operands:
        for letter, size in zip(letters[::-1], operand.shape[::-1], strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
    held: set[str] = set()
    largest = 1
    for number, (letters, _) in enumerate(operands):
        needed = set(output).union(*(later for later, _ in operands[number + 1 :]))
        held = (held | set(letters)) & needed
        largest = max(largest, math.prod(sizes[letter] for letter in held))
    return largest


def _index_selected(args: Arguments, options: Options) -> float:
    dim, index = _given(args, options, 1, "dim"), _given(args, options, 2, "index")
    return float(index.numel() * args[0].numel() / args[0].shape[dim])


def _indexed(tensor: Tensor, key: Any) -> float:
    """A bound for `tensor[key]`: the index tensors broadcast together, and the dims that they don't stand for."""
    parts = list(key) if isinstance(key, tuple) else [key]
    own = sum(part.ndim if _is_mask(part) else part is not None and part is not ... for part in parts)
    dim, kept, shapes = 0, 1.0, []
    for part in parts:
        if isinstance(part, EllipsisType):
            skipped = tensor.ndim - own
            kept *= math.prod(tensor.shape[dim : dim + skipped])
            dim += skipped
        elif isinstance(part, Tensor | list) and not _is_mask(part):
            shapes.append(np.shape(part) if isinstance(part, list) else part.shape)
            dim += 1
        elif isinstance(part, slice):
            kept *= tensor.shape[dim]
            dim += 1
        elif _is_mask(part):
            kept *= math.prod(tensor.shape[dim : dim + part.ndim])
            dim += part.ndim
        elif part is not None:
            dim += 1
    return kept * math.prod(tensor.shape[dim:]) * math.prod(np.broadcast_shapes(*shapes))


def _is_mask(part: Any) -> bool:
    return isinstance(part, Tensor) and part.array.dtype == np.bool_


_ELEMENTS: dict[str, Estimate] = {
    **dict.fromkeys(("zeros", "ones", "rand", "randn"), lambda args, options: _product(args, options.get("size"))),
    **dict.fromkeys(("new_zeros", "new_ones"), lambda args, options: _product(args[1:], options.get("size"))),
    "full": lambda args, options: _product(_given(args, options, 0, "size")),
    "new_full": lambda args, options: _product(_given(args, options, 1, "size")),
    "randint": lambda args, options: _product(options["size"] if "size" in options else args[-1]),
    "randperm": lambda args, options: _product(_given(args, options, 0, "n")),
    **dict.fromkeys(("linspace", "logspace"), lambda args, options: _product(_given(args, options, 2, "steps"))),
    "arange": _arange,
    "eye": _eye,
    **dict.fromkeys(("repeat", "tile"), _repeated),
    **dict.fromkeys(("expand", "broadcast_to"), _expanded),
    "pad": _padded,
    "adaptive_avg_pool2d": _pooled,
    "conv2d": _convolved,
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "hstack", "vstack"), _joined),
    **dict.fromkeys(("outer", "ger"), _outer),
    **dict.fromkeys(("@", "matmul", "mm", "mv", "bmm", "dot", "addmm", "baddbmm"), _matrix_product),
    "linear": lambda args, options: args[0].numel() / args[0].shape[-1] * len(_given(args, options, 1, "weight")),
    "inner": _inner,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "gather": lambda args, options: _given(args, options, 2, "index").numel(),
    "take": lambda args, options: _given(args, options, 1, "index").numel(),
    "index_select": _index_selected,
    **dict.fromkeys(("scatter", "scatter_add", "index_add", "index_put"), lambda args, options: args[0].numel()),
}

# --- how many tensors -------------------------------------------------------------------------------------------------


def _size_along(args: Arguments, options: Options, position: int) -> int:
    dim = _given(args, options, position, "dim")
    return int(args[0].shape[0 if dim is None else dim])


def _split(args: Arguments, options: Options) -> float:
    size = args[1] if len(args) > 1 else next(iter(options.values()))
    return _size_along(args, options, 2) / size if isinstance(size, int) else len(size)


def _sections(given: Any) -> int:
    return len(given) if isinstance(given, list | tuple) else int(given)


_PARTS: dict[str, Estimate] = {
    "unbind": lambda args, options: _size_along(args, options, 1),
    "split": _split,
    "chunk": lambda args, options: min(_size_along(args, options, 2), _given(args, options, 1, "chunks")),
    "tensor_split": lambda args, options: _sections(_given(args, options, 1, "indices_or_sections")),
}
