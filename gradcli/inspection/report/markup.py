"""Elements of HTML and SVG as text, with everything escaped that is not an element itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: Any) -> Markup:
    """An element; content that is no `Markup` is escaped. Attributes have `-` for `_`; None is left out.

    Numbers are coordinates, to a hundredth. An underscore at the end of a name is for Python's keywords (`class_`).
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{written}>{joined(content)}</{tag}>")


def joined(parts: Iterable[str]) -> Markup:
    """The parts one after the other, escaped where they are no `Markup`."""
    return Markup("".join(part if isinstance(part, Markup) else escape(_printable(part)) for part in parts))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """A table of all digits: numbers in full precision, nothing for None.

    In columns of numbers alone the points are below one another: a class `pad3` keeps a number three digits from the
    right edge.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(headings)
    classes = [_classes_of_column(column) for column in columns]
    head = element(
        "tr",
        *(
            element("th", heading, scope="col", class_="number" if any(of_column) else None)
            for heading, of_column in zip(headings, classes, strict=True)
        ),
    )
    body = [
        element(
            "tr",
            element("th", _cell(first), scope="row", class_=first_class),
            *(element("td", _cell(value), class_=name) for value, name in zip(rest, rest_classes, strict=True)),
        )
        for (first, *rest), (first_class, *rest_classes) in zip(
            zip(*columns, strict=True), zip(*classes, strict=True), strict=True
        )
    ]
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def _classes_of_column(values: Sequence[Any]) -> list[str | None]:
    """For each cell, None in a column that holds text."""
    if not all(value is None or _is_number(value) for value in values):
        return [None] * len(values)
    lengths = [_length_from_point(_cell(value)) for value in values]
    longest = max(lengths, default=0)
    return [f"number pad{longest - length}" if length < longest else "number" for length in lengths]


def _length_from_point(number: str) -> int:
    """How many characters there are from the point, or where it would be."""
    if not number or not math.isfinite(float(number)):
        return 0
    return len(number) - len(re.split("[.e]", number, maxsplit=1)[0])


def numbers(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """The table of a chart's numbers, which a reader may open."""
    return element("details", element("summary", "Numbers"), table(headings, rows))


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return value
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _attribute(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else _printable(str(value))


def _printable(text: str) -> str:
    r"""The text with characters that HTML or UTF-8 has no place for as escapes, such as `\x1b` and `\udce9`."""
    return "".join(
        character
        if character in "\n\t" or character.isprintable() or character == "\N{NO-BREAK SPACE}"
        else character.encode("unicode_escape").decode()
        for character in text
    )
