"""What every convolution algorithm offers: the same three results, for the geometries that it supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.slices import for_each_slice

PASSED_ELEMENTS = 1 << 16  # passed to an epilogue by one thread at a time

Epilogue = Callable[[int, Array], None]
"""Called with the number of a first output pixel and the rows of channels (P', O) from there on, as soon as they are
computed and while they are in the cache; it may change them. Every pixel comes exactly once, from any thread; where
the cuts are depends on the geometry only."""


def pass_rows(epilogue: Epilogue, rows: Array) -> None:
    """Pass all rows of channels (P, O) of an output to `epilogue`, shared among the threads."""
    for_each_slice(lambda some: epilogue(some.start, rows[some]), len(rows), rows.size // PASSED_ELEMENTS)


class ConvGradients(NamedTuple):
    """Gradients of a convolution, None where not asked for: of images (N, H, W, C) and of filters (O, kh, kw, C/g).

    That of the filters may be left as its factors.
    """

    images: Array | None
    filters: Array | LowRankGradient | None


class ForwardAlgorithm(Protocol):
    """A way to compute a convolution, shared among the threads.

    All arrays are C-contiguous, of one dtype. Sums are added in an order that depends on the geometry only, so that
    results don't change with the number of threads, nor from run to run.
    """

    name: str

    def supports(self, geometry: ConvGeometry) -> bool:
        """Whether this algorithm can compute such a convolution (not whether it should)."""
        ...

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> Any:
        """Fill `out` (N, OH, OW, O) with the convolution of `images` (N, H, W, C) and `filters` (O, kh, kw, C/g).

        With `keep`, returns what it would like to have for the gradients, or None.
        """
        ...


class ConvAlgorithm(ForwardAlgorithm, Protocol):
    """One that computes the gradients as well, which may use what it kept."""

    def gradients(
        self,
        geometry: ConvGeometry,
        grad: ImageRows,
        images: Array,
        filters: Array,
        kept: Any,
        needs_images: bool,
        needs_filters: bool,
    ) -> ConvGradients:
        """The gradients for `grad`, the gradient of the output, (N, OH, OW, O); `kept` is what `forward` returned."""
        ...
