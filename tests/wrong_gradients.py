"""Functions whose gradients are their own, mostly wrong ones, made with gradcli or with PyTorch."""

from __future__ import annotations

import numpy as np

from gradcli.autograd import Tensor


def real(*shape, seed=0):
    """A leaf of standard normal numbers in double precision."""
    return Tensor(np.asarray(np.random.RandomState(seed).standard_normal(shape)), requires_grad=True)


def leaf(torch, *values):
    return torch.tensor(values or (0.5, -1.25, 2.0), dtype=torch.float64, requires_grad=True)


def scaled(torch, gradient):
    """2x, whose gradient is `gradient(torch, grad)`."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            return gradient(torch, grad)

    return Scaled.apply


def wrong_product(torch):
    """a * b, whose gradient with respect to the last element of b is twice what it should be."""

    class WrongProduct(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, grad):
            a, b = ctx.saved_tensors
            return grad * b, grad * a * torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)

    return WrongProduct.apply


def wrong_slope(torch):
    """3x² times the incoming gradient, whose own gradients are wrong with respect to x."""

    class WrongSlope(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, grad):
            ctx.save_for_backward(x, grad)
            return 3 * x * x * grad

        @staticmethod
        def backward(ctx, twice):
            x, grad = ctx.saved_tensors
            return 5 * x * grad * twice, 3 * x * x * twice

    return WrongSlope.apply


def cube(torch):
    """x³, whose gradient is right, and the gradient's gradient wrong."""

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return wrong_slope(torch)(x, grad)

    return Cube.apply


def pair(torch, without_second):
    """2x and 3x; where the gradient of 3x is undefined and that of 2x zero, `without_second` gives that of x."""

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return 2 * x, 3 * x

        @staticmethod
        def backward(ctx, first, second):
            if first is None:
                return None if second is None else 3 * second
            if second is None:
                return 2 * first if bool((first != 0).any()) else without_second(first)
            return 2 * first + 3 * second

    return Pair.apply


def unsteady(torch, drift):
    """2x, whose gradient grows by `drift` with every call of backward."""
    calls = iter(range(10**6))
    return scaled(torch, lambda torch, grad: grad * (2 + drift * next(calls)))


def slope(extra):
    """A gradient for `scaled`, too large by `extra`."""
    return lambda torch, grad: 2 * grad + extra * grad
