"""The options that order records, as every command that lists some has them."""

from __future__ import annotations

import math

import pytest

from gradcli.cli.ranking_options import RankingOptions
from gradcli.errors import UsageError

RECORDS = [{"name": "a", "norm": 2.0}, {"name": "b", "norm": math.nan}, {"name": "c", "norm": 3.0}]


@pytest.mark.parametrize(
    ("options", "otherwise", "expected"),
    [
        (RankingOptions(), None, "abc"),
        (RankingOptions(), 2, "ab"),
        (RankingOptions(top=1), 2, "a"),
        (RankingOptions(sort="norm"), None, "bca"),
        (RankingOptions(sort="norm", smallest_first=True, top=2), None, "ba"),
    ],
)
def test_order_and_number(options: RankingOptions, otherwise: int | None, expected: str) -> None:
    assert [record["name"] for record in options.ranked(RECORDS, otherwise=otherwise)] == list(expected)


def test_smallest_first_needs_a_field() -> None:
    with pytest.raises(UsageError, match=r"^--smallest-first goes with --sort FIELD; add it$"):
        RankingOptions(smallest_first=True)
