"""What is shown of a download: a bar on a terminal, lines elsewhere, nothing when it should be quiet."""

from __future__ import annotations

import logging

import pytest
from terminal import Terminal, needs_terminal

from gradcli.hub.progress import download_progress

PROGRAM = (
    "import logging, sys\n"
    "logging.getLogger('gradcli').setLevel(sys.argv[1])\n"
    "from gradcli.hub.progress import download_progress\n"
    "with download_progress('imagenet1k-v1') as report:\n"
    "    report(20_000_000, 46_830_571)\n"
    "    report(46_830_571, 46_830_571)\n"
)


def test_lines_say_how_much_is_there(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "gradcli"),
        download_progress("imagenet1k-v1", seconds_between_lines=0.0) as report,
    ):
        report(1000, 46_830_571)
        report(500, None)
        report(46_830_571, 46_830_571)
    assert caplog.messages == ["imagenet1k-v1: 1.0 kB of 46.8 MB", "imagenet1k-v1: 500 bytes"]


def test_lines_say_rate_and_time_left(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 100.0, 102.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    with caplog.at_level(logging.INFO, "gradcli"), download_progress("file", seconds_between_lines=1.0) as report:
        report(1_000_000, 9_000_000)
        report(5_000_000, 9_000_000)
    assert caplog.messages == ["file: 5.0 MB of 9.0 MB, 2.0 MB/s, 2 s left"]


@pytest.mark.parametrize(("level", "wanted"), [(logging.ERROR, True), (logging.INFO, False)])
def test_nothing_when_quiet_or_not_wanted(caplog: pytest.LogCaptureFixture, level: int, wanted: bool) -> None:
    with (
        caplog.at_level(level, "gradcli"),
        download_progress("file", wanted=wanted, seconds_between_lines=0.0) as report,
    ):
        report(1, 2)
    assert caplog.messages == []


@needs_terminal
@pytest.mark.parametrize("level", ["INFO", "NOTSET"], ids=["command line", "python"])
def test_a_terminal_shows_size_rate_and_time_left(level: str) -> None:
    terminal = Terminal(["-c", PROGRAM], [level], ["stderr"], columns=100)
    assert terminal.exit_code == 0
    assert b"imagenet1k-v1" in terminal.shown
    assert b"46.8/46.8 MB" in terminal.shown
    assert b"0:00:00" in terminal.shown


@needs_terminal
def test_a_quiet_terminal_shows_nothing() -> None:
    terminal = Terminal(["-c", PROGRAM], ["ERROR"], ["stderr"])
    assert terminal.shown == b""
