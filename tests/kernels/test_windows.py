"""Output sizes as PyTorch computes them, and which elements a tap reads."""

from __future__ import annotations

import itertools

import pytest

from gradcli.kernels.windows import conv_output_size, pool_output_size, tap_overlap


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((64, 7, 2, 3, 1), 32),
        ((56, 3, 1, 1, 1), 56),
        ((7, 3, 2, 0, 2), 2),
        ((1, 1, 5, 0, 1), 1),
        ((3, 5, 1, 1, 1), 1),
    ],
)
def test_conv_output_size(arguments, expected):
    assert conv_output_size(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((112, 3, 2, 1, 1, False), 56),
        ((7, 2, 2, 0, 1, False), 3),
        ((7, 2, 2, 0, 1, True), 4),
        ((5, 2, 2, 1, 1, True), 3),  # a fourth window would start in the right padding
        ((6, 3, 3, 1, 1, True), 3),
        ((4, 2, 3, 1, 1, True), 2),
        ((10, 3, 2, 2, 2, True), 6),
    ],
)
def test_pool_output_size(arguments, expected):
    assert pool_output_size(*arguments) == expected


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (conv_output_size, (2, 5, 1, 1, 1), "doesn't fit an input of 2"),
        (conv_output_size, (5, 3, 0, 1, 1), "stride is 0"),
        (conv_output_size, (5, 3, 1, -1, 1), "padding is -1"),
        (conv_output_size, (5, 3, 1, 1, 0), "dilation is 0"),
        (pool_output_size, (5, 3, 1, 2), "padding is 2"),
        (pool_output_size, (5, 0, 1, 0), "kernel size is 0"),
        (pool_output_size, (2, 4, 2, 0), "doesn't fit an input of 2"),
    ],
)
def test_impossible_windows_are_refused_in_one_line(function, arguments, message):
    with pytest.raises(RuntimeError, match=message) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)


def test_tap_overlap_lists_exactly_the_reads_inside_of_the_input():
    for offset, size, outputs, stride in itertools.product(range(-5, 9), range(1, 5), range(1, 5), range(1, 4)):
        inside = [(o, o * stride + offset) for o in range(outputs) if 0 <= o * stride + offset < size]
        output_slice, element_slice = tap_overlap(offset, size, outputs, stride)
        assert list(zip(range(outputs)[output_slice], range(size)[element_slice], strict=True)) == inside
