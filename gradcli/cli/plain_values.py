"""Values as text that a program can read back: strict JSON, and one field of a table row."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:
    r"""`value` out of dicts, lists, strings, numbers and None: NumPy, dataclasses and paths go.

    A NumPy float32 becomes the float of the same value; shapes and other tuples become lists. Bytes of a file's name
    that are no UTF-8 become `\udce9` and the like.
    """
    if value is None or isinstance(value, bool):
        return value
    # NumPy arrays and scalars, without importing NumPy; first, because its float64 is a float too.
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, PurePath):
        return _utf8(str(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"can't write a {type(value).__name__} as data")


def _utf8(text: str) -> str:
    """The text, in which file names may have brought what can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def strict_json(value: Any) -> str:
    """One line of strict JSON in ASCII, floats in full precision.

    JSON has no NaN and no infinity; they become the strings "nan", "inf" and "-inf".
    """
    return json.dumps(_without_nonfinite(plain(value)), allow_nan=False)


def _without_nonfinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nonfinite(item) for item in value]
    return value


# Sent to a terminal, they move its cursor, set its title, or answer on its user's behalf.
_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES_IN_LINES = {code: escape for code, escape in _ESCAPES.items() if chr(code) != "\n"}


def without_control_characters(text: str, *, keep_lines: bool = False) -> str:
    r"""The text with control characters, as a file may hold them in a name, as escapes: `\t`, `\n`, `\x1b`."""
    return text.translate(_ESCAPES_IN_LINES if keep_lines else _ESCAPES)


def field_text(value: Any) -> str:
    """One field of a CSV or tab-separated row: full precision, nothing shortened.

    None is empty, a truth value `true` or `false`, a shape `64x3x7x7`, other lists and dicts JSON.
    """
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return "x".join(map(str, value))
    if isinstance(value, list | dict):
        return strict_json(value)
    return repr(value) if isinstance(value, float) else str(value)
