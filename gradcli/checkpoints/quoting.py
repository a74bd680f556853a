"""Names out of files in messages of one line, whatever the file has put into them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Final

_LONGEST: Final = 100


def quoted(name: object) -> str:
    """The name in quotes: what can't be printed is escaped, and of a long one the end left out."""
    return repr(_shortened(str(name)))


def quoted_if_odd(name: str) -> str:
    """The name as it is, in quotes only if it can't be printed, is empty or ends early."""
    return name if name.isprintable() and 0 < len(name) <= _LONGEST else quoted(name)


def some_names(names: Collection[object], most: int = 5, show: Callable[[str], str] = quoted_if_odd) -> str:
    """The first of the names in a row, and how many more there are."""
    shown = ", ".join(show(str(name)) for name in itertools.islice(names, most))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
