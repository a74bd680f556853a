"""A tutorial's cell: lines of Python that are run as they are shown, what they show, and what must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor
from gradcli.errors import CheckError
from gradcli.inspection.differences.array_difference import array_difference

TOLERANCE: Final = 1e-5
"""How far, by |number - formula| / |formula|, float32 may round the two apart."""

MOST_VALUES: Final = 10
"""Of larger tensors the values are not repeated, only shape and norm."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A derivative or another value, as `code`, and the `formula` for it, which is code of its own; `text` is on paper.

    Both see the variables of the cells before.
    """

    code: str
    text: str
    formula: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Lines that are run, expressions whose values are shown, and formulas that must give the same numbers.

    `{weights}` and `{seed}` in lines stand for those of the tutorial; other braces are doubled.
    """

    lines: str
    shows: Sequence[str] = ()
    formulas: Sequence[Formula] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Cells that share variables; sections don't."""

    name: str
    title: str
    cells: Sequence[Cell]


@dataclass(frozen=True, kw_only=True)
class ComparedFormula:
    """A computed value and its formula's.

    `value` and `formula_value` are the numbers, None where there are more than ten. The norms are Euclidean, `relative`
    is |value - formula_value| / |formula_value|, `ok` whether that is within the tolerance and the shapes are the same.
    """

    code: str
    text: str
    formula: str
    shape: tuple[int, ...]
    value: Any
    formula_value: Any
    norm: float
    formula_norm: float
    relative: float
    ok: bool


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What a cell did: its lines as they ran, the texts of what it shows by expression, and its comparisons."""

    code: tuple[str, ...]
    shown: dict[str, str]
    checks: tuple[ComparedFormula, ...]


@dataclass(frozen=True, kw_only=True)
class SectionResult:
    """What the cells of a section did."""

    name: str
    title: str
    cells: tuple[CellResult, ...]


def run_section(section: Section, *, weights: str, seed: int) -> SectionResult:
    """Run the cells of a section one after the other, with variables of their own.

    `weights` is what `gradcli --weights` takes; `seed` is for the default generator, which keeps it.
    """
    variables: dict[str, Any] = {}
    cells = []
    for cell in section.cells:
        lines = cell.lines.format(weights=repr(weights), seed=seed).strip()
        exec(compile(lines, f"<{section.name}>", "exec"), variables)
        cells.append(
            CellResult(
                code=tuple(lines.splitlines()),
                shown={expression: str(eval(expression, variables)) for expression in cell.shows},
                checks=tuple(_compared(formula, variables) for formula in cell.formulas),
            )
        )
    return SectionResult(name=section.name, title=section.title, cells=tuple(cells))


def require_agreement(sections: Sequence[SectionResult]) -> None:
    """CheckError that names each value that is not what its formula gives."""
    wrong = [
        f"{section.name}: {check.code} is not {check.text} (relative difference {check.relative:.3g})"
        for section in sections
        for cell in section.cells
        for check in cell.checks
        if not check.ok
    ]
    if wrong:
        raise CheckError("; ".join(wrong))


def _compared(formula: Formula, variables: dict[str, Any]) -> ComparedFormula:
    value = _array(eval(formula.code, variables))
    expected = _array(eval(formula.formula, variables))
    if value.shape == expected.shape:
        difference = array_difference(value, expected, "float64", "float64")
        vectors = difference.vectors
        relative = float("nan") if difference.unmatched_nonfinite else vectors.relative
        norm, formula_norm = vectors.norm_a, vectors.norm_b
    else:
        relative = float("nan")
        norm, formula_norm = (float(np.linalg.norm(each.ravel())) for each in (value, expected))
    finite = bool(np.isfinite(value).all())  # equal NaN would be no agreement here
    return ComparedFormula(
        code=formula.code,
        text=formula.text,
        formula=formula.formula,
        shape=value.shape,
        value=value.tolist() if value.size <= MOST_VALUES else None,
        formula_value=expected.tolist() if expected.size <= MOST_VALUES else None,
        norm=norm,
        formula_norm=formula_norm,
        relative=relative,
        ok=finite and relative <= TOLERANCE,
    )


def _array(value: Any) -> NDArray[np.float64]:
    return np.asarray(value.detach().array if isinstance(value, Tensor) else value, np.float64)
