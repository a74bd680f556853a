"""Blocks of memory return to the stock when the last view goes, and are handed out again."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from gradcli.kernels import memory
from gradcli.kernels.memory import Arena, scratch, zeros

LARGE = (300, 1000)


def test_memory_is_used_again_once_the_last_view_is_gone():
    arena = Arena()
    array = arena.empty(LARGE, np.float32)
    address = array.ctypes.data
    view = array[5:, ::2].T
    del array
    gc.collect()
    other = arena.empty(LARGE, np.float32)
    assert other.ctypes.data != address
    del view
    gc.collect()
    assert arena.empty((1000, 300), np.int32).ctypes.data == address


def test_what_is_on_loan_and_in_stock_adds_up():
    arena = Arena()
    arrays = [arena.empty(LARGE, np.float64) for _ in range(3)]
    assert arena.bytes_on_loan >= 3 * 300_000 * 8
    assert arena.bytes_in_stock == 0
    held = arena.bytes_on_loan
    del arrays
    assert (arena.bytes_on_loan, arena.bytes_in_stock) == (0, held)
    arena.clear()
    assert arena.bytes_in_stock == 0


def test_stock_for_other_sizes_is_given_back():
    arena = Arena()
    del [arena.empty((size, 1000), np.float32) for size in (100, 200, 300)][:]
    kept = arena.empty((1000, 1000), np.float32)
    assert arena.bytes_in_stock == 0
    assert arena.bytes_on_loan >= kept.nbytes


@pytest.mark.parametrize("elements", [1 << 44, 1 << 62])
def test_where_there_is_not_enough_it_is_a_memory_error_and_what_nobody_uses_is_given_back(elements):
    arena = Arena()
    kept = arena.empty((1000, 1000), np.float32)
    del [arena.empty(LARGE, np.float32)][:]
    assert arena.bytes_in_stock > 0
    with pytest.raises(MemoryError, match="GiB"):
        arena.empty((elements,), np.float32)
    assert (arena.bytes_in_stock, arena.bytes_on_loan) == (0, memory._block_size(kept.nbytes))


@pytest.mark.parametrize("shape", [LARGE, (16384,), (1 << 20,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_large_arrays_start_at_a_cache_line(shape, dtype):
    array = memory.empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    if array.nbytes >= memory.SMALLEST_BLOCK:
        assert array.ctypes.data % memory.ALIGNMENT == 0


def test_a_system_that_makes_no_pages_ahead(monkeypatch):
    monkeypatch.setattr(memory, "_MADV_POPULATE_WRITE", 12345)  # no advice that any system knows
    array = Arena().empty(LARGE, np.float32)
    array.fill(7)
    assert np.array_equal(array, np.full(LARGE, 7, np.float32))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (7,)])
def test_small_and_empty_shapes(shape):
    assert memory.empty(shape, np.float32).shape == shape
    assert not zeros(shape, np.float32).any()


def test_zeros_are_zero_in_used_memory_too():
    array = memory.empty(LARGE, np.float32)
    array.fill(7)
    del array
    assert not zeros(LARGE, np.float32).any()


def test_sizes_between_powers_of_two_waste_at_most_an_eighth():
    for size in (1 << 16, (1 << 16) + 1, 100_000, 1_000_000, (1 << 22) - 1, 12_345_678):
        assert size <= memory._block_size(size) <= size * 1.125 + 4096


def test_scratch_is_reused_by_name_and_grows():
    small = scratch("test_memory", (10, 10), np.float32)
    address = small.ctypes.data
    assert address % memory.ALIGNMENT == 0
    assert scratch("test_memory", (5, 20), np.float32).ctypes.data == address
    assert scratch("test_memory", (1000, 10), np.float32).shape == (1000, 10)
    assert scratch("test_memory other", (10, 10), np.float32).ctypes.data != address


def test_each_thread_has_scratch_of_its_own():
    here = scratch("test_memory", (10, 10), np.float32)
    there = []
    thread = threading.Thread(target=lambda: there.append(scratch("test_memory", (10, 10), np.float32)))
    thread.start()
    thread.join()
    assert not np.may_share_memory(here, there[0])


def test_a_workspace_is_made_once_for_each_thread_and_again_when_scratch_memory_moves():
    made = []

    def make(length):
        made.append(threading.get_ident())
        return scratch("test.workspace", (length,), np.float32)

    first = memory.workspace(make, 1000)
    assert memory.workspace(make, 1000) is first
    assert len(made) == 1
    memory.workspace(make, 500)
    assert len(made) == 2
    thread = threading.Thread(target=memory.workspace, args=(make, 1000))
    thread.start()
    thread.join()
    assert len(set(made)) == 2
    scratch("test.workspace", (100_000,), np.float32)
    assert np.shares_memory(memory.workspace(make, 1000), scratch("test.workspace", (1,), np.float32))


def test_workspaces_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(memory, "MOST_WORKSPACES", 2)
    first = memory.workspace(list, "a")
    memory.workspace(list, "b")
    memory.workspace(list, "c")
    assert memory.workspace(list, "a") is not first
