"""Small texts that ask for large tensors are refused before any memory is taken; estimates are no less than results."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import float32
from gradcli.errors import UsageError
from gradcli.inspection.expressions import limits
from gradcli.inspection.expressions.evaluation import evaluate
from gradcli.inspection.expressions.syntax import parse_expression

VARIABLES = {
    "v": Tensor(np.arange(100, dtype=np.float32)),
    "m": Tensor(np.arange(24, dtype=np.float32).reshape(4, 6)),
    "x": Tensor(np.zeros((2, 3, 8, 8), np.float32)),
    "i": Tensor(np.zeros((50,), np.int64)),
}
# Each makes a tensor of more than 1,000 elements of smaller ones.
LARGE = [
    "zeros(40, 40)",
    "ones([40, 40])",
    "full((40, 40), 1)",
    "rand(40, 40)",
    "randn(size=(40, 40))",
    "randint(5, (40, 40))",
    "randint(0, 5, size=(40, 40))",
    "randperm(2000)",
    "arange(2000)",
    "arange(0, 1, 1/2000)",
    "arange(end=2000)",
    "linspace(0, 1, 2000)",
    "logspace(0, 1, steps=2000)",
    "eye(40)",
    "eye(2, 2000)",
    "v.new_zeros(40, 40)",
    "v.new_ones((40, 40))",
    "v.new_full((40, 40), 1.)",
    "v.repeat(20)",
    "v.tile([2, 10])",
    "v.expand(20, -1)",
    "broadcast_to(v, (20, 100))",
    "v[:, None] * v",
    "v[:, None] + v",
    "where(v > 0, v[:, None], v)",
    "atan2(v, v[:, None])",
    "outer(v, v)",
    "v.ger(v)",
    "v[:, None] @ v[None]",
    "matmul(v[:, None], v[None])",
    "inner(v[:, None], v[:, None])",
    "tensordot(v, v, 0)",
    "tensordot(v[None], v[None], dims=([0], [0]))",
    "einsum('i,j->ij', v, v)",
    "einsum('i,j,ij->', v, v, v.expand(9, 100)[:1].expand(100, 100))",
    "F.pad(v, (1000, 0))",
    "F.pad(m, (0, 1000, 3, 3))",
    "F.adaptive_avg_pool2d(x, 40)",
    "F.conv2d(x, zeros(64, 3, 1, 1), padding=1)",
    "F.linear(v[:, None], v[:, None])",
    "cat([v, v, v, v, v, v, v, v, v, v, v])",
    "stack([v, v, v, v, v, v, v, v, v, v, v])",
    "m[i, :][:, i]",
    "m[i.expand(50, 50), 0]",
    "x.index_select(0, i)",
    "gather(v, 0, i.repeat(30))",
    "take(v, i.repeat(30))",
]


@pytest.mark.parametrize("text", LARGE)
def test_what_would_be_large_is_refused_beforehand(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 1000)
    with pytest.raises(
        UsageError, match=r"expression, column \d+: .* would give a tensor of [\d,]+ elements; 1,000 is"
    ):
        evaluate(parse_expression(text), VARIABLES, float32)


@pytest.mark.parametrize("text", LARGE)
def test_the_same_is_fine_within_the_limit(text: str) -> None:
    evaluate(parse_expression(text), VARIABLES, float32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zeros(10**6, 10**6)", "1,000,000,000,000 elements"),
        ("v.repeat(10**15)", "elements; 67,108,864 is the limit"),
        ("unbind(zeros(20000))", "unbind would give 20,000 tensors; 10,000 is the limit"),
        ("zeros(20000).split(1)[0]", "split would give 20,000 tensors"),
        ("chunk(zeros(20000), 20000)", "chunk would give 20,000 tensors"),
        ("tensor_split(v, 10**9)", "tensor_split would give 1,000,000,000 tensors"),
        ("a, b = zeros(20000)", "unbind would give 20,000 tensors"),
    ],
)
def test_limits_as_they_are(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(parse_expression(text), VARIABLES, float32)
    assert message in str(caught.value)


def test_growing_step_by_step_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 1000)
    with pytest.raises(UsageError, match="cat would give a tensor of 1,600 elements"):
        evaluate(parse_expression("x = v; " + "x = cat([x, x]); " * 30 + "x"), VARIABLES, float32)


def test_the_sum_of_all_tensors_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOTAL", 1000)
    evaluate(parse_expression("v+v+v+v"), VARIABLES, float32)
    with pytest.raises(UsageError, match="makes tensors of more than 1,000 elements in all"):
        evaluate(parse_expression("v" + "+v" * 11), VARIABLES, float32)


@pytest.mark.parametrize("doubled", ["[y, y]", "(y, y)", "[[y], y]"])
@pytest.mark.parametrize("first", ["v", "1"])
def test_lists_that_double_in_each_statement_are_refused(first: str, doubled: str) -> None:
    expression = parse_expression(f"y = {first};" + f"y = {doubled};" * 40 + "y")
    with pytest.raises(UsageError, match=r"expression, column \d+: the expression makes lists of more than 1,048,576 "):
        evaluate(expression, VARIABLES, float32)
