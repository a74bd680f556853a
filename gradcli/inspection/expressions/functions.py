"""What the names in an expression stand for: operations of the engine, methods of tensors, constants, element types.

Functions are those that `import gradcli as torch` and `gradcli.nn.functional` offer, by the name alone, as `torch.name`
or `F.name`. Left out is what changes tensors in place, reads memory as it comes, sets the random generator, or gives
nothing that an expression could go on with.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import gradcli.ops
from gradcli.autograd import Tensor, dtypes
from gradcli.nn import functional

Function = Callable[..., Any]

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}
ELEMENT_TYPES: dict[str, dtypes.dtype] = {
    **{each.name: each for each in (dtypes.float16, dtypes.float32, dtypes.float64)},
    **{each.name: each for each in (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)},
    "half": dtypes.half,
    "float": dtypes.float,
    "double": dtypes.double,
    "short": dtypes.short,
    "int": dtypes.int,
    "long": dtypes.long,
    "bool": dtypes.bool_,
}

NAMESPACES = {
    "torch": "torch",
    "F": "F",
    "torch.nn.functional": "F",
    "nn.functional": "F",
}
"""How a name may begin that says where it comes from."""

ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "shape", "dtype", "ndim"})
"""What a tensor has besides methods."""

LEFT_OUT = (
    frozenset({"empty", "empty_like", "new_empty"})  # memory as it comes
    | {"as_tensor", "from_numpy", "numpy", "tolist", "type", "finfo", "iinfo"}  # no tensors, numbers or types of them
    | {"is_tensor", "can_cast", "promote_types", "result_type"}
    | {"cpu", "is_contiguous", "stride", "element_size"}  # about memory
    | {"get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"}
)
"""Operations that no expression may call; those whose name ends in _ too, as these work in place."""

REFUSED_KEYWORDS = {
    "inplace": "nothing is changed in place",
    "out": "write name = value",
    "requires_grad": "what gradients are asked for comes by --var",
    "generator": "--seed seeds the random numbers",
}
"""Arguments that no call may give, and what to do instead."""

_TENSORS_OWN = ("detach", "dim", "size", "numel", "is_floating_point", "item")


@functools.cache
def functions() -> dict[str, Function]:
    """Every function by its name alone and, where PyTorch has it in `torch.nn.functional` only, just so."""
    found: dict[str, Function] = {}
    for family in map(functools.partial(getattr, gradcli.ops), gradcli.ops.__all__):
        for name in getattr(family, "__all__", ()):
            value = getattr(family, name)
            if callable(value) and not inspect.isclass(value) and not _is_left_out(name):
                found.setdefault(name, value)
    return found


@functools.cache
def methods() -> dict[str, Function]:
    """Every method of tensors by its name."""
    return {
        name: value
        for name, value in Tensor.__dict__.items()
        if callable(value)
        and not _is_left_out(name)
        and (name in _TENSORS_OWN or getattr(value, "__module__", "").startswith("gradcli.ops."))
    }


def _is_left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith("_") or name.endswith("_")


def find_function(name: str) -> Function | None:
    """The function of that name, which may begin with `torch.` or `F.`; None where there is none."""
    space, _, own = name.rpartition(".")
    if not space:
        return functions().get(own)
    if NAMESPACES.get(space) == "F":
        return getattr(functional, own) if own in functional.__all__ and not _is_left_out(own) else None
    return functions().get(own) if NAMESPACES.get(space) == "torch" else None


def find_constant(name: str) -> Any:
    """The number or element type of that name, which may begin with `torch.`; None where there is none."""
    own = name.removeprefix("torch.")
    return CONSTANTS.get(own, ELEMENT_TYPES.get(own))


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean sin or sinh?`, or nothing where none is near."""
    matches = difflib.get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


@functools.cache
def parameters(function: Function) -> tuple[inspect.Parameter, ...]:
    """The parameters of a function, as it declares them."""
    return tuple(inspect.signature(function).parameters.values())
