"""The colours of pictures of graphs, on light and on dark paper."""

from __future__ import annotations

from typing import Final, NamedTuple

from gradcli.inspection.graphs.labels import Style


class Colors(NamedTuple):
    """The colours of a box and its text."""

    fill: str
    line: str
    text: str


class Paper(NamedTuple):
    """The colours of what is around the boxes: background, arrows, and the texts at them."""

    background: str
    arrow: str
    text: str


LIGHT_PAPER: Final = Paper("#ffffff", "#6b7280", "#4b5563")
DARK_PAPER: Final = Paper("#111827", "#9ca3af", "#c5cad3")

LIGHT: Final[dict[Style, Colors]] = {
    "result": Colors("#d9f2d0", "#3f7d2c", "#14310b"),
    "module": Colors("#f3f4f6", "#8b93a1", "#111827"),
    "operation": Colors("#ffffff", "#8b93a1", "#111827"),
    "leaf": Colors("#dbeafe", "#3b6fc4", "#10264d"),
    "frozen": Colors("#ece7f6", "#8f83ab", "#41365c"),
    "skipped": Colors("#fafafa", "#a8aeb8", "#6b7280"),
}

DARK: Final[dict[Style, Colors]] = {
    "result": Colors("#1d3a17", "#7cc262", "#e3f7dc"),
    "module": Colors("#1f2937", "#6b7484", "#f3f4f6"),
    "operation": Colors("#161e2c", "#6b7484", "#f3f4f6"),
    "leaf": Colors("#172c52", "#78a6f0", "#e1ecff"),
    "frozen": Colors("#2b2540", "#8d80ad", "#ddd5ef"),
    "skipped": Colors("#141b28", "#566070", "#9aa3b0"),
}
