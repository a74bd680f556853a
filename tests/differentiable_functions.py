"""Functions to take derivatives of, with gradcli or PyTorch, and the float64 vectors that they are given."""

from __future__ import annotations


def vector(torch, *values, **options):
    return torch.tensor(values or (1.0, 2.0, 3.0), dtype=torch.float64, **options)


def cubes(x):
    return x**3


def products(x, w):
    """Two outputs of two inputs, one of them of another shape."""
    return x * w.sum(), (w * w).view(1, -1)


def coupling(x, w):
    return (x * x).sum() * w.sum() + (w**3).sum()
