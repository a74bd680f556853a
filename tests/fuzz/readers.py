"""Damaged files given to the reader of checkpoints: it loads them or refuses them in one line, and nothing else."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from gradcli.checkpoints import describe_checkpoint, load_checkpoint
from gradcli.checkpoints.naming import recognise_naming
from gradcli.errors import WeightsError
from gradcli.models.architecture import recognise_architecture
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import INDEX, Seeds

SECONDS_A_FILE = 5.0
MEMORY = 2**30


class Hang(BaseException):
    """A file took longer than its time; no `except Exception` on the way may catch it."""


@dataclass
class Outcomes:
    """What became of the files: how many loaded, how many were refused with which words, and what should not be."""

    loaded: int = 0
    recognised: int = 0
    """Of those that loaded, how many hold a network that was recognised."""
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "none")
    """Seconds, and the number of the file that took them with the seed it was made from."""

    @property
    def files(self) -> int:
        return self.loaded + self.refused.total() + len(self.failures)


def fuzz(seeds: Seeds, folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Outcomes:
    """Damage the `seeds` `count` times, equally for an equal `seed`, and read every result in `folder`.

    A damaged shard is read through its index, a damaged index beside whole shards. A file that ends in anything but
    arrays or a one-line WeightsError is described in `failures`, and kept under `keep`.
    """
    outcomes = Outcomes()
    whole = {**seeds.files, **seeds.shards}
    names, contents = sorted(whole), [whole[name] for name in sorted(whole)]
    for shard, data in seeds.shards.items():
        (folder / shard).write_bytes(data)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        name = names[int(rng.integers(len(names)))]
        data = mutate(rng, whole[name], contents)
        path = folder / f"{number}{Path(INDEX if name in seeds.shards else name).suffix}"
        damaged = folder / name if name in seeds.shards else path
        path.write_bytes(seeds.files[INDEX] if name in seeds.shards else data)
        if damaged != path:
            # Another file under this name, as arrays may still be a map of the one before.
            damaged.unlink()
            damaged.write_bytes(data)
        start = time.perf_counter()
        failure = _read(path, outcomes)
        outcomes.slowest = max(outcomes.slowest, (time.perf_counter() - start, f"file {number} from {name}"))
        if failure is not None:
            outcomes.failures.append(f"seed {seed}, file {number} from {name}: {failure}")
            if keep is not None:
                (keep / f"{seed}-{number}-{name}").write_bytes(data)
        path.unlink()
        if damaged != path:
            damaged.unlink()
            damaged.write_bytes(whole[name])
        if left := {entry.name for entry in folder.iterdir()} - seeds.shards.keys():
            raise AssertionError(f"file {number} from {name} left {left} behind")
    return outcomes


def _read(path: Path, outcomes: Outcomes) -> str | None:
    """Read one file and use its arrays; what went wrong with gradcli, not with the file, if anything."""
    try:
        with _time_limit(SECONDS_A_FILE):
            checkpoint = load_checkpoint(path)
            describe_checkpoint(checkpoint)
            naming = recognise_naming(checkpoint.tensors)
            shapes = {naming.torchvision_name(name): array.shape for name, array in checkpoint.tensors.items()}
            outcomes.recognised += recognise_architecture(shapes) is not None
    except WeightsError as error:
        message = str(error)
        if path.name not in message.partition(":")[0] and f"a part of {path.name}" not in message:
            return f"the message does not name the file: {message!r}"
        if len(message.splitlines()) != 1 or len(message) > 1000:
            return f"the message is no line: {message[:200]!r}, {len(message)} characters"
        outcomes.refused[" ".join(message.partition(": ")[2].split()[:4])] += 1
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


def peak_memory() -> int:
    """The most bytes of memory that this process has used so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
