"""Analytic against numerical derivatives: what agrees, what differs, and where."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor, operation
from gradcli.autograd.dtypes import float32, float64
from gradcli.errors import CheckError, UsageError
from gradcli.inspection.expressions import (
    CheckedVariable,
    Differentiation,
    check_derivatives,
    functions,
    parse_expression,
    read_variables,
    require_checked,
)


def checked(text: str, *given: str, no_grad: tuple[str, ...] = ()) -> list[CheckedVariable]:
    return check_derivatives(Differentiation(parse_expression(text), read_variables(given, no_grad, float32), float32))


@pytest.mark.parametrize(
    "text",
    [
        "3*a**3 - b**2",
        "softmax(m @ a, 0).log()[1]",
        "(a > 2.5)*a + b",
        "a.sum()*randn(3)",
        "F.conv2d(m[None, None], m[None, None])",
    ],
)
def test_derivatives_agree(text: str) -> None:
    results = checked(text, "a=2,3", "b=6,4", "m=[[1,2],[3,4]]")
    assert [each.name for each in results] == ["a", "b", "m"]
    assert all(each.ok and each.max_relative_error < 1e-6 for each in results)
    require_checked(results)


def test_integers_without_gradient_stay_integers() -> None:
    (result,) = checked("a[i].exp()", "a=1,2,3", "i=0,2", no_grad=("i",))
    assert result.ok


def test_an_empty_variable_has_nothing_to_compare() -> None:
    empty, full = checked("a.sum() + b", "a=zeros(0)", "b=1")
    assert (empty.ok, empty.max_absolute_error, empty.worst) == (True, 0.0, ())
    assert full.ok


@pytest.mark.parametrize(("text", "worst"), [("relu(a)", (1, 1)), ("sqrt(a + 1)", (0, 0))])
def test_kinks_and_poles_do_not_hold(text: str, worst: tuple[int, ...]) -> None:
    (result,) = checked(text, "a=-1,0,1")
    assert (result.ok, result.worst) == (False, worst)
    with pytest.raises(CheckError, match=rf"^--check: derivatives differ: a at \[{worst[0]}, {worst[1]}\] \(analytic "):
        require_checked([result])


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "OPERATIONS", dict(operation.OPERATIONS))  # what is declared here is gone afterwards

    @operation.op("TwiceBackward0")
    def twice_with_a_wrong_gradient(input: np.ndarray) -> np.ndarray:
        return 2 * input

    twice_with_a_wrong_gradient.gradient(input=lambda grad: grad * 2.01)
    monkeypatch.setitem(functions.functions(), "twice", twice_with_a_wrong_gradient)
    wrong, right = checked("twice(a) + b", "a=1,2", "b=1,2")
    assert (wrong.ok, wrong.worst) == (False, (0, 0))
    assert wrong.analytical == pytest.approx(2.01)
    assert wrong.numerical == pytest.approx(2)
    assert wrong.max_absolute_error == pytest.approx(0.01)
    assert wrong.max_relative_error == pytest.approx(0.01 / 2.01)
    assert right.ok


def test_float32_values_are_checked_in_float64() -> None:
    given = Differentiation(parse_expression("a**2"), read_variables(["a=1e3"], [], float32), float32)
    assert given.in_float64().float_type is float64
    assert check_derivatives(given)[0].max_relative_error < 1e-7
    assert isinstance(given.value.tensor, Tensor)


def test_there_must_be_something_to_check() -> None:
    with pytest.raises(UsageError, match="--check: the value does not require grad"):
        checked("a > 1", "a=1,2")
    with pytest.raises(
        UsageError, match="--check: moves each of 20,000 elements of the variables; 10,000 is the limit"
    ):
        checked("a.sum()", "a=zeros(20000)")
