"""The report page: its numbers are the workflow's, its charts well-formed, and it loads nothing."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from small_network import small_pass

from gradcli.inspection.report.axes import linear_axis, log_axis
from gradcli.inspection.report.charts import bar_chart, histogram_chart, line_chart
from gradcli.inspection.report.content import ReportContent, collect_report
from gradcli.inspection.report.markup import Markup, element, table
from gradcli.inspection.report.page import report_page
from gradcli.inspection.training_runs.history import RunHistory, RunStatus

VOID = {"meta", "link", "img"}
BAD = "<script>alert(1)</script>\x1b&\"'"


class Page(HTMLParser):
    """Elements of a page, its tables by heading, and the text outside of styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if not {"style", "script"} & set(self.open):
            self.text += data


def history() -> RunHistory:
    run = RunHistory(Path("runs") / BAD)
    for epoch in (1, 2):
        numbers = {"train_loss": 1 / 3 / epoch, "train_accuracy": 0.5, "val_loss": "nan", "val_accuracy": 0.25}
        run.add({"kind": "epoch", "epoch": epoch, **numbers})
        layers = [
            {"name": name, "grad_norm": norm, "update_ratio": None} for name, norm in (("conv1", 0.1), (BAD, "inf"))
        ]
        run.add(
            {"kind": "gradients", "epoch": epoch, "step": epoch, "lr": 0.1, "grad_norm": 1 / 7, "update_ratio": None}
            | {"layers": layers}
        )
    return run


@pytest.fixture(scope="module")
def content() -> ReportContent:
    prepared = small_pass()
    prepared.names[0] = BAD
    command = f"gradcli report {BAD}"
    return collect_report(prepared, command=command, lr=0.1, depth=0, run=history(), status=RunStatus(False, "stopped"))


@pytest.fixture(scope="module")
def text(content: ReportContent) -> str:
    return report_page(content)


def test_numbers_are_those_of_the_pass(content: ReportContent, text: str) -> None:
    rows = {tuple(row) for row in Page(text).rows}
    check = small_pass()
    check.loss(check.forward()).backward()
    for layer in content.layers:
        names = [name for name in check.gradients() if name.rpartition(".")[0] == layer.name]
        norm = math.sqrt(sum(float((check.gradients()[name].astype(np.float64) ** 2).sum()) for name in names))
        assert layer.norm == pytest.approx(norm, rel=1e-6)
        wanted = (layer.numel, layer.norm, layer.weight_norm, layer.update_ratio, layer.zero_share, layer.nonfinite)
        assert (layer.name, *("" if each is None else repr(each) for each in wanted)) in rows
    for name, counted in content.histograms.items():
        for low, high, count in zip(counted.edges[:-1], counted.edges[1:], counted.counts, strict=True):
            assert (name, repr(low), repr(high), str(count)) in rows
    assert sum(content.histograms["all parameters"].counts) == content.total.numel - content.total.zeros
    assert (f"loss ({content.loss_name})", repr(content.loss)) in rows
    assert any(
        row[1] == node.name and row[4] == str(node.saved_bytes)
        for node in content.graph.nodes
        for row in rows
        if len(row) == 7
    )


def test_the_runs_records_are_there_in_full_precision(text: str) -> None:
    rows = Page(text).rows
    assert ["1", repr(1 / 3), "nan"] in rows
    assert ["2", repr(1 / 7), "0.1", "inf"] in rows
    assert "stopped." in Page(text).text


def test_nothing_is_loaded_and_nothing_runs_but_the_pages_own_script(text: str) -> None:
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action"):
                assert value is not None
                assert value.startswith("data:")
    assert re.findall(r"url\((?!#)|@import|fetch\(|XMLHttp", text) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}


def test_texts_are_escaped(text: str) -> None:
    assert BAD not in text
    assert "\x1b" not in text
    assert BAD.replace("\x1b", r"\x1b") in Page(text).text


def test_charts_are_well_formed_and_described(text: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(drawings) > 7
    identities = re.findall(r' id="([^"]+)"', text)
    assert len(identities) == len(set(identities))
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        if root.get("class") != "gradcli-graph":
            assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
            for identity in root.attrib["aria-labelledby"].split():
                assert identity in identities
        assert "nan" not in " ".join(
            each.get(name, "") for each in root.iter() for name in ("d", "x", "y", "width", "height", "transform")
        )


def test_gradients_that_are_not_finite_are_part_of_the_report() -> None:
    prepared = small_pass()
    prepared.model.fc.weight.array[0] = np.nan
    found = collect_report(prepared, command="gradcli report", lr=0.1, depth=1)
    page = Page(report_page(found))
    assert "Not finite: gradients of" in page.text
    assert "The input or its gradient is not finite." in page.text


def bars(chart: str) -> list[Any]:
    return [each for each in ElementTree.fromstring(chart).iter() if each.get("class") == "bar"]


def test_bars_are_as_long_as_their_logarithms() -> None:
    values = {"a": 3.0, "b": 30.0, "c": 300.0, "zero": 0.0, "none": None, "nan": math.nan}
    widths = [float(bar.attrib["width"]) for bar in bars(bar_chart("id", "Norms", "norm", values))]
    assert len(widths) == 3
    assert widths[2] - widths[1] == pytest.approx(widths[1] - widths[0], abs=0.02)


def test_histogram_bars_have_the_heights_of_their_counts() -> None:
    heights = [float(bar.attrib["height"]) for bar in bars(histogram_chart("id", "x", [1, 10, 100, 1000], [2, 0, 4]))]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.02)
    assert bars(histogram_chart("id", "x", [], [])) == []
    assert len(bars(histogram_chart("id", "x", [2.0, 2.0], [5]))) == 1


def test_lines_have_gaps_where_numbers_are_not_finite() -> None:
    chart = line_chart("id", "x", "step", [1, 2, 3, 4], {"a": [1.0, math.nan, 2.0, 3.0], "b": [None] * 4})
    (path,) = [each for each in ElementTree.fromstring(chart).iter() if each.get("class") == "line series0"][1:]
    assert [path.attrib["d"].count(letter) for letter in "ML"] == [2, 1]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], (0, 0.2, 0.4, 0.6, 0.8, 1)),
        ([-3.0, 47.0], (-10, 0, 10, 20, 30, 40, 50)),
        ([], (0, 0.2, 0.4, 0.6, 0.8, 1)),
    ],
)
def test_linear_axes_have_round_ticks_at_their_ends(values: list[float], ticks: tuple[float, ...]) -> None:
    axis = linear_axis(values, 0, 100)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.place(axis.low), axis.place(axis.high)) == (0, 100)


@pytest.mark.parametrize(
    "values",
    [
        [5.0, 5.0],
        [0.0],
        [1e-300, 1e300],
        [math.inf, 1e-45],
        [3.4e38],
        [1.7e308, -1.7e308],
        [0.0, 5e-324],
        [1.0, 1.0 + 4e-16],
    ],
)
def test_axes_of_any_numbers_have_room_and_few_ticks(values: list[float]) -> None:
    for axis in (linear_axis(values, 0, 1), log_axis(values, 0, 1)):
        assert axis.low < axis.high
        assert 2 <= len(axis.ticks) <= 9
        assert len({axis.text(tick) for tick in axis.ticks}) == len(axis.ticks)
        assert all(0 <= axis.place(value) <= 1 for value in values if math.isfinite(value) and value > 0)


def test_labels_tell_near_ticks_apart() -> None:
    axis = linear_axis([2.30258, 2.3026], 0, 1)
    assert [float(axis.text(tick)) for tick in axis.ticks] == pytest.approx(axis.ticks, abs=1e-8)


def test_ten_thousand_epochs_are_counted_in_plain_numbers() -> None:
    axis = linear_axis([1, 10_000], 0, 1)
    assert [axis.text(tick) for tick in axis.ticks] == ["0", "2000", "4000", "6000", "8000", "10000"]


def test_columns_of_numbers_have_their_points_below_one_another() -> None:
    rows = [(8, 0.25, None, 5), (16, 12.5, 1.5, "five"), (32, 1e-05, math.nan, 5)]
    cells = re.findall(r'<t[hd][^>]*?(?: class="([^"]*)")?>([^<]*)</t[hd]>', table(["step", "a", "b", "c"], rows))
    assert cells == [
        *(("number", "step"), ("number", "a"), ("number", "b"), ("", "c")),
        *(("number", "8"), ("number pad1", "0.25"), ("number pad2", ""), ("", "5")),
        *(("number", "16"), ("number pad2", "12.5"), ("number", "1.5"), ("", "five")),
        *(("number", "32"), ("number", "1e-05"), ("number pad2", "nan"), ("", "5")),
    ]
    assert "<tbody></tbody>" in table(["a", "b"], [])


def test_elements_escape_what_is_no_markup() -> None:
    assert element("p", "<b>", Markup("<i>x</i>"), class_='"') == '<p class="&quot;">&lt;b&gt;<i>x</i></p>'
    assert '<td class="number"></td>' in table(["a", "b"], [("x", None)])
