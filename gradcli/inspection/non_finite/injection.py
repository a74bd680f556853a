"""Numbers put into a pass on purpose: into weights, the input, or what a module gives or is brought by backward."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.function import Function
from gradcli.errors import UsageError
from gradcli.inspection.gradients.collection import INPUT_NAME
from gradcli.kernels.statistics import Array
from gradcli.training.non_finite import index_text
from gradcli.training.passes import Pass

_FORM = re.compile(r"(?P<name>[^=]+)=(?P<value>[^:=]+)(?::(?P<index>\d+(?:,\d+)*))?")


@dataclass(frozen=True)
class Injection:
    """`value` for one element of what `name` means: a parameter, a buffer, `input`, `MODULE.output` (whatever the
    module gives), or `MODULE.gradient` (the gradient of that).

    `index` has a number for each dimension, or one that counts the elements in row-major order.
    """

    name: str
    value: float
    index: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}:{index_text(self.index)}"


def parse_injection(text: str) -> Injection:
    """The injection written as `NAME=VALUE` or `NAME=VALUE:INDEX`, by default of the first element; UsageError if none.

    VALUE is `nan`, `inf`, `-inf`, or any other number.
    """
    match = _FORM.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        value = float(match["value"])
    except ValueError:
        raise UsageError(
            f"--inject {text!r} is not NAME=VALUE[:INDEX] such as layer1.0.conv1.weight=nan or input=inf:0,2,5,5"
        ) from None
    return Injection(match["name"], value, tuple(int(place) for place in (match["index"] or "0").split(",")))


@contextmanager
def injected(run: Pass, injections: Sequence[Injection]) -> Iterator[None]:
    """Put the values in: into weights and input for good, at modules as long as the `with` block lasts.

    UsageError for a name that there is not, with similar ones, or an index beyond the end.
    """
    state = dict(run.model.named_parameters()) | dict(run.model.named_buffers())
    modules = {name: module for name, module in run.model.named_modules() if name}
    with ExitStack() as hooks:
        for injection in injections:
            module, _, kind = injection.name.rpartition(".")
            if injection.name == INPUT_NAME:
                run.data = Tensor(_with_value(run.data.array, injection))
            elif injection.name in state:
                tensor = state[injection.name]
                tensor.array[...] = _with_value(tensor.array, injection)
            elif module in modules and kind in ("output", "gradient"):
                hooks.enter_context(modules[module].register_forward_hook(_hook(injection, kind == "output")))
            else:
                names = [INPUT_NAME, *state, *(f"{name}.{end}" for name in modules for end in ("output", "gradient"))]
                near = difflib.get_close_matches(injection.name, names)
                advice = f"did you mean {' or '.join(near)}?" if near else "take a parameter, input or MODULE.output"
                raise UsageError(f"--inject {injection.name}: there is no such tensor; {advice}")
        yield


class Inject(Function):
    """The input as it is, but for one element of the result, or of the gradient on its way back."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, injection: Injection, where: Literal["output", "gradient"]) -> Tensor:
        ctx.injection, ctx.where = injection, where
        return Tensor(_with_value(input.array, injection) if where == "output" else input.array.copy(order="K"))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if ctx.where == "output":
            return grad, None, None
        return Tensor(_with_value(grad.array, ctx.injection)), None, None


def _hook(injection: Injection, into_output: bool) -> Any:
    where = "output" if into_output else "gradient"

    def hook(module: Any, arguments: Any, result: Tensor) -> Tensor:
        _place(result.array.shape, injection)  # now, for gradients too
        changed: Tensor = Inject.apply(result, injection, where)
        return changed

    return hook


def _with_value(array: Array, injection: Injection) -> Array:
    """A copy with the value in its place."""
    place = _place(array.shape, injection)
    if array.dtype.kind != "f":
        raise UsageError(f"--inject {injection.name}: holds integers, which are always finite; take another tensor")
    changed = array.copy(order="K")
    with np.errstate(over="ignore"):
        changed[place] = injection.value
    return changed


def _place(shape: tuple[int, ...], injection: Injection) -> tuple[int, ...]:
    index = injection.index
    try:
        if len(index) == 1:
            return tuple(int(place) for place in np.unravel_index(index[0], shape))
        if len(index) == len(shape) and all(place < size for place, size in zip(index, shape, strict=True)):
            return index
    except ValueError:
        pass
    raise UsageError(
        f"--inject {injection}: there is no such element in {'x'.join(map(str, shape))}; give {len(shape)} numbers "
        "from 0, or one that counts all elements"
    )
