"""What the tests of several readers ask in the same way: what is refused, and what becomes of damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints import Checkpoint
from gradcli.errors import WeightsError

Read = Callable[[Path], Checkpoint]

# Offset, shape and strides of tensors that are no windows into a storage of six elements.
WINDOWS_BEYOND_SIX = [
    (1, (6,), (1,)),
    (0, (2, 4), (3, 1)),
    (-1, (2,), (1,)),
    (5, (3,), (-1,)),
    (0, (-1,), (1,)),
    (2**62, (1,), (1,)),
    (0, (2**31, 2**31, 2**31), (0, 0, 0)),
    (0, (1,) * 65, (1,) * 65),
]


def refusal_of(read: Read, path: Path) -> str:
    """The message of the WeightsError that reading raises, which is one line that names the file first."""
    with pytest.raises(WeightsError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def cuts(whole: bytes) -> list[int]:
    """Lengths to which a file is cut: most near its start and end, where headers and directories are, some between."""
    size = len(whole)
    return sorted({*range(min(size, 64)), *range(64, size, 5), *range(max(0, size - 64), size)})


def with_flipped_bits(whole: bytes, count: int) -> Iterator[bytes]:
    """Copies of a file with one bit flipped each, of a byte that is not zero: many of the others only align."""
    generator = np.random.default_rng(0)
    filled = np.flatnonzero(np.frombuffer(whole, np.uint8))
    for _ in range(count):
        damaged = bytearray(whole)
        damaged[generator.choice(filled)] ^= 1 << int(generator.integers(8))
        yield bytes(damaged)


def read_all(read: Read, path: Path, contents: Iterable[bytes]) -> tuple[list[Checkpoint], int]:
    """What loads of these contents, each written to `path` in turn, and how many were refused in one line."""
    loaded, refused = [], 0
    for content in contents:
        path.unlink(missing_ok=True)  # what is loaded is a map of the file before
        path.write_bytes(content)
        try:
            loaded.append(read(path))
        except WeightsError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert "\n" not in message
            refused += 1
    return loaded, refused
