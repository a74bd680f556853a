"""Naive pooling, window by window, for tests of the poolings."""

from __future__ import annotations

import itertools

import numpy as np

from gradcli.ops.dims import pair
from tests.kernels.references import windows_of


def naive(reduce, x, windows):
    """`reduce` over each window of each plane; `windows` are the lists of rows and of columns they cover."""
    out = np.empty((*x.shape[:-2], len(windows[0]), len(windows[1])))
    for (i, rows), (j, columns) in itertools.product(*map(enumerate, windows)):
        out[..., i, j] = reduce(x[..., rows, :][..., columns].reshape(*x.shape[:-2], len(rows) * len(columns)))
    return out


def sliding_windows(x, out_size, kernel, stride=None, padding=0, dilation=1):
    stride = kernel if stride is None else stride
    options = zip(pair(kernel, ""), pair(stride, ""), pair(padding, ""), pair(dilation, ""), strict=True)
    return [windows_of(size, out, *option) for size, out, option in zip(x.shape[-2:], out_size, options, strict=True)]


def window_options(options):
    return {name: value for name, value in options.items() if name in ("stride", "padding", "dilation")}
