"""Images that a kernel reads some rows at a time: stored ones, or such that are computed while they are read."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gradcli.kernels.layout import Array, Shape4


class RowSource(Protocol):
    """Where rows of images (N, H, W, C) come from."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def write(self, target: Array, images: slice, rows: slice) -> None:
        """Fill `target` (n, r, W, C), of any strides, with the given rows of the given images.

        Called by several threads at once.
        """
        ...


class ImageRows(RowSource, Protocol):
    """Images (N, H, W, C) that can be had piece by piece, or as a whole."""

    def images(self) -> Array:
        """All of them as one C-contiguous array (N, H, W, C), not to be changed."""
        ...


class StoredRows:
    """The rows of a C-contiguous array (N, H, W, C)."""

    def __init__(self, images: Array) -> None:
        self._images = images

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._images.dtype

    @property
    def shape(self) -> Shape4:
        return self._images.shape

    def write(self, target: Array, images: slice, rows: slice) -> None:
        np.copyto(target, self._images[images, rows])

    def images(self) -> Array:
        return self._images
