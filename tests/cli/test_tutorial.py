"""`gradcli tutorial`: the walk as text, as data, and its exit code when a formula and a number part."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from gradcli.cli.tutorial import SectionName
from gradcli.inspection.tutorial import sections
from gradcli.inspection.tutorial.cells import Cell, Formula, Section

Run = Callable[..., Any]


def test_the_option_knows_the_workflows_sections() -> None:
    assert [name.value for name in SectionName] == list(sections.SECTION_NAMES)


def test_code_formula_and_number_stand_together(gradcli: Run) -> None:
    result = gradcli("tutorial", "--section", "differentiation")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert ">>> Q = 3*a**3 - b**2" in lines
    assert "    a.grad   [36, 81]" in lines
    assert "    formula  [36, 81]  dQ/da = 9a^2  [ok]" in lines
    assert result.stderr == "4 of 4 values are what their formulas give; weights emoji1k\n"


def test_json_has_cells_and_their_comparisons(gradcli_json: Run) -> None:
    document = gradcli_json("tutorial", "--section", "vector-jacobian", "--section", "requires-grad")
    assert (document["schema"], document["ok"], document["seed"]) == ("gradcli.tutorial/1", True, 0)
    assert [section["name"] for section in document["sections"]] == ["vector-jacobian", "requires-grad"]
    first = document["sections"][0]["cells"][0]["checks"][0]
    assert (first["code"], first["value"], first["formula_value"]) == ("J", [[36.0, 0.0], [0.0, 81.0]], first["value"])


def test_csv_has_one_row_for_each_comparison(gradcli: Run) -> None:
    result = gradcli("tutorial", "--section", "one-layer", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["section"], row["code"], row["shape"], row["ok"]) for row in rows] == [
        ("one-layer", "b.grad", "3", "true"),
        ("one-layer", "w.grad", "5x3", "true"),
    ]


def test_a_value_that_is_not_its_formulas_ends_with_6(gradcli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Section("differentiation", "Wrong", [Cell("a = 2.0", formulas=[Formula("9*a**2", "8a^2", "8*a**2")])])
    monkeypatch.setattr(sections, "SECTIONS", (wrong,))
    result = gradcli("tutorial", "--section", "differentiation")
    assert result.exit_code == 6
    assert "    formula  32  8a^2  [FAILED, relative difference 0.125]" in result.stdout.splitlines()
    assert result.stderr.splitlines()[-1] == (
        "gradcli tutorial: error: differentiation: 9*a**2 is not 8a^2 (relative difference 0.125)"
    )


def test_an_unknown_section_is_a_usage_error(gradcli: Run) -> None:
    result = gradcli("tutorial", "--section", "integration")
    assert result.exit_code == 2
    assert "integration" in result.stderr
