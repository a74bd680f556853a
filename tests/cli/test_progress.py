"""Progress: on a terminal a line that fits, elsewhere plain lines, or nothing."""

from __future__ import annotations

import logging
import re

import pytest
from terminal import Terminal, needs_terminal

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


AT_A_TERMINAL = """
import logging, time
from gradcli.cli.progress import progress

logging.basicConfig(level=logging.INFO)
with progress("training", 35940, unit="images") as advance:
    for loss in (0.1234, 3.48e19):
        for _ in range(2):
            advance(100, f"epoch 1/20, loss {loss:.4g}, accuracy 25.0 %")
            time.sleep(0.6)
"""


@needs_terminal
@pytest.mark.parametrize(
    ("columns", "beside"),
    [
        (120, r"training \S{20} +\d+/35940 +[\d,]+ images/s \S+"),
        (80, r"training \S{20} \S+"),
        (60, r"training \S+"),
        (52, r"training"),
        (40, r"\w+…"),
    ],
)
def test_a_terminal_too_narrow_has_fewer_columns_but_no_second_line(columns: int, beside: str) -> None:
    shown = Terminal(["-c", AT_A_TERMINAL], [], ["stderr"], columns=columns).shown.decode()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= columns
    end = r"epoch 1/20, loss 3\.48e\+19, accuracy 25\.0 %" if columns > 40 else r"epoch 1/20, loss 3\.48e\+19, acc\w*…"
    told = [line.strip() for line in lines if "3.48e+19" in line]
    assert told
    assert [line for line in told if not re.fullmatch(f"{beside} {end}", line)] == []
