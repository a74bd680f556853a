"""Names out of files in messages of one line, whatever the file has put into them."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 100


def quoted(name: object) -> str:
    """The name in quotes: what can't be printed is escaped, and of a long one the end left out."""
    return repr(_shortened(str(name)))


def quoted_if_odd(name: str) -> str:
    """The name as it is, in quotes only if it can't be printed, is empty or ends early."""
    return name if name.isprintable() and 0 < len(name) <= _LONGEST else quoted(name)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
