"""PyTorch's operation database, and how each operation of it is called in PyTorch and in gradcli."""

from __future__ import annotations

import functools
import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from opinfo.mismatch import Mismatch

import gradcli
import gradcli.nn.functional
from gradcli.autograd import Tensor

# Where the database calls a lambda with arguments in another order, another function (`rand_like`), one by the name
# that it had in Python 2, or copies the input first (`zero_`): the same call in either library, which is `torch`.
CALLS: dict[str, Callable[..., Any]] = {
    "where": lambda torch, self, condition, other: torch.where(condition, self, other),
    "einsum": lambda torch, tensors, equation: torch.einsum(equation, tensors),
    "__rdiv__": lambda torch, self, other: torch.Tensor.__rtruediv__(self, other),
    "rand_like": lambda torch, self, **options: torch.rand_like(self, **options),
    "zero_": lambda torch, self: torch.zero_(self.clone()),
}


@functools.cache
def database() -> dict[str, list[Any]]:
    """PyTorch's operation database by name. Its import takes seconds, so it is done once, and only when needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    by_name: dict[str, list[Any]] = {}
    for info in op_db:
        by_name.setdefault(info.name, []).append(info)
    return by_name


def samples_of(info: Any) -> list[Any]:
    """All samples of one entry of the database, in float64 where the operation takes it and int64 elsewhere."""
    import torch

    dtype = torch.int64 if torch.int64 in info.dtypes and torch.float64 not in info.dtypes else torch.float64
    seed_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(info.sample_inputs("cpu", dtype, requires_grad=info.supports_autograd and dtype == torch.float64))


def seed_samples() -> None:
    """Samples are random: the same ones in every run."""
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


@dataclass(frozen=True)
class Call:
    """One way to call an operation, in both libraries."""

    label: str
    torch: Callable[..., Any]
    gradcli: Callable[..., Any]
    in_place: bool = False


def gradcli_function(name: str) -> Callable[..., Any]:
    """gradcli's function of a name of the database, or the method where PyTorch has only that; Mismatch if missing."""
    import torch

    if name in CALLS and not (hasattr(torch, name) and not hasattr(gradcli, name)):
        return functools.partial(CALLS[name], gradcli)
    path, _, last = name.rpartition(".")
    home: Any = gradcli
    where: Any = torch
    for part in path.split(".") if path else []:
        home, where = getattr(home, part, None), getattr(where, part)
    if hasattr(where, last) and not isinstance(getattr(where, last), torch.dtype):
        full, found = f"gradcli.{name}", getattr(home, last, None)
    else:
        full, found = f"gradcli.Tensor.{last}", getattr(Tensor, last, None)
    if found is None:
        raise Mismatch(f"gradcli has no {full}")
    return found.__get__ if isinstance(found, property) else found


def calls_of(info: Any) -> Iterator[Call | str]:
    """The ways to call an operation; a line of text for one that gradcli should have and has not."""
    import torch

    try:
        function = gradcli_function(info.name)
    except Mismatch as mismatch:
        yield str(mismatch)
        return
    original = functools.partial(CALLS[info.name], torch) if info.name in CALLS else info.op
    yield Call("function", original, function)
    for alias in info.aliases:
        found = getattr(gradcli, alias.name, None)
        if callable(found):
            yield Call(f"gradcli.{alias.name}", alias.op, found)
    method = getattr(info.method_variant, "__name__", None)
    if method is not None and method != "<lambda>" and info.op is not info.method_variant:
        if hasattr(Tensor, method):
            yield Call("method", info.method_variant, getattr(Tensor, method))
        else:
            yield f"gradcli.Tensor has no method {method}"
    if info.operator_variant is not None:
        yield Call("operator", info.operator_variant, info.operator_variant)
    in_place = getattr(info.inplace_variant, "__name__", None)
    if in_place == "<lambda>":
        if "inplace" in parameters_of(function) and not info.name.endswith("dropout"):
            yield Call("inplace=True", info.inplace_variant, functools.partial(function, inplace=True), in_place=True)
    elif in_place is not None and hasattr(Tensor, in_place):
        yield Call(in_place, info.inplace_variant, getattr(Tensor, in_place), in_place=True)
    operator = info.inplace_operator_variant
    if operator is not None and hasattr(Tensor, in_place):  # without it Python's += makes a new tensor
        yield Call(operator.__name__, operator, operator, in_place=True)


def parameters_of(function: Callable[..., Any]) -> set[str]:
    """The names of a function's parameters; none for one of C."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()
