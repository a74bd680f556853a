"""The compute threads: every piece once, in any thread; errors, nesting and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from gradcli.kernels import threads
from gradcli.kernels.threads import Preparation, get_num_threads, parallel, set_num_threads
from gradcli.numpy_settings import BUFFER_ELEMENTS


@pytest.fixture(params=[1, 2, 5])
def thread_count(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
def test_every_piece_runs_once(thread_count, count):
    runs = np.zeros(count, np.int64)

    def task(number):
        runs[number] += 1

    for _ in range(5):
        parallel(task, count)
    assert (runs == 5).all()


def test_the_helpers_take_part():
    before = get_num_threads()
    set_num_threads(3)
    try:
        barrier = threading.Barrier(3, timeout=20)
        parallel(lambda number: barrier.wait() and None, 3)  # passes only with three threads at once
    finally:
        set_num_threads(before)


def test_an_error_of_any_piece_is_raised_and_leaves_the_threads_usable(thread_count):
    def fail(number):
        if number == 3:
            raise ValueError(f"piece {number}")

    for _ in range(3):
        with pytest.raises(ValueError, match="piece 3"):
            parallel(fail, 8)
    done = []
    parallel(done.append, 4)
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_pieces_go_on_when_all_of_their_preparation_is_done_once(thread_count, parts):
    for _ in range(20):
        done, seen = [], []
        preparation = Preparation(done.append, parts)

        def piece(number, preparation=preparation, done=done, seen=seen):
            preparation.help()
            preparation.wait()
            seen.append(sorted(done))

        parallel(piece, 5)
        assert seen == [list(range(parts))] * 5


def test_an_error_in_a_preparation_is_raised_and_keeps_nobody_waiting(thread_count):
    def fail(number):
        raise ValueError(f"part {number}")

    preparation = Preparation(fail, 3)

    def piece(number):
        preparation.help()
        preparation.wait()

    with pytest.raises(ValueError, match="part"):
        parallel(piece, 6)
    done = []
    parallel(done.append, 4)
    assert sorted(done) == [0, 1, 2, 3]


class InterruptedNumbers:
    """The numbers of parts; interrupted once the first was drawn, before that part has begun."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.first = True

    def __next__(self):
        number, first, self.first = next(self.numbers), self.first, False
        if first:
            raise KeyboardInterrupt
        return number


def test_an_interrupt_of_a_preparation_keeps_nobody_waiting(thread_count):
    for _ in range(20):
        preparation = Preparation(lambda number: None, 3)
        preparation._job.numbers = InterruptedNumbers(preparation._job.numbers)

        def piece(number, preparation=preparation):
            preparation.help()
            preparation.wait()

        with pytest.raises(KeyboardInterrupt):
            parallel(piece, 6)
    done = []
    parallel(done.append, 4)
    assert sorted(done) == [0, 1, 2, 3]


class InterruptedLock:
    """Interrupted once it was taken, before anybody knows that."""

    def acquire(self, blocking):
        raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["taking the helpers", "waiting for them"])
def test_an_interrupt_at_any_moment_leaves_the_threads_usable(moment, monkeypatch):
    test_the_helpers_take_part()
    before = [thread for thread in threading.enumerate() if thread.name == "gradcli-kernels"]
    work, caller = threads._Job.work, threading.current_thread()

    def interrupted_work(job):
        work(job)
        if threading.current_thread() is caller:
            raise KeyboardInterrupt

    if moment == "taking the helpers":
        monkeypatch.setattr(threads, "_helpers_busy", InterruptedLock())
    else:
        monkeypatch.setattr(threads._Job, "work", interrupted_work)
    count = get_num_threads()
    set_num_threads(3)
    try:
        with pytest.raises(KeyboardInterrupt):
            parallel(lambda number: None, 8)
    finally:
        set_num_threads(count)
    monkeypatch.setattr(threads._Job, "work", work)
    test_the_helpers_take_part()
    for thread in before:  # their places are taken
        thread.join(20)
        assert not thread.is_alive()


def test_tasks_may_share_out_work_themselves(thread_count):
    runs = np.zeros((4, 6), np.int64)

    def outer(row):
        def inner(column):
            runs[row, column] += 1

        parallel(inner, 6)

    parallel(outer, 4)
    assert (runs == 1).all()


def test_callers_in_several_threads_do_not_disturb_each_other(thread_count):
    totals = np.zeros((3, 50), np.int64)

    def caller(row):
        for column in range(50):
            squares = np.zeros(8, np.int64)

            def task(number, squares=squares):
                squares[number] = number * number

            parallel(task, 8)
            totals[row, column] = squares.sum()

    callers = [threading.Thread(target=caller, args=(row,)) for row in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert (totals == 140).all()


def test_floating_point_warnings_are_off_in_helpers_too(thread_count):
    with np.errstate(all="ignore"):
        parallel(lambda number: np.log(np.zeros(1000)), 8)


@pytest.mark.parametrize("count", [0, -1])
def test_a_thread_count_below_one_is_refused(count):
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(count)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_computes_with_threads_of_its_own():
    script = """
import os, warnings
from gradcli.kernels.threads import parallel, set_num_threads
warnings.simplefilter("ignore")
set_num_threads(3)
parallel(lambda number: None, 8)
child = os.fork()
if child == 0:
    done = []
    parallel(done.append, 8)
    os._exit(0 if sorted(done) == list(range(8)) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_available_cores_are_those_of_this_process():
    assert 1 <= threads.available_cores() <= (os.cpu_count() or 1)


def test_where_no_thread_can_be_started_the_caller_does_all_the_work(thread_count, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_helpers", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    parallel(done.append, 8)
    assert done == list(range(8))


def test_every_thread_works_with_short_buffers_and_the_callers_own_return(thread_count):
    before = np.getbufsize()
    sizes = []
    parallel(lambda number: sizes.append(np.getbufsize()), 16)
    assert set(sizes) == {BUFFER_ELEMENTS}
    assert np.getbufsize() == before
