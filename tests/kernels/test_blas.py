"""BLAS is held to one thread while kernels run, and the host program finds its setting again."""

from __future__ import annotations

import pytest

from gradcli.kernels import blas
from gradcli.kernels.blas import single_threaded_blas


@pytest.fixture
def thread_functions():
    if blas._thread_functions is None:
        pytest.skip("NumPy's BLAS is none whose threads we can set")
    get_threads, set_threads = blas._thread_functions
    before = get_threads()
    yield get_threads, set_threads
    set_threads(before)


def test_the_setting_returns_after_nested_blocks_and_errors(thread_functions):
    get_threads, set_threads = thread_functions
    set_threads(2)
    with single_threaded_blas():
        assert get_threads() == 1
        with single_threaded_blas():
            assert get_threads() == 1
        assert get_threads() == 1
    assert get_threads() == 2
    with pytest.raises(ZeroDivisionError), single_threaded_blas():
        raise ZeroDivisionError
    assert get_threads() == 2


def test_without_a_known_blas_nothing_happens(monkeypatch):
    monkeypatch.setattr(blas, "_thread_functions", None)
    with single_threaded_blas():
        pass
    assert blas._holders == 0
