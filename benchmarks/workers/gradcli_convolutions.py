"""Convolution worker for gradcli: every algorithm that supports a convolution.

python -m workers.gradcli_convolutions --threads 2 --rounds 10
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradcli
from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvAlgorithm
from gradcli.kernels.convolution_choice import ALGORITHMS, FEW_PIXELS_DEFERRED
from gradcli.kernels.geometry import ConvGeometry, conv_geometry
from gradcli.kernels.rows import StoredRows
from workers.convolution_case import Convolution, Task, argument_parser, serve_convolutions


def geometry_of(convolution: Convolution) -> ConvGeometry:
    """What gradcli's kernels know of it."""
    window = convolution.kernel, convolution.kernel
    return conv_geometry(
        (convolution.batch, convolution.channels, convolution.side, convolution.side),
        (convolution.out_channels, convolution.channels, *window),
        (convolution.stride, convolution.stride),
        (convolution.padding, convolution.padding),
        (1, 1),
        1,
        np.dtype(np.float32),
    )


def supporting(geometry: ConvGeometry) -> list[ConvAlgorithm]:
    """The algorithms that can compute it."""
    return [algorithm for algorithm in ALGORITHMS if algorithm.supports(geometry)]


def algorithm_name(algorithm: ConvAlgorithm) -> str:
    """Its name, which tells the one whose filter gradients are left as factors from the one that forms them."""
    return f"{algorithm.name}, deferred" if algorithm is FEW_PIXELS_DEFERRED else algorithm.name


def tasks_of(convolution: Convolution) -> Mapping[str, Task]:
    """A task for each algorithm, on the same arrays."""
    geometry = geometry_of(convolution)
    generator = np.random.default_rng(0)
    images, filters, grad = (
        _random_array(generator, shape) for shape in (geometry.image_shape, geometry.filter_shape, geometry.out_shape)
    )

    def task(algorithm: ConvAlgorithm) -> Task:
        def forward() -> Any:
            out = memory.empty(geometry.out_shape, geometry.dtype)
            return algorithm.forward(geometry, images, filters, out, keep=True)

        def gradients(kept: Any) -> Any:
            needs_images = convolution.needs_image_gradient
            return algorithm.gradients(geometry, StoredRows(grad), images, filters, kept, needs_images, True)

        return Task(forward, gradients)

    return {algorithm_name(algorithm): task(algorithm) for algorithm in supporting(geometry)}


def _random_array(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = memory.empty(shape, np.float32)
    generator.standard_normal(dtype=np.float32, out=array)
    return array


def main() -> None:
    """Measure what is asked for."""
    arguments = argument_parser().parse_args()
    gradcli.set_num_threads(arguments.threads)
    serve_convolutions(f"gradcli {gradcli.__version__}", tasks_of, arguments.rounds)


if __name__ == "__main__":
    main()
