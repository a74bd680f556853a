"""The variables of an expression, as the command line gives them: `NAME=VALUE`, where a value may come from a file.

A value is an expression of its own, without variables: `2,3` is a vector, `[[1, 2], [3, 4]]` a matrix, `randn(2, 3)`
and `pi/2` are values too. `@FILE.npy`, `@FILE.npz:NAME` and `@-` (npy on standard input) stand for arrays.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd.dtypes import DType, as_numpy_dtype, from_numpy_dtype
from gradcli.data.numpy_files import npz_names, read_npy, read_npy_from_standard_input, read_npz
from gradcli.errors import DataError, UsageError
from gradcli.inspection.expressions.evaluation import evaluate
from gradcli.inspection.expressions.functions import near
from gradcli.inspection.expressions.syntax import parse_expression

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Variable:
    """A name, its values, and whether the gradient by it is asked for."""

    name: str
    values: Array
    requires_grad: bool


def read_variables(given: Sequence[str], no_grad: Sequence[str], float_type: DType) -> list[Variable]:
    """The variables given as `NAME=VALUE`, those named in `no_grad` without gradients.

    They have the type `float_type`, except that those without gradients keep integers and truth values as they are.
    UsageError for what is no `NAME=VALUE` or given twice, DataError for a file that can't be used.
    """
    texts: dict[str, str] = {}
    for text in given:
        name, value = split_assignment(text, "--var")
        if name in texts:
            raise UsageError(f"--var {name}: is given twice")
        texts[name] = value
    for name in no_grad:
        if name not in texts:
            raise UsageError(f"--no-grad {name}: there is no --var {name}{near(name, texts)}")
    return [
        Variable(
            name,
            read_value(value, f"--var {name}", float_type, keep_type=name in no_grad),
            requires_grad=name not in no_grad,
        )
        for name, value in texts.items()
    ]


def split_assignment(text: str, option: str) -> tuple[str, str]:
    """The two sides of `NAME=VALUE`. UsageError where there is no such name, or no value."""
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not value:
        raise UsageError(f"{option} {text}: is no NAME=VALUE such as a=2,3")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{option} {text}: {name!r} is no name; take letters, digits and _, such as a or x1")
    return name, value


def read_value(text: str, option: str, float_type: DType, *, keep_type: bool = False) -> Array:
    """The array that a value stands for, of the type `float_type`; integers and truth values stay with `keep_type`."""
    if text.startswith("@"):
        array = _read_file(text[1:])
        source = text[1:]
    else:
        array, source = evaluate(parse_expression(text, option), {}, float_type).array, option
    if array.dtype.kind not in "fiub":
        raise DataError(f"{source}: holds {array.dtype} values; expected numbers")
    wanted = as_numpy_dtype(float_type)
    if keep_type and array.dtype.kind != "f":
        try:
            return np.array(array, from_numpy_dtype(array.dtype).numpy)
        except TypeError as error:
            raise DataError(f"{source}: {error}") from error
    with np.errstate(over="ignore"):  # what is too large becomes inf, as in PyTorch
        return np.array(array, wanted, order="C")


def _read_file(text: str) -> Array:
    """The array in a file: `PATH.npy`, `PATH.npz` with one array, `PATH.npz:NAME`, or `-` for standard input."""
    if text == "-":
        return read_npy_from_standard_input()
    path, name = text, ""
    if ".npz:" in text:
        path, _, name = text.rpartition(":")
    if not path.lower().endswith(".npz"):
        return read_npy(path)
    names = npz_names(path)
    if not name:
        if len(names) != 1:
            raise DataError(f"{path}: holds {len(names)} arrays; name one, as @{path}:{names[0]}")
        name = names[0]
    if name not in names:
        raise DataError(f"{path}: holds no array {name!r}{near(name, names) or f'; it holds {_listed(names)}'}")
    return read_npz(path, [name])[0]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


_SHOWN = 8
