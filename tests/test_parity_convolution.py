"""Convolution as users call it, with exact and fast kernels and in any memory layout, against PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels.references import random_array

import gradcli
from gradcli.kernels.convolution_choice import ALGORITHMS, choose_algorithm
from gradcli.kernels.geometry import conv_geometry
from gradcli.kernels.policy import using_kernels

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.parity

# Input shape, weight shape, stride, padding, dilation, groups: such that exact and fast kernels choose every algorithm.
CASES = [
    ((2, 3, 9, 8), (4, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((2, 8, 20, 16), (6, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 4, 7, 13), (5, 4, 3, 3), (1, 1), (0, 2), (1, 1), 1),
    ((1, 8, 2, 2), (40, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((9, 5, 3, 3), (7, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 6, 24, 20), (8, 6, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((5, 64, 2, 2), (70, 64, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((4, 6, 7, 8), (8, 6, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 6, 5, 5), (4, 6, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 5, 1, 1), (7, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 4, 9, 10), (6, 2, 3, 2), (2, 3), (2, 0), (2, 3), 2),
    ((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
]
LAYOUTS = ["planar", "channels-last", "strided", "broadcast-batch"]
# Relative to the largest value; Winograd convolution is for float32 alone.
TOLERANCES = {("exact", "float32"): 3e-6, ("fast", "float32"): 1e-5, ("exact", "float64"): 1e-13}


def test_these_cases_choose_every_algorithm() -> None:
    chosen = {
        choose_algorithm(conv_geometry(*case, np.dtype(dtype)), kernels)
        for case in CASES
        for kernels, dtype in TOLERANCES
    }
    assert chosen == set(ALGORITHMS)


def convolved(framework: Any, arrays: list[Array], *geometry: Any) -> tuple[list[Any], Any]:
    """Input, weight and bias as leaves of `framework`, and their convolution."""
    leaves = [framework.from_numpy(array).requires_grad_() for array in arrays]
    return leaves, framework.nn.functional.conv2d(*leaves, *geometry)


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    actual, expected = actual.detach().numpy(), expected.detach().numpy()
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(("kernels", "dtype"), TOLERANCES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients(case: tuple[Any, ...], layout: str, kernels: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    input_shape, weight_shape, *geometry = case
    images = random_array(input_shape, 1, dtype, layout)
    # No optimizer could move a weight that is broadcast.
    weight = random_array(weight_shape, 2, dtype, "planar" if layout == "broadcast-batch" else layout)
    arrays = [images, weight, random_array(weight_shape[:1], 3, dtype)]
    exact_leaves, exact = convolved(torch, [np.array(array, np.float64, order="C") for array in arrays], *geometry)
    grad = random_array(tuple(exact.shape), 4, dtype, layout)
    exact.backward(torch.from_numpy(np.array(grad, np.float64, order="C")))
    with using_kernels(kernels):
        leaves, out = convolved(gradcli, arrays, *geometry)
        out.backward(gradcli.from_numpy(grad))
        tolerance = TOLERANCES[kernels, dtype]
        assert out.dtype == leaves[0].dtype
        assert_close(out, exact, tolerance)
        for leaf, exact_leaf in zip(leaves, exact_leaves, strict=True):
            assert_close(leaf.grad, exact_leaf.grad, tolerance)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_of_gradients(case: tuple[Any, ...], kernels: Any) -> None:
    torch = pytest.importorskip("torch")
    input_shape, weight_shape, *geometry = case
    arrays = [random_array(shape, seed, np.float32) for seed, shape in enumerate((input_shape, weight_shape), 1)]

    def second(framework: Any, arrays: list[Array]) -> list[Any]:
        leaves, out = convolved(framework, [*arrays, np.zeros(len(arrays[1]), arrays[1].dtype)], *geometry)
        (out * out * out).sum().backward(create_graph=True)
        firsts = [leaf.grad for leaf in leaves[:2]]
        for leaf in leaves:
            leaf.grad = None
        ((firsts[0] ** 2).sum() + (firsts[1] ** 2).sum() * 0.1).backward()
        return [leaf.grad for leaf in leaves]

    expected = second(torch, [array.astype(np.float64) for array in arrays])
    with using_kernels(kernels):
        for actual, exact in zip(second(gradcli, arrays), expected, strict=True):
            assert_close(actual, exact, 4 * TOLERANCES[kernels, "float32"])
