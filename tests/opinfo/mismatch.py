"""The one exception of the comparison, and how other libraries' messages are shortened."""

from __future__ import annotations


class Mismatch(Exception):  # noqa: N818 - a finding, not a fault of this module
    """What differs, in a few words."""


def first_line(error: Exception) -> str:
    """The first line of a message, shortened."""
    lines = str(error).splitlines()
    return lines[0][:160] if lines else ""
