"""Making tensors from values, of constants, and like a given one.

`device`, `layout`, `pin_memory` and `memory_format` may be given as in PyTorch: everything here is a dense tensor in
the memory of the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype, float32, from_numpy_dtype
from gradcli.autograd.operation import tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import settled
from gradcli.ops.arguments import is_number, require_tensors, values_of
from gradcli.ops.dims import integers, sizes
from gradcli.ops.promotion import as_element, promote_types, require_reach, result_type

__all__ = [
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]

PLACEMENT = ("device", "layout", "memory_format", "pin_memory")


def check_placement(function: str, placement: dict[str, Any]) -> None:
    """TypeError for keywords that are none of `PLACEMENT`, RuntimeError for another device than the CPU."""
    for name, value in placement.items():
        if name not in PLACEMENT:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        if name == "device" and value is not None and str(value).partition(":")[0] != "cpu":
            raise RuntimeError(f"{function}(): tensors live on the device 'cpu', there is no {str(value)!r}")


def tensor(data: Any, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any) -> Tensor:
    """A new tensor of a number, nested lists, an array or a tensor, copied.

    Python floats become float32, integers int64, bools bool; arrays keep their type, inside of lists too.
    """
    check_placement("tensor", placement)
    values = np.array(data.array if isinstance(data, Tensor) else _nested(data))
    wanted: np.dtype[Any] = values.dtype
    if dtype is not None:
        wanted = as_numpy_dtype(dtype)
    elif isinstance(data, list | tuple) and values.dtype.kind in "iuf":
        wanted = _type_of_leaves(data) or float32.numpy
    elif isinstance(data, float) and not isinstance(data, np.generic):
        wanted = float32.numpy
    if wanted.kind in "iu" and values.dtype.kind in "iuf" and values.size and not isinstance(data, Tensor | np.ndarray):
        for extreme in (values.min(), values.max()):
            require_reach(extreme, wanted)
    with np.errstate(all="ignore"):  # what is too large becomes inf without a word, as in PyTorch
        values = values.astype(wanted, copy=False)
    from_numpy_dtype(values.dtype)  # refuses text, objects and the like
    return Tensor(values, requires_grad)


def _type_of_leaves(data: list[Any] | tuple[Any, ...]) -> np.dtype[Any] | None:
    """The common type of what nested lists hold; None where they hold nothing."""
    common: np.dtype[Any] | None = None
    for part in data:
        if isinstance(part, list | tuple):
            own = _type_of_leaves(part)
        elif isinstance(part, Tensor):
            own = part.array.dtype
        else:
            own = part.dtype if isinstance(part, np.ndarray | np.generic) else result_type(part)
        if own is not None:
            common = own if common is None else promote_types(common, own)
    return common


def _nested(data: Any) -> Any:
    """`data` with the tensors inside lists replaced by their values; ValueError for ragged lists."""
    if isinstance(data, list | tuple):
        parts = [_nested(part) for part in data]
        lengths = {len(part) if isinstance(part, list | tuple | np.ndarray) and np.ndim(part) else -1 for part in parts}
        if len(lengths) > 1:
            raise ValueError(f"expected sequences of one length, but got lengths {sorted(lengths)}")
        return parts
    return data.array if isinstance(data, Tensor) else data


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of `data`: itself if it is one of that type, sharing memory with an array of that type."""
    check_placement("as_tensor", {"device": device})
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == as_numpy_dtype(dtype)):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares memory with an array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_numpy_dtype(ndarray.dtype)
    return Tensor(ndarray)


def shape_of(function: str, size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    """The shape given as `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`, taken out of the options.

    TypeError for sizes that are missing or no integers, RuntimeError for those below zero.
    """
    if not size:
        if "size" not in options:
            raise TypeError(f"{function}() missing 1 required positional arguments: 'size'")
        size = (options.pop("size"),)
    shape = sizes(size)
    if min(shape, default=0) < 0:
        raise RuntimeError(f"{function}: Dimension size must be non-negative, but got {list(shape)}")
    return shape


def zeros(*size: Any, dtype: DType | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """Zeros in the shape given as `2, 3` or `(2, 3)`."""
    shape = shape_of("zeros", size, options)
    check_placement("zeros", options)
    return Tensor(np.zeros(shape, as_numpy_dtype(dtype or float32)), requires_grad)


def ones(*size: Any, dtype: DType | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """Ones in the shape given as `2, 3` or `(2, 3)`."""
    shape = shape_of("ones", size, options)
    check_placement("ones", options)
    return Tensor(np.ones(shape, as_numpy_dtype(dtype or float32)), requires_grad)


def empty(*size: Any, dtype: DType | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """Memory as it comes, in the shape given as `2, 3` or `(2, 3)`."""
    shape = shape_of("empty", size, options)
    check_placement("empty", options)
    return Tensor(np.empty(shape, as_numpy_dtype(dtype or float32)), requires_grad)


def full(
    size: tuple[int, ...] | list[int],
    fill_value: Any,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **placement: Any,
) -> Tensor:
    """One value everywhere; its own type decides where `dtype` doesn't."""
    check_placement("full", placement)
    shape = integers("full", "size", size)
    if min(shape, default=0) < 0:
        raise RuntimeError(f"full: Dimension size must be non-negative, but got {list(shape)}")
    return Tensor(np.full(shape, _filling("full", fill_value, dtype)), requires_grad)


def _filling(function: str, value: Any, dtype: DType | None) -> Array:
    """The value that fills a tensor, 0-d; RuntimeError where its type doesn't hold it."""
    if is_number(value):
        return as_element(value, result_type(value) if dtype is None else as_numpy_dtype(dtype))
    given = values_of(value) if isinstance(value, Tensor | np.ndarray | np.generic) else None
    if given is None or given.ndim:
        raise TypeError(f"{function}(): argument 'fill_value' must be Number, not {type(value).__name__}")
    return np.asarray(given) if dtype is None else as_element(given.item(), as_numpy_dtype(dtype))


def scalar_tensor(s: float, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any) -> Tensor:
    """A number as a 0-d tensor: float32 where `dtype` doesn't say else."""
    check_placement("scalar_tensor", placement)
    return Tensor(_filling("scalar_tensor", s, dtype or float32), requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any
) -> Tensor:
    """Ones on the diagonal of an n x m matrix (n x n by default), zeros elsewhere."""
    check_placement("eye", placement)
    rows, columns = sizes((n, n if m is None else m))
    for name, size in (("n", rows), ("m", columns)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return Tensor(np.eye(rows, columns, dtype=as_numpy_dtype(dtype or float32)), requires_grad)


# ------------------------------------------------------------------------------------------------ like another


def _like(function: str, input: Any, dtype: DType | None, placement: dict[str, Any]) -> tuple[Any, np.dtype[Any]]:
    """The array that a new one is made like, and the type it gets."""
    check_placement(function, placement)
    require_tensors(function, input=input)
    array = input.deferred_array()
    return array, array.dtype if dtype is None else as_numpy_dtype(dtype)


def zeros_like(input: Any, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any) -> Any:
    """Zeros in the shape, type and memory order of a tensor; in rules of gradients also an array's, as an array."""
    if isinstance(input, np.ndarray):
        return np.zeros_like(input)
    array, wanted = _like("zeros_like", input, dtype, placement)
    return Tensor(np.zeros_like(settled(array), wanted), requires_grad)


def ones_like(input: Any, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any) -> Any:
    """Ones in the shape, type and memory order of a tensor; in rules of gradients also an array's, as an array."""
    if isinstance(input, np.ndarray):
        return np.ones_like(input)
    array, wanted = _like("ones_like", input, dtype, placement)
    return Tensor(np.ones_like(settled(array), wanted), requires_grad)


def empty_like(input: Tensor, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any) -> Tensor:
    """Memory as it comes, in the shape, type and memory order of a tensor."""
    array, wanted = _like("empty_like", input, dtype, placement)
    return Tensor(np.empty_like(settled(array), wanted), requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any
) -> Tensor:
    """One value everywhere, in the shape, type and memory order of a tensor."""
    array, wanted = _like("full_like", input, dtype, placement)
    return Tensor(np.full_like(settled(array), _filling("full_like", fill_value, wanted), wanted), requires_grad)


@tensor_method()
def new_tensor(
    input: Tensor, data: Any, *, dtype: DType | None = None, requires_grad: bool = False, **placement: Any
) -> Tensor:
    """A new tensor of `data`, copied, with the type of this one where `dtype` doesn't say else."""
    check_placement("new_tensor", placement)
    kept = data.dtype if isinstance(data, Tensor) else input.dtype
    return tensor(data, dtype=dtype or kept, requires_grad=requires_grad)


@tensor_method()
def new_zeros(input: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """Zeros in the shape given, with the type of this tensor where `dtype` doesn't say else."""
    return zeros(*size, dtype=dtype or input.dtype, **options)


@tensor_method()
def new_ones(input: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """Ones in the shape given, with the type of this tensor where `dtype` doesn't say else."""
    return ones(*size, dtype=dtype or input.dtype, **options)


@tensor_method()
def new_empty(input: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """Memory as it comes in the shape given, with the type of this tensor where `dtype` doesn't say else."""
    return empty(*size, dtype=dtype or input.dtype, **options)


@tensor_method()
def new_full(input: Tensor, size: Any, fill_value: Any, *, dtype: DType | None = None, **options: Any) -> Tensor:
    """One value everywhere in the shape given, with the type of this tensor where `dtype` doesn't say else."""
    return full(size, fill_value, dtype=dtype or input.dtype, **options)
