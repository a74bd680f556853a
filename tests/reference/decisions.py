"""Makes a float32 run of a network take the same side of every ReLU and the same element of every max pool as float64.

Where a value lies within rounding of a kink, float32 may decide otherwise than float64. One such flip moves the
gradients by 1e-3 to 1e-1 and hides the rounding errors that a comparison is after, so those few decisions are taken
over. Works for PyTorch's modules and gradcli's alike, through forward hooks. Only parity tests import this module,
since it imports PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, Any]
RELU, MAX_POOL = "ReLU", "MaxPool2d"


class Decisions:
    """What one network decided in its forward passes, in the order of the calls, for others to follow.

    `imposed` counts the decisions that had to be imposed on followers; `margin` is the largest distance from the
    kink at which one was, relative to the root mean square of the layer's input.
    """

    def __init__(self) -> None:
        self.taken: list[Array] = []
        self.imposed = 0
        self.margin = 0.0

    def record(self, model: torch.nn.Module) -> None:
        """Keep every decision `model` takes from now on."""

        def keep(module: torch.nn.Module, args: tuple[torch.Tensor], result: torch.Tensor) -> None:
            self.taken.append(positive(args[0]) if kind(module) == RELU else largest(args[0], module))

        for module in deciding_modules(model):
            module.register_forward_hook(keep)

    def impose(self, model: Any, framework: Any) -> None:
        """Make `model`, of `framework` (`torch` or `gradcli`), decide as recorded, call by call, from now on.

        Inputs on the wrong side of a kink are moved across it before the layer runs, by about their own rounding
        error; all others stay as they are, to the bit.
        """
        remaining = iter(self.taken)

        def follow(module: Any, args: tuple[Any, ...], result: Any) -> Any:
            wanted = next(remaining)
            shift = relu_shift(args[0], wanted) if kind(module) == RELU else max_pool_shift(args[0], wanted, module)
            moved = np.count_nonzero(shift)
            if not moved:
                return None
            self.imposed += moved
            root_mean_square = float(np.sqrt(np.mean(np.square(array(args[0])))))
            self.margin = max(self.margin, float(np.abs(shift).max()) / root_mean_square)
            return module.forward(args[0] + framework.from_numpy(shift))

        for module in deciding_modules(model):
            module.register_forward_hook(follow)


def deciding_modules(model: Any) -> list[Any]:
    """The ReLUs and max pools of a model; ReLUs are told to leave their input alone, which hooks have to see."""
    modules = [module for module in model.modules() if kind(module) in (RELU, MAX_POOL)]
    for module in modules:
        if kind(module) == RELU:
            module.inplace = False
    return modules


def kind(module: Any) -> str:
    return type(module).__name__


def array(tensor: Any) -> Array:
    """The values of a tensor of either framework."""
    return np.asarray(tensor.detach())


def positive(input: Any) -> Array:
    """Where a ReLU lets its input through."""
    return array(input) > 0


def largest(input: Any, module: Any) -> Array:
    """For each window of a max pool, the position in its plane, counted row by row, of the element it takes."""
    planes = torch.from_numpy(np.ascontiguousarray(array(input)))
    _, positions = torch.nn.functional.max_pool2d(
        planes, module.kernel_size, module.stride, module.padding, return_indices=True
    )
    return np.asarray(positions)


def relu_shift(input: Any, wanted: Array) -> Array:
    """What to add to a ReLU's input so that it lets through what is `wanted`: the sign of flipped elements changes."""
    values = array(input)
    flipped = (values > 0) != wanted
    mirrored = np.where(values == 0, np.finfo(values.dtype).tiny, -2 * values)
    return np.where(flipped, mirrored, np.zeros_like(values))


def max_pool_shift(input: Any, wanted: Array, module: Any) -> Array:
    """What to add to a max pool's input so that each window takes the `wanted` element: it is made just the largest."""
    planes = array(input).reshape(*input.shape[:2], -1)  # (N, C, H, W) -> (N, C, H * W)
    shift = np.zeros_like(planes)
    found = largest(input, module)
    for window in zip(*np.nonzero(found != wanted), strict=True):
        sample, channel = window[:2]
        value = planes[sample, channel, found[window]]
        target = planes[sample, channel, wanted[window]]
        shift[sample, channel, wanted[window]] = np.nextafter(value, np.inf, dtype=value.dtype) - target
    return shift.reshape(input.shape)
