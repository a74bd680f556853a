"""Memory for arrays: aligned, and used again instead of being given back to the system.

The first touch of fresh memory costs several times what an elementwise kernel does with it. So the memory of large
arrays comes from blocks that return to a stock when the last array on them goes away: the next training step finds
the blocks of the one before.
"""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, Unpack

import numpy as np
from numpy.typing import DTypeLike

from gradcli.kernels.layout import Array

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
SMALLEST_BLOCK = 1 << 16  # bytes; smaller arrays are left to NumPy, whose own allocator keeps them
# Small pages were another process's a moment ago. Two megabytes in a row are more likely memory that the host of a
# virtual machine has taken back, and takes some milliseconds to find again: a process that needs few is faster without.
SMALLEST_HUGE_BLOCK = 32 << 20  # bytes
MOST_WORKSPACES = 512  # of each thread
FINENESS = 8  # block sizes between two powers of two, so that arrays of nearly the same size share blocks

_MADV_POPULATE_WRITE = 23  # of Linux; Python has no name for it


class Arena:
    """A stock of memory blocks. `empty` lends one; it comes back by itself when no array uses it any more."""

    def __init__(self) -> None:
        self._stock: dict[int, list[mmap.mmap]] = {}
        self._loans: dict[int, tuple[weakref.ref[Array], mmap.mmap]] = {}  # by the identity of the reference
        # References whose array is gone. Python enters them at any point of any thread, in one go: a function in Python
        # would be another place where Ctrl-C may strike, and there it would be lost, and a block with it.
        self._gone: deque[weakref.ref[Array]] = deque()
        self._bytes_in_stock = 0
        self._bytes_on_loan = 0

    @property
    def bytes_in_stock(self) -> int:
        """The size of all blocks that nobody uses."""
        self._take_back()
        return self._bytes_in_stock

    @property
    def bytes_on_loan(self) -> int:
        """The size of all blocks with arrays on them."""
        self._take_back()
        return self._bytes_on_loan

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised C-contiguous array that starts at a multiple of 64 bytes, if it is large.

        Raises MemoryError, as NumPy does, where the system has no more to give.
        """
        kind = np.dtype(dtype)
        count = math.prod(shape)
        if count * kind.itemsize < SMALLEST_BLOCK:
            return np.empty(shape, kind)
        needed = count * kind.itemsize
        size = _block_size(needed)
        self._take_back()
        block = self._take(size, needed)
        owner = np.frombuffer(block, kind, count)
        # Views of `owner` hold it and not the block, so it lives exactly as long as one of them does.
        loan = weakref.ref(owner, self._gone.append)
        self._loans[id(loan)] = loan, block
        self._bytes_on_loan += size
        return owner.reshape(shape)

    def _take(self, size: int, needed: int) -> mmap.mmap:
        blocks = self._stock.get(size)
        try:
            if blocks:
                block = blocks.pop()
                self._bytes_in_stock -= size
                return block
        except IndexError:  # another thread was faster
            pass
        if self._bytes_in_stock > self._bytes_on_loan:
            self.clear()  # what is in stock was for another batch size
        try:
            return _map_memory(size, needed)
        except (OSError, OverflowError):
            self.clear()
        try:
            return _map_memory(size, needed)
        except (OSError, OverflowError):
            raise MemoryError(f"unable to allocate {size / 2**30:.2f} GiB") from None

    def _take_back(self) -> None:
        while self._gone:
            try:
                loan = self._gone.popleft()
            except IndexError:  # another thread was faster
                return
            _, block = self._loans.pop(id(loan))
            size = len(block)
            self._bytes_on_loan -= size
            self._bytes_in_stock += size
            self._stock.setdefault(size, []).append(block)

    def clear(self) -> None:
        """Give the blocks that nobody uses back to the system."""
        self._take_back()
        self._stock = {}
        self._bytes_in_stock = 0


@functools.lru_cache(maxsize=4096)
def _block_size(size: int) -> int:
    """`size` rounded up to one of eight sizes between two powers of two, and to whole pages."""
    step = max(mmap.PAGESIZE, (1 << (size - 1).bit_length()) // (2 * FINENESS))
    return -(-size // step) * step


def _map_memory(size: int, needed: int) -> mmap.mmap:
    """A new block of `size` bytes, of which the first `needed` will be touched."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        if size >= SMALLEST_HUGE_BLOCK:
            with contextlib.suppress(OSError):  # a system without them
                block.madvise(mmap.MADV_HUGEPAGE)  # the first touch costs a third of what small pages do
        with contextlib.suppress(OSError):  # a system before Linux 5.14
            block.madvise(_MADV_POPULATE_WRITE, 0, needed)  # at one go: half of what touching page by page costs
    return block


_arena = Arena()
empty = _arena.empty


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An array like `empty` gives, filled with zeros."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[tuple[str, Any], Array] = {}
        self.workspaces: dict[tuple[Any, ...], Any] = {}


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """This thread's own working array of that name: contiguous, aligned, with anything in it.

    Valid until the thread asks for the same name and dtype again; it must not outlive the kernel.
    """
    count = math.prod(shape)
    array = _scratch.arrays.get((name, dtype))
    if array is None or array.size < count:
        array = _scratch.arrays[(name, dtype)] = _aligned(count, np.dtype(dtype))
        _scratch.workspaces.clear()  # so that all that is made from now on is on the same memory
    return array[:count].reshape(shape)


def workspace(make: Callable[[Unpack[Ts]], R], *args: *Ts) -> R:
    """What `make` returned when this thread first asked for it with these arguments, which must be hashable.

    For views of scratch memory: made at each call, they would take as long as some kernels do.
    """
    key = (make, *args)
    made = _scratch.workspaces.get(key)
    if made is None:
        made = make(*args)
        if len(_scratch.workspaces) >= MOST_WORKSPACES:
            _scratch.workspaces.clear()
        _scratch.workspaces[key] = made
    result: R = made
    return result


def _aligned(count: int, dtype: np.dtype[Any]) -> Array:
    raw = np.empty(count * dtype.itemsize + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + count * dtype.itemsize].view(dtype)
