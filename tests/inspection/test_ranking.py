"""The order of records by a field, with numbers that are missing or NaN."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradcli.errors import UsageError
from gradcli.inspection.ranking import ranked

RECORDS: list[dict[str, Any]] = [
    {"name": "b", "shape": (2, 3), "norm": 2.0},
    {"name": "c", "shape": (3,), "norm": math.nan},
    {"name": "a", "shape": (3,), "norm": None},
    {"name": "d", "shape": (3,), "norm": math.inf},
    {"name": "e", "shape": (3,), "norm": 2},
]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "bcade"),
        ({"top": 2}, "bc"),
        ({"sort": "norm"}, "cdbea"),
        ({"sort": "norm", "smallest_first": True}, "cbeda"),
        ({"sort": "norm", "top": 3}, "cdb"),
        ({"sort": "name"}, "abcde"),
        ({"sort": "name", "smallest_first": True}, "abcde"),
    ],
)
def test_the_order(options: dict[str, Any], names: str) -> None:
    assert "".join(record["name"] for record in ranked(RECORDS, **options)) == names


@pytest.mark.parametrize("field", ["size", "shape"])
def test_a_field_that_has_no_order_is_refused_with_those_that_have(field: str) -> None:
    with pytest.raises(
        UsageError, match=rf"--sort '{field}': there is no such field to sort by; take one of name, norm"
    ):
        ranked(RECORDS, field)


def test_no_records_have_any_order() -> None:
    assert ranked([], "norm") == []
