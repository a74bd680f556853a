"""Standard input: its bytes, and a line where there can't be any."""

from __future__ import annotations

import io
import sys

import pytest

from gradcli.data.standard_input import open_standard_input
from gradcli.errors import DataError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bytes_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00\xff")))
    assert open_standard_input("a file").read() == b"\x00\xff"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Terminal(), "standard input: a terminal; expected a file piped or redirected into it"),
        (None, "standard input is closed; expected a file"),
    ],
)
def test_what_nothing_comes_from_is_refused(
    stream: io.StringIO | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stream)
    with pytest.raises(DataError) as refused:
        open_standard_input("a file")
    assert str(refused.value) == message
