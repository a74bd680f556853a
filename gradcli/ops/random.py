"""Random tensors, drawn from one default generator that gives PyTorch's CPU numbers for PyTorch's seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gradcli.autograd.dtypes import DType, as_numpy_dtype, float32, int64
from gradcli.autograd.tensor import Tensor
from gradcli.kernels.random import Generator
from gradcli.ops.dims import sizes

__all__ = [
    "default_generator",
    "initial_seed",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
]

default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew: the same seed gives the same numbers, those of PyTorch on a CPU."""
    return default_generator.manual_seed(seed)


@contextmanager
def fork_default_generator(seed: int) -> Iterator[None]:
    """Draw from `seed` inside a `with` block; afterwards the default generator goes on as if nothing had been drawn."""
    state = default_generator.get_state()
    default_generator.manual_seed(seed)
    try:
        yield
    finally:
        default_generator.set_state(state)


def initial_seed() -> int:
    """The seed that the default generator was last started with."""
    return default_generator.initial_seed()


def rand(*size: Any, generator: Generator | None = None, dtype: DType = float32, requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1), in the shape given as `2, 3` or `(2, 3)`."""
    values = (generator or default_generator).uniform(sizes(size), dtype=as_numpy_dtype(dtype))
    return Tensor(values, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: DType = float32, requires_grad: bool = False
) -> Tensor:
    """Normal with mean 0 and variance 1, in the shape given as `2, 3` or `(2, 3)`."""
    values = (generator or default_generator).normal(sizes(size), dtype=as_numpy_dtype(dtype))
    return Tensor(values, requires_grad)


def randint(low: int, high: int, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
    """Integers from `low` up to, not including, `high`, as int64."""
    return Tensor((generator or default_generator).randint(low, high, size).astype(as_numpy_dtype(int64)))


def randperm(n: int, *, generator: Generator | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order, as int64."""
    return Tensor((generator or default_generator).permutation(n))


def rand_like(input: Tensor) -> Tensor:
    """Uniform in [0, 1), in the shape and type of input."""
    return rand(tuple(input.shape), dtype=input.dtype)


def randn_like(input: Tensor) -> Tensor:
    """Normal with mean 0 and variance 1, in the shape and type of input."""
    return randn(tuple(input.shape), dtype=input.dtype)
