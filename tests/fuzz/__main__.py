"""The long run: `python -m tests.fuzz --count 200000` prints the counts; exits with 1 if anything failed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.readers import fuzz, limit_memory, peak_memory
from tests.fuzz.seeds import seed_files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000, help="files to damage and read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that failed")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds = seed_files(Path(folder))
    limit_memory()
    before = peak_memory()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(seeds, Path(folder), count=arguments.count, seed=arguments.seed, keep=arguments.keep)
    seconds = time.monotonic() - start
    slowest, which = outcomes.slowest
    print(
        f"{outcomes.files} files from {len(seeds.files) + len(seeds.shards)} in {seconds:.0f} s: "
        f"{outcomes.loaded} loaded ({outcomes.recognised} of them a network that was recognised), "
        f"{outcomes.refused.total()} refused, {len(outcomes.failures)} failures"
    )
    print(
        f"slowest {1e3 * slowest:.0f} ms ({which}); at most {(peak_memory() - before) / 2**20:.0f} MiB above the start"
    )
    for words, times in outcomes.refused.most_common(25):
        print(f"{times:8d}  {words} …")
    for failure in outcomes.failures[:50]:
        print(failure, file=sys.stderr)
    return 1 if outcomes.failures else 0


if __name__ == "__main__":
    sys.exit(main())
