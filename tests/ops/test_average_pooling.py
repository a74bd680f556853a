"""Average pooling: every option against naive windows, gradients of both orders, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, real, refusal_checks_of
from pooling_windows import naive, sliding_windows, window_options

import gradcli
from tests.kernels.references import windows_of

#     name, draw, output size, options
AVERAGE = [
    ("plain", real(2, 3, 6, 4), (3, 2), {"kernel_size": 2}),
    ("overlapping", real(1, 2, 5, 6), (3, 2), {"kernel_size": (3, 4), "stride": (1, 2)}),
    ("one image", real(2, 5, 5), (2, 2), {"kernel_size": 2}),
    ("empty batch", real(0, 2, 4, 4), (2, 2), {"kernel_size": 2}),
    ("channels last", channels_last(real(2, 3, 5, 5)), (2, 2), {"kernel_size": 3, "stride": 2}),
    (
        "uncounted padding",
        real(2, 2, 5, 5),
        (3, 3),
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    ),
]
#     name, draw, output size
ADAPTIVE = [
    ("1x1", real(2, 3, 4, 5), 1),
    ("uneven", real(2, 3, 7, 5), (3, 2)),
    ("kept", real(1, 2, 4, 5), (None, 2)),
    ("larger", real(1, 2, 2, 3), (5, 4)),
    ("same", real(1, 2, 3, 3), 3),
    ("one image", real(2, 5, 4), 2),
    ("one image 1x1", real(2, 5, 4), (1, 1)),
    ("empty batch", real(0, 2, 4, 4), 2),
    ("channels last", channels_last(real(2, 3, 6, 4)), 2),
]


def regions(size, count):
    return [list(range(i * size // count, -(-(i + 1) * size // count))) for i in range(count)]


def naive_adaptive(x, output_size):
    wanted = (output_size, output_size) if isinstance(output_size, int) else output_size
    counts = [size if want is None else want for want, size in zip(wanted, x.shape[-2:], strict=True)]
    return naive(lambda values: values.mean(-1), x, [regions(s, c) for s, c in zip(x.shape[-2:], counts, strict=True)])


def padded_average(x, divisor):
    """Average over 3x3 windows of stride 2 of x padded by 1, divided by `divisor`."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = (windows_of(size + 2, (size - 1) // 2 + 1, 3, 2, 0) for size in x.shape[2:])
    return naive(lambda values: values.sum(-1) / divisor, padded, [rows, columns])


CASES = [
    *[
        Case(
            f"average {name}",
            lambda torch, x, o=options: torch.nn.functional.avg_pool2d(x, **o),
            draw,
            expected=lambda x, s=size, o=options: naive(
                lambda values: values.mean(-1), x, sliding_windows(x, s, o["kernel_size"], **window_options(o))
            ),
        )
        for name, draw, size, options in AVERAGE
    ],
    Case(
        "average padded",
        lambda torch, x: torch.nn.functional.avg_pool2d(x, 3, 2, 1),
        real(2, 2, 5, 7),
        expected=lambda x: padded_average(x, 9),
    ),
    Case(
        "average divisor",
        lambda torch, x: torch.nn.functional.avg_pool2d(x, 3, 2, 1, divisor_override=4),
        real(2, 2, 5, 7),
        expected=lambda x: padded_average(x, 4),
    ),
    *[
        Case(
            f"adaptive {name}",
            lambda torch, x, s=size: torch.nn.functional.adaptive_avg_pool2d(x, s),
            draw,
            expected=lambda x, s=size: naive_adaptive(x, s),
        )
        for name, draw, size in ADAPTIVE
    ],
]


def refuse(name, call, message, shape=(1, 2, 5, 5), error=RuntimeError, differs=None):
    return Refusal(name, lambda torch: call(torch.nn.functional, torch.ones(*shape)), error, message, differs=differs)


REFUSALS = [
    refuse(
        "average of 2 dims",
        lambda functions, x: functions.avg_pool2d(x, 2),
        r"\[5, 5\]",
        shape=(5, 5),
        error=IndexError,
    ),
    refuse("average window", lambda functions, x: functions.avg_pool2d(x, 6), "6|small"),
    refuse("average padding", lambda functions, x: functions.avg_pool2d(x, 2, padding=2), "padding"),
    refuse("average divisor", lambda functions, x: functions.avg_pool2d(x, 2, divisor_override=0), "divisor"),
    refuse("adaptive of 2 dims", lambda functions, x: functions.adaptive_avg_pool2d(x, 2), r"\[5, 5\]", shape=(5, 5)),
    refuse("adaptive three sizes", lambda functions, x: functions.adaptive_avg_pool2d(x, (1, 2, 3)), "output_size"),
    refuse(
        "adaptive two sizes of 2 dims",
        lambda functions, x: functions.adaptive_avg_pool2d(x, (2, 2)),
        "at least 3",
        shape=(5, 5),
        error=ValueError,
    ),
    refuse("adaptive no sizes", lambda functions, x: functions.adaptive_avg_pool2d(x, ()), "output_size"),
    refuse("adaptive negative", lambda functions, x: functions.adaptive_avg_pool2d(x, -1), "output_size"),
    refuse(
        "adaptive of no pixels",
        lambda functions, x: functions.adaptive_avg_pool2d(x, 2),
        r"\[1, 2, 0, 5\]",
        shape=(1, 2, 0, 5),
    ),
    Refusal(
        "adaptive of integers",
        lambda torch: torch.nn.functional.adaptive_avg_pool2d(torch.ones(1, 1, 4, 4, dtype=torch.int64), 2),
        NotImplementedError,
        "adaptive_avg_pool2d.*int64",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("sign", [1, -1])
def test_means_of_integers_are_cut_off(sign):
    x = sign * gradcli.tensor([[[0, 1], [3, 3]]])
    assert gradcli.nn.functional.avg_pool2d(x, 2).tolist() == [[[sign]]]


def test_avg_pool_of_halves_adds_without_overflow():
    x = gradcli.full((1, 1, 64, 64), 30.0, dtype=gradcli.float16)
    assert gradcli.nn.functional.avg_pool2d(x, 64).item() == 30
