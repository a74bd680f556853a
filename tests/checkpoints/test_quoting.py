"""Names out of files fit into a message of one line."""

from __future__ import annotations

import pytest

from gradcli.checkpoints.quoting import quoted, quoted_if_odd, some_names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("fc.weight", "fc.weight"),
        ("größe.weight", "größe.weight"),
        ("", "''"),
        ("a\nb", "'a\\nb'"),
        ("\x1b[2J", "'\\x1b[2J'"),
        ("x" * 101, "'" + "x" * 100 + "…'"),
    ],
)
def test_only_odd_names_are_quoted(name, shown):
    assert quoted_if_odd(name) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("fc.weight", "'fc.weight'"), ("\0\r", "'\\x00\\r'"), ("é" * 1000, "'" + "é" * 100 + "…'"), (7, "'7'")],
)
def test_every_name_fits_on_a_line(name, shown):
    assert quoted(name) == shown


@pytest.mark.parametrize(
    ("names", "shown"), [([], ""), (["a"], "a"), (["a", "b\n"], "a, 'b\\n'"), (["a", 7, "c", "d"], "a, 7 and 2 more")]
)
def test_of_many_names_some_are_shown(names, shown):
    assert some_names(names, 2) == shown
    assert some_names(dict.fromkeys(names), 2) == shown
    assert some_names(names[:1], 2, quoted) == ", ".join(repr(name) for name in names[:1])
