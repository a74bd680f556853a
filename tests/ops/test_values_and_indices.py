"""Taking elements by their indices along a dim, and putting them back: each is the other's gradient."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, checks_of, fixed, real

import gradcli
from gradcli.ops.values_and_indices import put_along, take_along

INDICES = np.array([[2, 0], [1, 3], [0, 2]])


def take(torch, x, indices):
    return take_along(x, indices, 1) if torch is gradcli else torch.gather(x, 1, indices)


def put(torch, x, indices):
    return put_along(x, indices, 1, 4) if torch is gradcli else torch.zeros(3, 4, dtype=x.dtype).scatter(1, indices, x)


def placed(x):
    result = np.zeros((3, 4))
    np.put_along_axis(result, INDICES, x, 1)
    return result


CASES = [
    Case(
        "take",
        take,
        real(3, 4),
        fixed(INDICES, np.int64),
        expected=lambda x, indices: np.take_along_axis(x, indices, 1),
    ),
    Case(
        "put",
        put,
        real(3, 2),
        fixed(INDICES, np.int64),
        expected=lambda x, indices: placed(x),
        graph_differs="PyTorch records the zeros that it scatters into",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)
