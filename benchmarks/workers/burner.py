"""A process that keeps CPUs busy when told to: the noisy neighbour of contention.py.

python -m workers.burner THREADS

starts idle, burns after the line `on`, rests after the line `off`, says `done` to each, and ends with its input.
"""

from __future__ import annotations

import hashlib
import sys
import threading

ITERATIONS = 2000
"""About a millisecond of hashing: the delay after which a burner notices `off`."""


def burn(burning: threading.Event) -> None:
    """Hash for ever, while the event is set. Key derivation releases the interpreter's lock, so threads add up."""
    while burning.wait():
        hashlib.pbkdf2_hmac("sha256", b"", b"", ITERATIONS)


def main(threads: int) -> None:
    """Start the threads, then obey."""
    burning = threading.Event()
    for _ in range(threads):
        threading.Thread(target=burn, args=(burning,), daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "on":
            burning.set()
        else:
            burning.clear()
        print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
