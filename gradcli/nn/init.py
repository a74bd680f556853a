"""Initial values of parameters, in place, drawn as PyTorch draws them: same seed, same numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar

from gradcli.autograd import Tensor
from gradcli.autograd.versions import record_change
from gradcli.deferred import settle_deferred
from gradcli.kernels.random import Generator
from gradcli.ops import random

T = TypeVar("T", bound=Tensor)


class _Drawing(Enum):
    FILL = "fill"
    DISCARD = "discard"
    NONE = "none"


class _Mode(threading.local):
    drawing = _Drawing.FILL


_mode = _Mode()


@contextmanager
def values_discarded() -> Iterator[None]:
    """Random values are not made, though the generator moves on as if they were.

    For a model that gives its layers other values right after making them: the numbers that follow are still
    PyTorch's, at a fraction of the time.
    """
    with _drawing_set_to(_Drawing.DISCARD):
        yield


@contextmanager
def no_values() -> Iterator[None]:
    """Parameters are left as the memory comes and the generator stays put: for a model about to be loaded."""
    with _drawing_set_to(_Drawing.NONE):
        yield


@contextmanager
def _drawing_set_to(drawing: _Drawing) -> Iterator[None]:
    # Inside `no_values()` nothing is drawn, whatever the model asks for on its own.
    former = _mode.drawing
    _mode.drawing = _Drawing.NONE if former is _Drawing.NONE else drawing
    try:
        yield
    finally:
        _mode.drawing = former


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Uniform in [a, b)."""
    generator = generator or random.default_generator
    array = tensor.array
    if _mode.drawing is _Drawing.FILL:
        settle_deferred()  # what was put off may read the old values
        array[...] = generator.uniform(array.shape, a, b, array.dtype)
        record_change(array)
    elif _mode.drawing is _Drawing.DISCARD:
        generator.skip_uniform(array.size, array.dtype)
    return tensor


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> T:
    """Normal with this mean and standard deviation."""
    generator = generator or random.default_generator
    array = tensor.array
    if _mode.drawing is _Drawing.FILL:
        settle_deferred()
        array[...] = generator.normal(array.shape, mean, std, array.dtype)
        record_change(array)
    elif _mode.drawing is _Drawing.DISCARD:
        generator.skip_normal(array.size, array.dtype)
    return tensor


def constant_(tensor: T, val: float) -> T:
    """One value everywhere."""
    settle_deferred()
    tensor.array[...] = val
    record_change(tensor.array)
    return tensor


def zeros_(tensor: T) -> T:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Ones."""
    return constant_(tensor, 1.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity: PyTorch's values, `param` the slope of leaky_relu."""
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0)}
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in gains:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return gains[nonlinearity]


def kaiming_uniform_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Uniform of variance gain² / fan (He et al., 2015)."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Normal of variance gain² / fan (He et al., 2015)."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Uniform of variance 2 gain² / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Normal of variance 2 gain² / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan = sum(fans(tensor))
    return gain * math.sqrt(2.0 / fan) if fan else 0.0  # without any element to draw


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...)."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    area = math.prod(tensor.shape[2:])
    return tensor.shape[1] * area, tensor.shape[0] * area


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = fans(tensor)
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0  # without any element to draw
