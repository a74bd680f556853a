"""Order along a dim: sorting, the largest few, the middle one; ties, NaN and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, distinct, real, refusal_checks_of, transposed

import gradcli


def middle(x, axis):
    return np.take(np.sort(x, axis), (x.shape[axis] - 1) // 2, axis)


CASES = [
    *[
        Case(
            f"sort {dim} {descending}",
            lambda torch, x, d=dim, down=descending: torch.sort(x, d, down)[0],
            transposed(distinct(3, 4)),
            expected=lambda x, d=dim, down=descending: np.flip(np.sort(x, d), d) if down else np.sort(x, d),
        )
        for dim in (0, -1)
        for descending in (False, True)
    ],
    *[
        Case(
            f"indices of sort {descending}",
            lambda torch, x, down=descending: torch.sort(x, 0, down).indices,
            distinct(3, 4),
            expected=lambda x, down=descending: np.argsort(-x if down else x, 0),
            differentiable=False,
        )
        for descending in (False, True)
    ],
    Case("sort stable", lambda torch, x: x.sort(stable=True)[0], distinct(3, 4), expected=np.sort),
    Case("sort 0-d", lambda torch, x: x.sort()[0], real(), expected=np.asarray),
    Case("msort", lambda torch, x: torch.msort(x), distinct(3, 4), expected=lambda x: np.sort(x, 0)),
    Case(
        "argsort",
        lambda torch, x: x.argsort(0),
        distinct(3, 4),
        expected=lambda x: np.argsort(x, 0),
        differentiable=False,
    ),
    *[
        Case(
            f"topk {k} {dim} {largest}",
            lambda torch, x, k=k, d=dim, up=largest: torch.topk(x, k, d, up)[0],
            distinct(3, 4),
            expected=lambda x, k=k, d=dim, up=largest: np.take(
                np.flip(np.sort(x, d), d) if up else np.sort(x, d), range(k), d
            ),
        )
        for k, dim, largest in ((2, -1, True), (3, 0, False), (1, 1, True), (0, 0, True))
    ],
    Case("topk 0-d", lambda torch, x: x.topk(1)[0], real(), expected=np.asarray),
    *[
        Case(f"median of {count}", lambda torch, x: x.median(), distinct(count), expected=lambda x: middle(x, 0))
        for count in (1, 4, 5)
    ],
    *[
        Case(
            f"median {dim} {keepdim}",
            lambda torch, x, d=dim, k=keepdim: torch.median(x, d, k).values,
            distinct(3, 4),
            expected=lambda x, d=dim, k=keepdim: np.expand_dims(middle(x, d), d) if k else middle(x, d),
        )
        for dim, keepdim in ((0, False), (-1, True))
    ],
    Case("median 0-d along", lambda torch, x: x.median(0)[0], real(), expected=np.asarray),
]

REFUSALS = [
    Refusal("sort dim", lambda torch: torch.ones(2).sort(1), IndexError, "but got 1"),
    Refusal("topk too many", lambda torch: torch.ones(2).topk(3), RuntimeError, "out of range"),
    Refusal("topk dim", lambda torch: torch.ones(2).topk(1, 1), IndexError, "but got 1"),
    Refusal("topk of bools", lambda torch: torch.tensor([True]).topk(1), RuntimeError, "bool"),
    Refusal("median along nothing", lambda torch: torch.ones(2, 0).median(1), IndexError, "non-zero size"),
    Refusal("median of bools", lambda torch: torch.tensor([True]).median(), NotImplementedError, "median"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_equals_keep_their_order():
    x = gradcli.tensor([2.0, 1.0, 2.0, 1.0])
    assert x.sort().indices.tolist() == [1, 3, 0, 2]
    assert x.sort(descending=True).indices.tolist() == [0, 2, 1, 3]
    assert x.median(0).indices.item() == 3


def test_nan_is_the_largest_and_the_median():
    x = gradcli.tensor([1.0, math.nan, 3.0, math.nan])
    assert x.sort().indices.tolist() == [0, 2, 1, 3]
    assert x.topk(2).indices.tolist() == [1, 3]
    assert x.topk(2, largest=False).values.tolist() == [1, 3]
    assert math.isnan(x.median().item())
    assert x.median(0).indices.item() == 1


def test_median_of_nothing_is_nan():
    assert math.isnan(gradcli.ones(0).median().item())
