"""Damaged files given to the reader of checkpoints: it loads them or refuses them in one line, and nothing else."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from fuzz.mutations import mutate
from gradcli.checkpoints import describe_checkpoint, load_checkpoint
from gradcli.errors import WeightsError

SECONDS_A_FILE = 5.0
MEMORY = 2**30


class Hang(BaseException):
    """A file took longer than its time; no `except Exception` on the way may catch it."""


@dataclass
class Outcomes:
    """What became of the files: how many loaded, how many were refused with which words, and what should not be."""

    loaded: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.loaded + self.refused.total() + len(self.failures)


def fuzz(seeds: dict[str, bytes], folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Outcomes:
    """Damage the `seeds` `count` times, equally for an equal `seed`, and read every result in `folder`.

    A file that ends in anything but arrays or a one-line WeightsError is described in `failures`, and kept under
    `keep`.
    """
    outcomes = Outcomes()
    names = sorted(seeds)
    contents = [seeds[name] for name in names]
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        name = names[int(rng.integers(len(names)))]
        data = mutate(rng, seeds[name], contents)
        path = folder / f"{number}{Path(name).suffix}"
        path.write_bytes(data)
        failure = _read(path, outcomes)
        if failure is not None:
            outcomes.failures.append(f"seed {seed}, file {number} from {name}: {failure}")
            if keep is not None:
                (keep / f"{seed}-{path.name}").write_bytes(data)
        path.unlink()
        if left := [entry.name for entry in folder.iterdir()]:
            raise AssertionError(f"file {number} from {name} left {left} behind")
    return outcomes


def _read(path: Path, outcomes: Outcomes) -> str | None:
    """Read one file and use its arrays; what went wrong with gradcli, not with the file, if anything."""
    try:
        with _time_limit(SECONDS_A_FILE):
            describe_checkpoint(load_checkpoint(path))
    except WeightsError as error:
        message = str(error)
        if path.name not in message.partition(":")[0] and f"a part of {path.name}" not in message:
            return f"the message does not name the file: {message!r}"
        if len(message.splitlines()) != 1 or len(message) > 1000:
            return f"the message is no line: {message[:200]!r}, {len(message)} characters"
        outcomes.refused[" ".join(message.removeprefix(f"{path}: ").split()[:4])] += 1
        return None
    except Hang:
        return f"took more than {SECONDS_A_FILE} seconds"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    outcomes.loaded += 1
    return None


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def limit_memory(more: int = MEMORY) -> None:
    """Let this process have only so many bytes beyond those it has: an allocation past them is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
