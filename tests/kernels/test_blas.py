"""BLAS is held to one thread while kernels run, and the host program finds its setting again."""

from __future__ import annotations

import os
import subprocess
import sys

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_another_thread_held_blas_is_free_of_it():
    script = """
import os, threading, warnings
from gradcli.kernels import blas
warnings.simplefilter("ignore")
held, finished = threading.Event(), threading.Event()
def hold():
    with blas.single_threaded_blas(), blas._lock:
        held.set()
        finished.wait()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    with blas.single_threaded_blas():
        pass
    os._exit(blas._holders)
finished.set()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
