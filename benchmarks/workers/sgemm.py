"""The machine's bound: how many GFLOP/s a library's product of two large float32 matrices reaches.

python -m workers.sgemm numpy|pytorch --threads 2

prints one number, the best of two seconds. NumPy takes its threads from the environment.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

SIZES = (1024, 2048)
SECONDS_PER_SIZE = 1.0


def numpy_product(size: int) -> Callable[[], Any]:
    """A function that multiplies two square matrices with NumPy's BLAS."""
    import numpy as np

    left, right = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    product = np.empty_like(left)
    return lambda: np.matmul(left, right, out=product)


def pytorch_product(size: int) -> Callable[[], Any]:
    """A function that multiplies two square matrices with PyTorch's BLAS."""
    import torch

    left, right = torch.rand(2, size, size)
    product = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=product)


def best_gflops(product: Callable[[], Any], size: int) -> float:
    """The fastest of the products that fit into SECONDS_PER_SIZE, after one that warms up."""
    product()
    best = float("inf")
    end = time.perf_counter() + SECONDS_PER_SIZE
    while (start := time.perf_counter()) < end:
        product()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def main() -> None:
    """Measure one library and print its best."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=("numpy", "pytorch"))
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.library == "pytorch":
        import torch

        torch.set_num_threads(arguments.threads)
    make_product = numpy_product if arguments.library == "numpy" else pytorch_product
    print(max(best_gflops(make_product(size), size) for size in SIZES))


if __name__ == "__main__":
    main()
