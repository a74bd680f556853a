"""Cuts one axis into nearly equal slices and shares them among the threads."""

from __future__ import annotations

from collections.abc import Callable

from gradcli.kernels.threads import parallel


def slices(length: int, count: int) -> list[slice]:
    """`count` slices, at least one, that together make up 0..length; some are empty if it is short."""
    count = max(1, count)
    return [slice(number * length // count, (number + 1) * length // count) for number in range(count)]


def for_each_slice(task: Callable[[slice], object], length: int, count: int) -> None:
    """Run `task` for `count` slices of 0..length, shared among the threads."""
    some = slices(length, count)

    def run(number: int) -> None:
        task(some[number])

    parallel(run, len(some))
