"""Progress off a terminal: plain lines, or nothing."""

from __future__ import annotations

import logging

import pytest

from gradcli.cli.progress import progress


def test_lines_come_as_often_as_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gradcli"), progress("epoch 1", 3, seconds_between_lines=0) as advance:
        advance()
        advance(status="loss 0.5")
        advance()
    assert caplog.messages == ["epoch 1: 1 of 3", "epoch 1: 2 of 3, loss 0.5", "epoch 1: 3 of 3"]


def test_quick_work_has_no_line_at_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gradcli"), progress("epoch 1", 10, seconds_between_lines=1e9) as advance:
        for _ in range(5):
            advance(2)
    assert caplog.messages == []


def test_quiet_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "gradcli"), progress("epoch 1", 1, seconds_between_lines=0) as advance:
        advance()
    assert caplog.messages == []
