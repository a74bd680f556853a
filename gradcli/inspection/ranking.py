"""Records in the order of one of their fields, and the first few of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from gradcli.errors import UsageError

R = TypeVar("R", bound=Mapping[str, Any])


def ranked(
    records: Sequence[R], sort: str | None = None, *, smallest_first: bool = False, top: int | None = None
) -> list[R]:
    """The `top` records in the order of the field `sort`: numbers from the largest down, or up; text alphabetically.

    NaN comes first in either direction, as what is most in need of a look, and None last; equals keep their order.
    Without `sort` the order stays, without `top` all are kept. UsageError naming --sort for a field that the records
    don't have or that can't be ordered.
    """
    if sort is not None and records:
        fields = [
            field
            for field in records[0]
            if all(isinstance(record[field], str | int | float | None) for record in records)
        ]
        check_sort(sort, fields)
        descending = not smallest_first and not any(isinstance(record[sort], str) for record in records)
        records = sorted(records, key=lambda record: _key(record[sort], descending))
    return list(records[:top])


def check_sort(sort: str, fields: Sequence[str]) -> None:
    """UsageError naming --sort if it is none of the fields that records can be ordered by."""
    if sort not in fields:
        raise UsageError(f"--sort {sort!r}: there is no such field to sort by; take one of {', '.join(fields)}")


def _key(value: Any, descending: bool) -> tuple[int, Any]:
    if value is None:
        return 2, 0
    if isinstance(value, float) and math.isnan(value):
        return 0, 0
    return 1, -value if descending else value
