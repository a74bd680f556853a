"""Custom Functions of either library, for tests that run the same program with gradcli and with PyTorch."""

from __future__ import annotations


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0), requires_grad=True)


def custom(torch, forward, backward, **members):
    """A Function with these as its static methods."""
    members |= {"forward": forward, "backward": backward}
    return type(
        "Custom", (torch.autograd.Function,), {name: staticmethod(function) for name, function in members.items()}
    )


def cube(torch):
    """x**3, whose gradient is computed from the saved input."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2

    return custom(torch, forward, backward)
