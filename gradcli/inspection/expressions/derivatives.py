"""The derivatives of an expression: gradients, Jacobians, Hessians, and products with them.

The numbers are those of `backward` and of `autograd.functional`; nothing is derived here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor, functional
from gradcli.autograd.dtypes import DType, float64, from_numpy_dtype
from gradcli.errors import GradcliError, UsageError
from gradcli.inspection.expressions.evaluation import evaluate
from gradcli.inspection.expressions.syntax import Expression
from gradcli.inspection.expressions.variables import Variable, read_value, split_assignment
from gradcli.ops.random import get_rng_state, set_rng_state

Array = NDArray[Any]
Blocks = dict[str, Array]
R = TypeVar("R")

MAX_ENTRIES = 2**24
"""Of the Jacobians, or of the Hessian."""


@dataclass(frozen=True, eq=False)
class Value:
    """What an expression gives: the tensor, and by each variable that requires gradients the leaf it was computed on.

    After `gradients` the leaves have their `grad`.
    """

    tensor: Tensor
    leaves: dict[str, Tensor]

    @property
    def array(self) -> Array:
        return self.tensor.array

    @property
    def grad_fn(self) -> str | None:
        """The name of the node of the last operation, such as `SubBackward0`; None for what nothing is recorded of."""
        node = self.tensor.grad_fn
        return None if node is None else node.name()


class Differentiation:
    """An expression at one place, and its derivatives there.

    All methods raise a UsageError that names the option for a derivative that there isn't. Every evaluation draws the
    same random numbers, those that the default generator is about to give.
    """

    def __init__(self, expression: Expression, variables: Sequence[Variable], float_type: DType) -> None:
        self.expression = expression
        self.variables = variables
        self.float_type = float_type
        self.generator_state = get_rng_state()
        self.wanted = [variable for variable in variables if variable.requires_grad]
        self.value = self._evaluated()

    def in_float64(self) -> Differentiation:
        """The same in double precision."""
        variables = [
            dataclasses.replace(each, values=each.values.astype(np.float64)) if each.values.dtype.kind == "f" else each
            for each in self.variables
        ]
        set_rng_state(self.generator_state)
        return Differentiation(self.expression, variables, float64)

    def _evaluated(self) -> Value:
        leaves = {variable.name: Tensor(variable.values, requires_grad=True) for variable in self.wanted}
        return Value(self.function(*leaves.values()), leaves)

    def function(self, *leaves: Tensor) -> Tensor:
        """The value of the expression as a function of the variables that require gradients, in their order."""
        constants = {each.name: Tensor(each.values.copy()) for each in self.variables if not each.requires_grad}
        chosen = {variable.name: leaf for variable, leaf in zip(self.wanted, leaves, strict=True)}
        set_rng_state(self.generator_state)
        return evaluate(self.expression, constants | chosen, self.float_type)

    # --- derivatives ----------------------------------------------------------------------------------------------

    def gradients(self, vector: str | None = None) -> dict[str, Array | None]:
        """The vector-Jacobian product by each variable, as `backward` leaves it in `grad`; None where it reaches none.

        `vector`, written as a variable's value is, has the value's shape; a value of one element needs none.
        """
        value = self.value.tensor
        gradient = None if vector is None else self._vector(vector, "--gradient", value)
        if not value.requires_grad:
            if gradient is not None:
                self._require_gradients("--gradient")
            return dict.fromkeys(self.value.leaves)
        if gradient is None and value.numel() != 1:
            raise UsageError(
                "--gradient: grad can be implicitly created only for scalar outputs, and the value has the shape "
                f"{list(value.shape)}; give a vector of that shape, such as --gradient {_ones(value)}"
            )
        for leaf in self.value.leaves.values():
            leaf.grad = None
        _guarded("--gradient", lambda: value.backward(gradient, retain_graph=True))
        return {name: None if leaf.grad is None else leaf.grad.array for name, leaf in self.value.leaves.items()}

    def jacobian(self, option: str = "--jacobian") -> Blocks:
        """The derivative of every element of the value by every one of each variable: (*value, *variable).

        By rows or by columns, whichever are fewer. `option` is the one that asks for it.
        """
        self._require_gradients(option)
        inputs, outputs = self._inputs(), self.value.tensor.numel()
        self._check_size(option, outputs * inputs)
        strategy = "reverse-mode" if outputs <= inputs else "forward-mode"
        blocks = _guarded(option, lambda: functional.jacobian(self.function, self._leaves(), strategy=strategy))
        return {variable.name: block.array for variable, block in zip(self.wanted, blocks, strict=True)}

    def hessian(self) -> dict[str, Blocks]:
        """The second derivatives of a value of one element by every pair of variables: (*first, *second)."""
        self._require_gradients("--hessian")
        if self.value.tensor.numel() != 1:
            raise UsageError(
                f"--hessian: is that of one number, and the value has the shape {list(self.value.tensor.shape)}; "
                "sum it, say"
            )
        self._check_size("--hessian", self._inputs() ** 2)
        rows = _guarded("--hessian", lambda: functional.hessian(self.function, self._leaves()))
        return {
            first.name: {second.name: block.array for second, block in zip(self.wanted, row, strict=True)}
            for first, row in zip(self.wanted, rows, strict=True)
        }

    def jvp(self, directions: Sequence[str]) -> Array:
        """The product of the Jacobian with a direction, in the value's shape: how it changes that way.

        A direction is `NAME=VALUE` for each variable that moves, of its shape, or a value alone where there is one
        variable.
        """
        self._require_gradients("--jvp")
        given: dict[str, Tensor] = {}
        for text in directions:
            if len(self.wanted) == 1 and not text.partition("=")[0].strip().isidentifier():
                name, value = self.wanted[0].name, text
            else:
                name, value = split_assignment(text, "--jvp")
            if name not in self.value.leaves:
                raise UsageError(f"--jvp {name}: is no variable that requires gradients")
            if name in given:
                raise UsageError(f"--jvp {name}: is given twice")
            given[name] = self._vector(value, f"--jvp {name}", self.value.leaves[name])
        tangents = tuple(given.get(name, Tensor(np.zeros_like(leaf.array))) for name, leaf in self.value.leaves.items())
        _, product = _guarded("--jvp", lambda: functional.jvp(self.function, self._leaves(), tangents))
        assert isinstance(product, Tensor)
        return product.array

    # --- what they have in common ---------------------------------------------------------------------------------

    def _leaves(self) -> tuple[Tensor, ...]:
        return tuple(Tensor(variable.values) for variable in self.wanted)

    def _inputs(self) -> int:
        return sum(variable.values.size for variable in self.wanted)

    def _vector(self, text: str, option: str, like: Tensor) -> Tensor:
        vector = read_value(text, option, from_numpy_dtype(like.array.dtype))
        if vector.size == like.numel() == 1:
            vector = vector.reshape(like.shape)  # `1` for a value of shape (1,) or (1, 1)
        if vector.shape != tuple(like.shape):
            raise UsageError(f"{option}: has the shape {list(vector.shape)}; expected {list(like.shape)}")
        return Tensor(vector)

    def _require_gradients(self, option: str) -> None:
        if not self.wanted:
            raise UsageError(f"{option}: no variable requires gradients; give one by --var NAME=VALUE")
        if not self.value.tensor.requires_grad:
            raise UsageError(
                f"{option}: the value does not require grad: nothing differentiable leads to it from "
                f"{', '.join(variable.name for variable in self.wanted)}"
            )

    def _check_size(self, option: str, entries: int) -> None:
        if entries > MAX_ENTRIES:
            raise UsageError(f"{option}: has {entries:,} entries; {MAX_ENTRIES:,} is the limit")


def _guarded(option: str, compute: Callable[[], R]) -> R:
    """What the engine refuses to differentiate as a UsageError that names the option."""
    try:
        return compute()
    except (GradcliError, MemoryError):
        raise
    except Exception as error:
        raise UsageError(f"{option}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _ones(value: Tensor) -> str:
    """A vector of that shape as one would type it, where that is short."""
    if value.numel() > _SHORT:
        return "'ones(" + ", ".join(map(str, value.shape)) + ")'"
    text = str(np.ones(value.shape, int).tolist()).replace(" ", "")
    return text[1:-1] if value.ndim == 1 else f"'{text}'"


_SHORT = 12
