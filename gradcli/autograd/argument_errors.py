"""What a failed call of an operation is told where something else stands in the place of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray

_OF_ARRAYS = ("Array", "Array | DeferredArray", "Indices")
_MISSING = object()


def refuse_what_is_no_tensor(
    forward: Callable[..., Any], parameters: Sequence[str], args: Sequence[Any], options: Mapping[str, Any]
) -> None:
    """TypeError, in PyTorch's words, for the first argument that isn't an array though its parameter is one.

    `forward` is an operation's function on arrays, which failed with these arguments: calls that succeed cost nothing.
    """
    for position, name in enumerate(parameters):
        if forward.__annotations__.get(name) in _OF_ARRAYS:
            by_position = position < len(args)
            value = args[position] if by_position else options.get(name, _MISSING)
            if value is not _MISSING and not isinstance(value, np.ndarray | np.generic | DeferredArray):
                where = f" (position {position + 1})" if by_position else ""
                raise TypeError(
                    f"{_public_name(forward.__name__)}(): argument {name!r}{where} must be Tensor, "
                    f"not {type(value).__name__}"
                ) from None


def _public_name(operation: str) -> str:
    """The method that an operation belongs to: `sum` for `sum_all`; its own name where there is none."""
    words = operation.split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((name for name in names if hasattr(Tensor, name)), operation)
