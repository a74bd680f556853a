"""An expression's analytic derivatives against numerical ones, in float64: what `gradcheck` compares, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor, no_grad
from gradcli.autograd.finite_differences import Numbered, numerical_jacobians
from gradcli.errors import CheckError, UsageError
from gradcli.inspection.expressions.derivatives import Differentiation

EPS = 1e-6
"""The step of the central differences, and the tolerances: those of `torch.autograd.gradcheck`."""
ATOL = 1e-5
RTOL = 1e-3
MAX_INPUTS = 10_000
"""Elements of all variables: each of them is moved twice."""


@dataclass(frozen=True)
class CheckedVariable:
    """How the derivatives by one variable compare.

    The errors are those of the Jacobian's worst entries, the relative one as a share of its largest entry. `worst` is
    the entry that is nearest to its tolerance, or farthest beyond it: its index in the value and then in the variable,
    with both derivatives. `ok` where every entry is within atol + rtol * |numerical|.
    """

    name: str
    ok: bool
    max_absolute_error: float
    max_relative_error: float
    worst: tuple[int, ...]
    analytical: float
    numerical: float


def check_derivatives(given: Differentiation) -> list[CheckedVariable]:
    """Compare the whole Jacobian with central differences at the variables' values, as float64.

    At a kink, where the derivatives from both sides differ, the numerical one is their mean, which the analytical one
    need not be. UsageError where nothing can be differentiated or there is too much to compare.
    """
    differentiation = given.in_float64()
    count = sum(variable.values.size for variable in differentiation.wanted)
    if count > MAX_INPUTS:
        raise UsageError(f"--check: moves each of {count:,} elements of the variables; {MAX_INPUTS:,} is the limit")
    analytical = differentiation.jacobian("--check")
    leaves = tuple(Tensor(variable.values.copy()) for variable in differentiation.wanted)
    output = Numbered(0, differentiation.value.tensor)

    def called() -> Sequence[Any]:
        with no_grad():
            return (differentiation.function(*leaves),)

    checked = []
    for position, (variable, leaf) in enumerate(zip(differentiation.wanted, leaves, strict=True)):
        (by_input,) = numerical_jacobians(called, Numbered(position, leaf), [output], EPS)
        own = analytical[variable.name]
        # (elements of the variable, elements of the value) -> (*value, *variable)
        checked.append(_compared(variable.name, own, by_input.T.reshape(own.shape)))
    return checked


def require_checked(checked: Sequence[CheckedVariable]) -> None:
    """CheckError that names the variables whose derivatives differ."""
    wrong = [each for each in checked if not each.ok]
    if wrong:
        details = ", ".join(
            f"{each.name} at {list(each.worst)} (analytic {each.analytical:.6g}, numerical {each.numerical:.6g})"
            for each in wrong
        )
        raise CheckError(f"--check: derivatives differ: {details}")


def _compared(name: str, analytical: NDArray[Any], numerical: NDArray[Any]) -> CheckedVariable:
    if not analytical.size:
        return CheckedVariable(name, True, 0.0, 0.0, (), 0.0, 0.0)
    same = analytical == numerical  # infinities that are equal have no difference
    with np.errstate(all="ignore"):
        errors = np.where(same, 0.0, np.abs(analytical - numerical))
        excess = np.where(same, -np.inf, np.nan_to_num(errors - (ATOL + RTOL * np.abs(numerical)), nan=np.inf))
        largest = max(float(np.max(np.abs(analytical))), float(np.max(np.abs(numerical))))
        error = float(np.max(errors))
    worst = tuple(int(place) for place in np.unravel_index(np.argmax(excess), excess.shape))
    return CheckedVariable(
        name=name,
        ok=bool((excess <= 0).all()),
        max_absolute_error=error,
        max_relative_error=error / largest if error else 0.0,
        worst=worst,
        analytical=float(analytical[worst]),
        numerical=float(numerical[worst]),
    )
