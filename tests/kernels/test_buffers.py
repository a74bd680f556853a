"""Short buffers: set within the block only, on this thread only, and gone after an error too."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from gradcli.kernels.buffers import SHORT_BUFFER, short_buffers


def test_buffers_are_short_within_the_block_alone():
    before = np.getbufsize()
    elsewhere = []
    with short_buffers():
        assert np.getbufsize() == SHORT_BUFFER
        thread = threading.Thread(target=lambda: elsewhere.append(np.getbufsize()))
        thread.start()
        thread.join()
    assert np.getbufsize() == before
    assert elsewhere == [before]


def test_an_error_leaves_the_buffers_as_they_were():
    before = np.getbufsize()
    with pytest.raises(ZeroDivisionError), short_buffers():
        1 / 0  # noqa: B018
    assert np.getbufsize() == before
