"""Options of commands that list records: their order, and how many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gradcli.cli.options import OUTPUT_PANEL
from gradcli.cli.tables import Column
from gradcli.errors import UsageError
from gradcli.inspection.ranking import check_sort, ranked

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

    def __post_init__(self) -> None:
        if self.smallest_first and self.sort is None:
            raise UsageError("--smallest-first goes with --sort FIELD; add it")

    def check_field(self, columns: Sequence[Column]) -> None:
        """UsageError, before any work, for a field to sort by that is none of the ordered columns'."""
        if self.sort is not None:
            check_sort(self.sort, [column.field for column in columns if column.ordered])

    def ranked(self, records: Sequence[Mapping[str, Any]], *, otherwise: int | None = None) -> list[dict[str, Any]]:
        """The records in this order, the first `top` of them, or without --top the first `otherwise`; None: all."""
        chosen = ranked(
            records, self.sort, smallest_first=self.smallest_first, top=otherwise if self.top is None else self.top
        )
        return [dict(record) for record in chosen]
