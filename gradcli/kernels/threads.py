"""gradcli's own compute threads: the caller and helpers that share the pieces of one kernel.

A helper sleeps on a lock between kernels, so that a busy machine slows us down gently, and NumPy releases Python's
global lock while it works on more than a few hundred elements. Handing over and back takes some ten microseconds:
a kernel cuts its work into pieces of fifty and more.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable

import numpy as np

from gradcli.kernels.blas import single_threaded_blas
from gradcli.numpy_settings import BUFFER_ELEMENTS, short_buffers

Task = Callable[[int], None]


def available_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_thread_count = available_cores()


def get_num_threads() -> int:
    """The number of threads that share the work of a kernel; at first, one for each core."""
    return _thread_count


def set_num_threads(count: int) -> None:
    """Share the work of every kernel among `count` threads, the caller being one of them.

    Raises ValueError for a count below 1.
    """
    global _thread_count
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, but got {count}")
    _thread_count = count


def parallel(task: Task, count: int) -> None:
    """Run task(0) to task(count - 1), shared among the threads; the caller takes part and waits for all.

    Which thread runs which piece is left to chance, so that a thread that was held up takes fewer: results must not
    depend on it, and a sum over pieces is added up afterwards, in the order of the pieces. Meanwhile BLAS is held to
    one thread and, unless there is one small piece only, NumPy to short buffers. Called from within a task, or while
    another thread's kernel has the helpers, it runs all pieces itself. The first exception of a task is raised here;
    pieces not begun by then are left out.
    """
    if count == 1:
        with single_threaded_blas():
            task(0)
        return
    with short_buffers(), single_threaded_blas():
        threads = min(_thread_count, count)
        if threads < 2 or not _shared(task, count, threads):
            for index in range(count):
                task(index)


class _Job:
    """The pieces of one kernel: every thread takes the next one until there are none left."""

    def __init__(self, task: Task, count: int) -> None:
        self.task = task
        self.count = count
        self.numbers, self.finished = itertools.count(), itertools.count(1)  # drawing from these is atomic
        self.all_finished = threading.Lock()
        self.all_finished.acquire()
        self.error: BaseException | None = None

    def work(self) -> None:
        task, count, numbers = self.task, self.count, self.numbers
        while (number := next(numbers)) < count:
            try:
                if self.error is None:
                    task(number)
            except BaseException as error:
                self.error = error
            if next(self.finished) == count:
                self.announce()

    def announce(self) -> None:
        """Say that nobody needs to wait any more; once more does no harm."""
        with contextlib.suppress(RuntimeError):
            self.all_finished.release()


class Preparation:
    """Work in parts that all pieces of a kernel need done before they can end, done by those that come first.

    As a kernel of its own it would have helpers woken up and waited for twice. It pays where pieces have other work to
    do between `help` and `wait`: a helper that goes to sleep in between is woken up twice all the same.
    """

    def __init__(self, task: Task, count: int) -> None:
        self._job = _Job(task, count)

    def help(self) -> None:
        """Do what of it nobody has begun."""
        try:
            self._job.work()
        except BaseException as error:
            # Interrupted outside of a task: the part that was about to begin is lost, and nobody is to wait for it.
            self._job.error = error
            self._job.announce()
            raise

    def wait(self) -> None:
        """Return when all of it is done; raises the exception of a part. Only after `help`, in the same thread."""
        with contextlib.suppress(RuntimeError), self._job.all_finished:  # an error: announced twice, see `help`
            pass
        if self._job.error is not None:
            raise self._job.error


class _Helper:
    """A sleeping thread that joins in the job that it was handed last."""

    def __init__(self) -> None:
        self._job: _Job | None = None
        self._dismissed = False
        self._begin = threading.Lock()
        self._begin.acquire()
        threading.Thread(target=self._loop, name="gradcli-kernels", daemon=True).start()

    def hand_over(self, job: _Job) -> None:
        self._job = job
        self._wake()

    def dismiss(self) -> None:
        """Let the thread end after what it is at."""
        self._dismissed = True
        self._wake()

    def _wake(self) -> None:
        # Released already where it has not yet woken up for the job before: it will find this one.
        with contextlib.suppress(RuntimeError):
            self._begin.release()

    def _loop(self) -> None:
        # As the operations, and `parallel`, have it in the thread that calls.
        np.seterr(all="ignore")
        np.setbufsize(BUFFER_ELEMENTS)
        while not self._dismissed:
            self._begin.acquire()
            job, self._job = self._job, None
            if job is not None:
                job.work()
            del job  # a sleeping helper keeps no arrays alive


_helpers: list[_Helper] = []
_helpers_busy = threading.Lock()


def _shared(task: Task, count: int, threads: int) -> bool:
    """Do the work of `parallel` with the helpers, unless they are busy; whether they were free."""
    global _helpers, _helpers_busy
    job = _Job(task, count)
    try:
        if not _helpers_busy.acquire(blocking=False):
            return False
        busy = _helpers_busy  # in a forked child the name stands for a new lock
        with contextlib.suppress(RuntimeError):  # no more threads to be had, or the interpreter is shutting down
            while len(_helpers) < threads - 1:
                _helpers.append(_Helper())
        for helper in _helpers[: threads - 1]:
            helper.hand_over(job)
        job.work()
        # A helper that slept through all this has nothing to be waited for.
        job.all_finished.acquire()
        busy.release()
    except BaseException:
        # Interrupted outside of a task: whether the lock is ours and which pieces still run is not known. So both are
        # replaced; who else has them goes on without help.
        job.error = KeyboardInterrupt()
        helpers, _helpers, _helpers_busy = _helpers, [], threading.Lock()
        for helper in helpers:
            helper.dismiss()
        raise
    if job.error is not None:
        raise job.error
    return True


def _forget_helpers() -> None:
    """In a forked child the helpers' threads don't exist."""
    global _helpers, _helpers_busy
    _helpers = []
    _helpers_busy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
