"""The table of algorithms: only what supports a convolution is chosen for it, and `exact` never trades digits."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.convolution_choice import ALGORITHMS, WINOGRAD, choose_algorithm, choose_forward_algorithm
from gradcli.kernels.geometry import conv_geometry


def geometry(batch, side, channels, out_channels, kernel, stride, padding, dilation=1, groups=1, dtype=np.float32):
    return conv_geometry(
        (batch, channels, side, side),
        (out_channels, channels // groups, kernel, kernel),
        (stride, stride),
        (padding, padding),
        (dilation, dilation),
        groups,
        np.dtype(dtype),
    )


@pytest.mark.parametrize(
    ("arguments", "exact", "fast"),
    [
        ((32, 64, 3, 64, 7, 2, 3), "direct", "direct"),
        ((32, 16, 64, 64, 3, 1, 1), "direct", "winograd"),
        ((1, 16, 64, 64, 3, 1, 1), "direct", "winograd"),
        ((1, 56, 64, 128, 3, 2, 1), "strided", "strided"),
        ((32, 16, 64, 128, 3, 2, 1), "direct", "direct"),
        ((32, 16, 64, 128, 1, 2, 0), "pointwise", "pointwise"),
        ((32, 4, 256, 256, 3, 1, 1), "small-map", "winograd"),
        ((8, 4, 256, 256, 3, 1, 1), "window-products", "window-products"),
        ((1, 4, 256, 256, 3, 1, 1), "few-pixels", "few-pixels"),
        ((8, 2, 512, 512, 3, 1, 1), "window-products", "window-products"),
        ((32, 2, 512, 512, 3, 1, 1), "small-map", "small-map"),
        ((1, 2, 512, 512, 3, 1, 1), "few-pixels", "few-pixels"),
        ((8, 5, 64, 64, 3, 1, 1), "few-pixels", "few-pixels"),
        ((9, 5, 64, 64, 3, 1, 1), "direct", "direct"),  # tiles of 4 x 4 would be mostly empty
    ],
)
def test_the_sizes_of_resnet18(arguments, exact, fast):
    assert choose_algorithm(geometry(*arguments), "exact").name == exact
    assert choose_algorithm(geometry(*arguments), "fast").name == fast


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((256, 2, 256, 256, 3, 1, 1), "toeplitz"),
        ((8, 2, 512, 512, 3, 1, 1), "window-products"),
        ((8, 4, 256, 512, 3, 2, 1), "window-products"),
        ((256, 2, 256, 512, 3, 2, 1), "window-products"),
        ((256, 4, 128, 256, 3, 2, 1), "direct"),
        ((1, 4, 256, 512, 3, 2, 1), "few-pixels"),
        ((8, 4, 8, 8, 3, 2, 1), "few-pixels"),
    ],
)
def test_fast_kernels_may_be_others_where_no_gradient_is_wanted(arguments, name):
    case = geometry(*arguments)
    algorithm = choose_forward_algorithm(case, "fast")
    assert algorithm.name == name
    assert algorithm.supports(case)
    assert choose_forward_algorithm(case, "exact") is choose_algorithm(case, "exact")


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("batch", [0, 1, 5, 64])
def test_what_is_chosen_supports_the_convolution(kernels, dtype, batch):
    for side in (1, 2, 3, 8, 17):
        for window in ((1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (3, 1, 0), (5, 2, 2), (7, 2, 3)):
            for dilation, groups in ((1, 1), (2, 1), (1, 2), (1, 8)):
                if side + 2 * window[2] <= dilation * (window[0] - 1):
                    continue
                case = geometry(batch, side, 8, 16, *window, dilation, groups, dtype)
                algorithm = choose_algorithm(case, kernels)
                assert algorithm in ALGORITHMS
                assert algorithm.supports(case)
                assert kernels == "fast" or algorithm is not WINOGRAD
                assert choose_forward_algorithm(case, kernels).supports(case)
