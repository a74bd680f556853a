"""Cells: what runs is what is shown, and what agrees with its formula is told from what does not."""

from __future__ import annotations

import math

import pytest

from gradcli.errors import CheckError
from gradcli.inspection.tutorial.cells import Cell, Formula, Section, SectionResult, require_agreement, run_section

IMPORT = "import gradcli as torch"


def run(*cells: Cell) -> SectionResult:
    return run_section(Section("example", "Example", cells), weights="random:7", seed=5)


def test_the_lines_that_run_are_those_that_are_shown() -> None:
    result = run(Cell("seed, weights = {seed}, {weights}\nnames = {{1: seed}}", shows=["weights", "names"]))
    (cell,) = result.cells
    assert cell.code == ("seed, weights = 5, 'random:7'", "names = {1: seed}")
    assert cell.shown == {"weights": "random:7", "names": "{1: 5}"}


def test_cells_share_variables_and_sections_do_not() -> None:
    run(Cell("a = 1"), Cell("b = a + 1", shows=["b"]))
    with pytest.raises(NameError):
        run(Cell("b = a + 1"))


@pytest.mark.parametrize(
    ("value", "formula", "relative", "ok"),
    [
        ("[3., 4.]", "[3., 4.]", 0.0, True),
        ("[3., 4.00001]", "[3., 4.]", 2e-6, True),
        ("[3., 4.001]", "[3., 4.]", 2e-4, False),
        ("[3., 4.]", "[0., 0.]", math.inf, False),
        ("[float('nan'), 4.]", "[float('nan'), 4.]", 0.0, False),
        ("[float('nan'), 4.]", "[3., 4.]", math.nan, False),
        ("[3., 4.]", "[[3., 4.]]", math.nan, False),
        ("True", "False", math.inf, False),
    ],
)
def test_a_value_and_its_formula(value: str, formula: str, relative: float, ok: bool) -> None:
    result = run(Cell("pass", formulas=[Formula(value, "on paper", formula)]))
    (check,) = result.cells[0].checks
    assert check.ok is ok
    assert check.relative == pytest.approx(relative, rel=1e-3, abs=1e-12, nan_ok=True)
    if ok:
        require_agreement([result])
    else:
        with pytest.raises(CheckError, match=r"^example: .* is not on paper \(relative difference"):
            require_agreement([result])


def test_large_tensors_are_told_by_shape_and_norm() -> None:
    result = run(Cell(IMPORT, formulas=[Formula("torch.ones(4, 4)", "ones", "2 * torch.ones(4, 4)")]))
    (check,) = result.cells[0].checks
    assert (check.shape, check.value, check.formula_value) == ((4, 4), None, None)
    assert (check.norm, check.formula_norm, check.relative) == (4.0, 8.0, 0.5)
