"""PyTorch's arguments for gradcli: tensors with memory of their own in the same strides, types by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from opinfo.database import parameters_of
from opinfo.mismatch import Mismatch

import gradcli
from gradcli.autograd import Tensor

PLACEMENT = ("device", "layout", "memory_format", "pin_memory")
"""What gradcli may leave out of a signature, as it has one device and one layout."""


class Conversion:
    """Copies of a sample's arguments for one call in each library; `pairs` are its tensors, PyTorch's and gradcli's."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Tensor]] = []
        self._copies: dict[int, tuple[Any, Tensor]] = {}

    def both(self, value: Any) -> tuple[Any, Any]:
        """`value` for PyTorch and for gradcli."""
        import torch

        if isinstance(value, torch.Tensor):
            if id(value) not in self._copies:
                self._copies[id(value)] = copies(value)
                self.pairs.append(self._copies[id(value)])
            return self._copies[id(value)]
        if isinstance(value, torch.Size):
            return value, tuple(value)
        if isinstance(value, list | tuple):
            parts = [self.both(part) for part in value]
            return type(value)(part[0] for part in parts), type(value)(part[1] for part in parts)
        if isinstance(value, dict):
            parts = {key: self.both(part) for key, part in value.items()}
            return {key: part[0] for key, part in parts.items()}, {key: part[1] for key, part in parts.items()}
        if isinstance(value, slice):
            bounds = [self.both(part) for part in (value.start, value.stop, value.step)]
            return slice(*(part[0] for part in bounds)), slice(*(part[1] for part in bounds))
        if isinstance(value, torch.dtype):
            name = str(value).removeprefix("torch.")
            if not hasattr(gradcli, name):
                raise Mismatch(f"gradcli has no type {name}")
            return value, getattr(gradcli, name)
        if isinstance(value, torch.device):
            return value, str(value)
        return value, value


def copies(tensor: Any) -> tuple[Any, Tensor]:
    """A leaf of PyTorch and one of gradcli with the values, strides and flag of `tensor`, each in memory of its own."""
    import torch

    if tensor.is_complex() or tensor.layout != torch.strided:
        raise Mismatch(f"gradcli has no {tensor.layout} tensors of {tensor.dtype}")
    if tensor.ndim > 64:
        raise Mismatch("NumPy has no arrays of more than 64 dims")
    storage = tensor.detach().untyped_storage()
    copy = torch.empty(0, dtype=tensor.dtype)
    copy.set_(storage.clone(), tensor.storage_offset(), tensor.shape, tensor.stride())
    dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
    array = np.ndarray(
        tuple(tensor.shape),
        dtype,
        buffer=bytearray(bytes(storage)) if storage.nbytes() else None,
        offset=tensor.storage_offset() * dtype.itemsize,
        strides=[stride * dtype.itemsize for stride in tensor.stride()] if storage.nbytes() else None,
    )
    return copy.requires_grad_(tensor.requires_grad), Tensor(array, requires_grad=tensor.requires_grad)


def without_placement(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options without those about device and layout that gradcli's function has no parameter for."""
    if not any(key in PLACEMENT for key in options):
        return options
    known = parameters_of(function)
    return {key: value for key, value in options.items() if key in known or key not in PLACEMENT}


def describe(args: Any, options: dict[str, Any]) -> str:
    """Arguments in short: `f64[2,3] grad, 1, keepdim=True`."""
    return ", ".join([*map(_short, args), *(f"{key}={_short(value)}" for key, value in options.items())])


def _short(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        name = str(value.dtype).removeprefix("torch.").replace("float", "f").replace("int", "i")
        strides = "" if value.is_contiguous() else f" strides {list(value.stride())}"
        return f"{name}{list(value.shape)}{strides}{' grad' if value.requires_grad else ''}".replace(", ", ",")
    if isinstance(value, torch.Size | torch.dtype):
        return str(value)
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_short, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return repr(value)
