"""Which memory was changed in place, and when: so that backward can tell that a value it saved is not the one it needs.

PyTorch keeps a counter with every tensor and compares it for every saved value. Here nodes and changes draw their
numbers from one clock, and only memory that was changed is entered: a saved value is stale if its memory was changed
after its node was made. Views share memory, and with it the version.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from array import array as numbers
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array

MOST_REMEMBERED = 64
"""Of how many changes to one piece of memory the times are kept, to tell which version it had before them."""

_NO_TIMES = bytes(8 * MOST_REMEMBERED)

tick = itertools.count(1).__next__
"""The next number of the clock that nodes and changes share."""


class Clock:
    """When the last change was made: nodes younger than that have nothing to check."""

    last_change = 0


class _Changes:
    """How often one piece of memory was changed, when last, and the times of the last changes in no order.

    Their room is there from the first change on, so that a loop of changes takes no more memory as it goes on.
    """

    __slots__ = ("count", "last", "owner", "times")

    def __init__(self, owner: weakref.ref[Array]) -> None:
        self.owner = owner
        self.count = 0
        self.last = 0
        self.times = numbers("Q", _NO_TIMES)


class Staleness(NamedTuple):
    """The version that a value has, and the one that it had when it was saved."""

    version: int
    expected: int


_changes: dict[int, _Changes] = {}  # by the identity of the array that owns the memory

_counting = threading.RLock()
"""An older change of one thread must not take the place of a younger one of another as the last."""


def memory_owner(array: Array) -> Array:
    """The array whose memory `array` is a part of, or itself."""
    owner, base = array, array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            owner = base
        base = getattr(base, "base", None)  # `as_strided` puts an object of its own in between
    return owner


def record_change(array: Array) -> None:
    """Tell that `array`, and all that shares its memory, was changed in place."""
    owner = memory_owner(array)
    key = id(owner)
    with _counting:
        changes = _changes.get(key)
        if changes is None:
            changes = _changes[key] = _Changes(weakref.ref(owner, lambda _: _changes.pop(key, None) and None))
        Clock.last_change = changes.last = time = tick()
        changes.times[changes.count % MOST_REMEMBERED] = time
        changes.count += 1


def version(array: Array) -> int:
    """How often the memory of `array` was changed in place."""
    changes = _changes.get(id(memory_owner(array)))
    return changes.count if changes is not None else 0


def staleness(value: Any, time: int) -> Staleness | None:
    """What tells that a value saved at `time` was changed since then; None where it was not."""
    changes = _changes.get(id(memory_owner(value)))
    if changes is None or changes.last < time:
        return None
    later = sum(changed > time for changed in changes.times)
    return Staleness(changes.count, changes.count - later)
