"""Options of commands that list records: their order, and how many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from gradcli.cli.options import OUTPUT_PANEL

SortOption = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="FIELD",
        help="Order by a field of the output: numbers from the largest down, NaN before all.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
SmallestFirstOption = Annotated[
    bool,
    typer.Option("--smallest-first", help="With --sort: from the smallest up.", rich_help_panel=OUTPUT_PANEL),
]
TopOption = Annotated[
    int | None,
    typer.Option("--top", metavar="N", min=1, help="The first N only.", rich_help_panel=OUTPUT_PANEL),
]


@dataclass(frozen=True, kw_only=True)
class RankingOptions:
    """The order of the records and how many are written."""

    sort: SortOption = None
    smallest_first: SmallestFirstOption = False
    top: TopOption = None
