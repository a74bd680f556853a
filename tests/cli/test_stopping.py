"""Requests to stop: the first is noted, a second Ctrl-C interrupts, handlers are put back."""

from __future__ import annotations

import os
import signal

import pytest

from gradcli.cli.stopping import stop_requests


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(signal_number: int) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stop_requests() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signal_number)
        assert should_stop()
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_second_ctrl_c_interrupts() -> None:
    with stop_requests() as should_stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
