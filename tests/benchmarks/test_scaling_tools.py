"""The tools of benchmarks/scaling.py: cliffs are found, and the chart is SVG that shows every point."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    """A module of the benchmarks, which are no package: under a name that collides with none."""
    spec = importlib.util.spec_from_file_location(f"gradcli_benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trend() -> Iterator[ModuleType]:
    yield load("trend")
    del sys.modules["gradcli_benchmarks_trend"]


@pytest.fixture
def line_chart() -> Iterator[ModuleType]:
    yield load("line_chart")
    del sys.modules["gradcli_benchmarks_line_chart"]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_power_law_lies_on_its_trend(power: float, trend: ModuleType) -> None:
    work = [1, 2, 3, 8, 20]
    ratios = trend.over_trend(work, [7 * each**power for each in work])
    assert ratios[1:-1] == pytest.approx([1, 1, 1])
    assert all(ratio <= 1 + 1e-12 for ratio in ratios)


def test_overhead_that_work_outgrows_is_no_cliff(trend: ModuleType) -> None:
    work = [2**exponent for exponent in range(9)]
    assert max(trend.over_trend(work, [30 + 4 * each for each in work])) < 1


@pytest.mark.parametrize("index", range(6))
def test_one_high_point_is_a_cliff_wherever_it_stands(index: int, trend: ModuleType) -> None:
    work = [1, 2, 4, 8, 16, 32]
    cost = [10.0 + 100 * each for each in work]
    cost[index] *= 3
    ratios = trend.over_trend(work, cost)
    assert [number for number, ratio in enumerate(ratios) if ratio > trend.CLIFF] == [index]


@pytest.mark.parametrize("cost", [[], [3.0]])
def test_less_than_two_points_have_no_trend(cost: list[float], trend: ModuleType) -> None:
    assert trend.over_trend(list(range(len(cost))), cost) == [1.0] * len(cost)


def test_the_chart_shows_every_point_and_rings_the_marked_ones(line_chart: ModuleType) -> None:
    lines = [
        line_chart.Line("a < b", [(1, 20.0), (2, 12.0), (4, 9.0)], {1: "x1.40"}),
        line_chart.Line("c", [(1, 200.0), (4, 90.0)], {}),
    ]
    panel = line_chart.Panel("time", "batch", "ms", lines)
    root = ElementTree.fromstring(line_chart.line_chart("curves", [panel, panel, panel]))
    svg = "{http://www.w3.org/2000/svg}"
    circles = list(root.iter(f"{svg}circle"))
    assert len([circle for circle in circles if circle.get("fill") != "none"]) == 3 * 5
    assert len([circle for circle in circles if circle.get("fill") == "none"]) == 3
    texts = [text.text for text in root.iter(f"{svg}text")]
    assert {"curves", "a < b", "c", "batch", "ms", "1", "2", "4", "10", "20", "50", "100", "x1.40"} <= set(texts)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert (width, height) > (0, 0)
    for x, y in ((float(circle.get("cx", "-1")), float(circle.get("cy", "-1"))) for circle in circles):
        assert 0 < x < width
        assert 0 < y < height
