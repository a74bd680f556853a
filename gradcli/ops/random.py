"""Random tensors, drawn from one default generator that gives PyTorch's CPU numbers for PyTorch's seeds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype, float32, int64, uint8
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import random as kernel
from gradcli.ops.arguments import require_kind
from gradcli.ops.creation import check_placement, shape_of, zeros_like
from gradcli.ops.dims import integers

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]


class Generator(kernel.Generator):
    """A seeded source of random numbers that draws what `torch.Generator()` draws.

    Made of a seed, or of PyTorch's argument, the device "cpu".
    """

    def __init__(self, seed: int | str = kernel.DEFAULT_SEED) -> None:
        if isinstance(seed, str):
            check_placement("Generator", {"device": seed})
            seed = kernel.DEFAULT_SEED
        super().__init__(seed)

    def get_state(self) -> Tensor:  # type: ignore[override]
        """The state as a tensor of 5056 bytes, those of PyTorch's generator."""
        return Tensor(super().get_state())

    def set_state(self, new_state: Tensor) -> Generator:  # type: ignore[override]
        """Go on from a state that `get_state` gave, here or in PyTorch; TypeError or RuntimeError for anything else."""
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            kind = new_state.dtype if isinstance(new_state, Tensor) else type(new_state).__name__
            raise TypeError(f"expected a generator state as a uint8 tensor, but got {kind}")
        try:
            super().set_state(new_state.array)
        except ValueError as error:
            raise RuntimeError(str(error)) from None
        return self


default_generator = Generator()
_forking = threading.RLock()


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew: the same seed gives the same numbers, those of PyTorch on a CPU."""
    return default_generator.manual_seed(seed)


@contextmanager
def fork_default_generator(seed: int) -> Iterator[None]:
    """Draw from `seed` inside a `with` block; afterwards the default generator goes on as if nothing had been drawn.

    Blocks of several threads wait for each other.
    """
    with _forking:
        state = default_generator.get_state()
        default_generator.manual_seed(seed)
        try:
            yield
        finally:
            default_generator.set_state(state)


def seed() -> int:
    """Start the default generator anew from a seed that the operating system picks, and return it."""
    return default_generator.seed()


def get_rng_state() -> Tensor:
    """The state of the default generator: a uint8 tensor with the bytes of PyTorch's."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on from a state that `get_rng_state` gave, here or in PyTorch."""
    default_generator.set_state(new_state)


def initial_seed() -> int:
    """The seed that the default generator was last started with."""
    return default_generator.initial_seed()


def _require_drawn(function: str, dtype: np.dtype[Any]) -> None:
    """NotImplementedError for a type that uniform and normal numbers aren't drawn in."""
    if dtype not in (np.float32, np.float64):
        raise NotImplementedError(f'"{function}" draws numbers as float32 or float64, not {dtype.name}')


def rand(
    *size: Any,
    generator: kernel.Generator | None = None,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Uniform in [0, 1), in the shape given as `2, 3` or `(2, 3)`."""
    shape, wanted = shape_of("rand", size, options), as_numpy_dtype(dtype or float32)
    check_placement("rand", options)
    _require_drawn("rand", wanted)
    return Tensor((generator or default_generator).uniform(shape, dtype=wanted), requires_grad)


def randn(
    *size: Any,
    generator: kernel.Generator | None = None,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Normal with mean 0 and variance 1, in the shape given as `2, 3` or `(2, 3)`."""
    shape, wanted = shape_of("randn", size, options), as_numpy_dtype(dtype or float32)
    check_placement("randn", options)
    _require_drawn("randn", wanted)
    return Tensor((generator or default_generator).normal(shape, dtype=wanted), requires_grad)


def randint(
    *bounds: Any,
    generator: kernel.Generator | None = None,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Integers from low up to, not including, high: `randint(high, size)` (low is 0) or `randint(low, high, size)`.

    They are int64 where `dtype` doesn't say else.
    """
    names = ("low", "high", "size") if len(bounds) + sum(name in options for name in _RANGE) == 3 else ("high", "size")
    if len(bounds) > len(names):
        raise TypeError(f"randint() takes low, high and size, but got {len(bounds)} arguments")
    free = [name for name in names if name not in options]
    given = {"low": 0, **dict(zip(free, bounds, strict=False))}
    given.update({name: options.pop(name) for name in _RANGE if name in options})
    missing = [name for name in ("high", "size") if name not in given]
    if missing:
        raise TypeError(f"randint() missing 1 required positional argument: {missing[0]!r}")
    check_placement("randint", options)
    shape = integers("randint", "size", given["size"])
    values = _integers(given["low"], given["high"], shape, as_numpy_dtype(dtype or int64), generator)
    return Tensor(values, requires_grad)


_RANGE = ("low", "high", "size")


def _integers(
    low: Any, high: Any, shape: tuple[int, ...], dtype: np.dtype[Any], generator: kernel.Generator | None = None
) -> Array:
    """Random integers, as elements of a type; RuntimeError for an empty range, or one that the type doesn't hold."""
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, float):
            raise TypeError(f"randint(): argument {name!r} must be int, not float")
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype.kind != "f":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for name, value in (("from", low), ("to - 1", high - 1)):
            if not least <= value <= most:
                raise RuntimeError(f"{name} is out of bounds for {dtype.name}")
    return (generator or default_generator).randint(low, high, shape).astype(dtype)


def randperm(
    n: int,
    *,
    generator: kernel.Generator | None = None,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **placement: Any,
) -> Tensor:
    """The integers 0 to n - 1 in random order, as int64 where `dtype` doesn't say else."""
    check_placement("randperm", placement)
    (count,) = integers("randperm", "n", (n,))
    if count < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {count}: [{count}]")
    values = (generator or default_generator).permutation(count).astype(as_numpy_dtype(dtype or int64), copy=False)
    return Tensor(values, requires_grad)


def rand_like(input: Tensor, *, dtype: DType | None = None, **options: Any) -> Tensor:
    """Uniform in [0, 1), in the shape of input, and its type where `dtype` doesn't say else."""
    return rand(tuple(input.shape), dtype=dtype or input.dtype, **options)


def randn_like(input: Tensor, *, dtype: DType | None = None, **options: Any) -> Tensor:
    """Normal with mean 0 and variance 1, in the shape of input, and its type where `dtype` doesn't say else."""
    return randn(tuple(input.shape), dtype=dtype or input.dtype, **options)


def randint_like(input: Tensor, *bounds: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """Integers from low (0) up to, not including, high: `randint_like(input, high)`, in the shape and type of input."""
    return randint(*bounds, tuple(input.shape), dtype=dtype or input.dtype, **options)


# ---------------------------------------------------------------------------------------------------- in place


@op("UniformBackward0", in_place=True)
def uniform(input: Array, a: float = 0.0, b: float = 1.0, *, generator: kernel.Generator | None = None) -> Array:
    """Uniform numbers in [a, b) in the shape and type of input; nothing of input goes into them."""
    require_kind("uniform", input)
    if a > b:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}")
    _require_drawn("uniform", input.dtype)
    return (generator or default_generator).uniform(input.shape, a, b, input.dtype)


@op("NormalBackward0", in_place=True)
def normal(input: Array, mean: float = 0.0, std: float = 1.0, *, generator: kernel.Generator | None = None) -> Array:
    """Normal numbers in the shape and type of input; nothing of input goes into them."""
    require_kind("normal", input)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    _require_drawn("normal", input.dtype)
    return (generator or default_generator).normal(input.shape, mean, std, input.dtype)


uniform.gradient(input=lambda grad: zeros_like(grad))
normal.gradient(input=lambda grad: zeros_like(grad))
