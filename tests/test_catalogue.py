"""The list of operations: that the printed one is the one that there is, and that every name says what it computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gradcli
from gradcli import catalogue
from gradcli.nn import functional

PRINTED = Path(gradcli.__file__).parent / "ops" / "README.md"
ENTRIES = list(catalogue.entries())


def test_the_printed_list_is_up_to_date():
    assert PRINTED.read_text(encoding="utf-8") == catalogue.as_markdown(), (
        "print it again: python -m gradcli.catalogue > gradcli/ops/README.md"
    )


def test_the_command_prints_it():
    run = subprocess.run(
        [sys.executable, "-m", "gradcli.catalogue"], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert run.stdout == catalogue.as_markdown()


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{entry.family}.{entry.name}" for entry in ENTRIES])
def test_entry(entry):
    assert entry.calls()
    assert entry.summary.endswith((".", ":"))


def test_every_operation_that_is_offered_is_listed():
    listed = {entry.name for entry in ENTRIES if entry.functional}
    assert listed == set(functional.__all__)


@pytest.mark.parametrize("name", ["conv2d", "einsum", "gather", "layer_norm", "unflatten"])
def test_a_name_that_must_be_there(name):
    assert name in {entry.name for entry in ENTRIES}
