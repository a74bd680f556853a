"""The sections give the tutorial's numbers, and PyTorch runs the very same lines to the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcli.inspection.tutorial.cells import ComparedFormula, run_section
from gradcli.inspection.tutorial.sections import SECTIONS

BY_NAME = {section.name: section for section in SECTIONS}
WITHOUT_MODEL = [name for name in BY_NAME if name not in ("training-step", "frozen")]


def checks_of(name: str) -> list[ComparedFormula]:
    result = run_section(BY_NAME[name], weights="random:0", seed=0)
    return [check for cell in result.cells for check in cell.checks]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_value_is_what_its_formula_gives(name: str) -> None:
    checks = checks_of(name)
    assert checks
    assert [check.code for check in checks if not check.ok] == []


def test_the_tutorials_numbers() -> None:
    values = [(check.code, check.value) for check in checks_of("differentiation")]
    assert values == [("a.grad", [36.0, 81.0]), ("b.grad", [-12.0, -8.0])] * 2


@pytest.mark.parity
@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_pytorch_runs_the_same_lines_to_the_same_values(name: str) -> None:
    torch = pytest.importorskip("torch")
    variables: dict[str, Any] = {"torch": torch}
    for cell, result in zip(
        BY_NAME[name].cells, run_section(BY_NAME[name], weights="random:0", seed=0).cells, strict=True
    ):
        exec("\n".join(line for line in result.code if not line.startswith("import gradcli")), variables)
        for expression, shown in result.shown.items():
            assert str(eval(expression, variables)) == shown
        for formula, check in zip(cell.formulas, result.checks, strict=True):
            value = eval(formula.code, variables)
            numbers = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, np.float64)
            assert numbers.shape == check.shape
            assert np.linalg.norm(numbers) == pytest.approx(check.norm, rel=1e-6)
            if check.value is not None:
                np.testing.assert_allclose(numbers, check.value, rtol=1e-6)
