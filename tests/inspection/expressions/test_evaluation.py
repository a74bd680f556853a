"""Values of expressions against NumPy, what lists and numbers stand for, and what is refused, with its place."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import float32, float64
from gradcli.errors import UsageError
from gradcli.inspection.expressions.evaluation import evaluate
from gradcli.inspection.expressions.syntax import parse_expression
from gradcli.ops.random import manual_seed

A = np.array([2.0, 3.0])
B = np.array([6.0, 4.0])
M = np.arange(6.0).reshape(2, 3) / 4


def value_of(text: str, dtype: Any = float64) -> Tensor:
    variables = {name: Tensor(array.astype(dtype.numpy)) for name, array in {"a": A, "b": B, "m": M}.items()}
    return evaluate(parse_expression(text), {**variables, "i": Tensor(np.array([1, 0]))}, dtype)


CASES: list[tuple[str, Callable[[], Any]]] = [
    ("3*a**3 - b**2", lambda: 3 * A**3 - B**2),
    ("Q = 3*a**3 - b**2", lambda: 3 * A**3 - B**2),
    ("y = a*b; z = y + 1; y*z", lambda: A * B * (A * B + 1)),
    ("a = a + 1; a*a", lambda: (A + 1) ** 2),
    ("a @ b", lambda: A @ B),
    ("m @ [1, 2, 3]", lambda: M @ [1, 2, 3]),
    ("[1, 2] @ m", lambda: [1, 2] @ M),
    ("b // a + b % a", lambda: B // A + B % A),
    ("-a + +b", lambda: B - A),
    ("a / [4, 8]", lambda: A / [4, 8]),
    ("(a > 2) | ~(b != 4)", lambda: (A > 2) | ~(B != 4)),
    ("(a >= 2) & (b < 5)", lambda: (A >= 2) & (B < 5)),
    ("a == [2, 4]", lambda: A == [2, 4]),
    ("m.T", lambda: M.T),
    ("m[1]", lambda: M[1]),
    ("m[-1, ::2]", lambda: M[-1, ::2]),
    ("m[:, None].shape[1]", lambda: 1),
    ("m[..., 0]", lambda: M[..., 0]),
    ("m[[0, 1], [2, 0]]", lambda: M[[0, 1], [2, 0]]),
    ("a[i]", lambda: A[::-1]),
    ("m[m > 0.5]", lambda: M[M > 0.5]),
    ("sum(m, dim=[0, 1])", lambda: M.sum()),
    ("m.sum(0, keepdim=True)", lambda: M.sum(0, keepdims=True)),
    ("torch.exp(a) + torch.pi", lambda: np.exp(A) + np.pi),
    ("F.relu(a - 2.5)", lambda: np.maximum(A - 2.5, 0)),
    ("torch.nn.functional.relu(a - 2.5)", lambda: np.maximum(A - 2.5, 0)),
    ("exp(1)", lambda: np.e),
    ("sin(pi / 4) * a", lambda: np.sin(np.pi / 4) * A),
    ("maximum(a, 2.5)", lambda: np.maximum(A, 2.5)),
    ("where(a > 2, a, 0)", lambda: np.where(A > 2, A, 0)),
    ("where([True, False], a, b)", lambda: np.where([True, False], A, B)),
    ("[a[0], b[1]] * 2", lambda: np.array([4.0, 8.0])),
    ("[[a[0], 1], b]", lambda: np.array([[2.0, 1.0], B])),
    ("cat([a, [1, 2]])", lambda: np.concatenate([A, [1, 2]])),
    ("stack((a, b), dim=1)", lambda: np.stack([A, B], 1)),
    ("gather(m, 1, [[0], [2]])", lambda: M[[0, 1], [0, 2]][:, None]),
    ("m.index_select(1, [0, 0])", lambda: M[:, [0, 0]]),
    ("einsum('ij,kj->ik', m, m)", lambda: M @ M.T),
    ("v, j = m.max(1); v + j", lambda: M.max(1) + 2),
    ("sort(b).values", lambda: np.sort(B)),
    ("sort(b)[1]", lambda: np.argsort(B)),
    ("x, y = m; x*y", lambda: M[0] * M[1]),
    ("eye(2) @ a", lambda: A),
    ("zeros(2) + ones([2]) * full((2,), 0.1)", lambda: np.full(2, 0.1)),
    ("tensor([0.1, 0.2])", lambda: np.array([0.1, 0.2])),
    ("linspace(0, 1, 4)", lambda: np.linspace(0, 1, 4)),
    ("a.view(2, 1).expand(2, 3)", lambda: np.broadcast_to(A[:, None], (2, 3))),
    ("norm(a, p=1)", lambda: 5.0),
    ("cross_entropy(m, [0, 1])", lambda: -np.mean(np.log(np.exp(M) / np.exp(M).sum(1, keepdims=True))[[0, 1], [0, 1]])),
    ("a.detach()*2", lambda: A * 2),
    ("2**10", lambda: 1024),
    ("7 // 2 - 7 % 3", lambda: 2),
    ("2**-1", lambda: 0.5),
    ("1 < 2", lambda: True),
    ("~True", lambda: False),
    ("a.numel() * m.size(1)", lambda: 6),
    ("m.shape", lambda: np.array([2, 3])),
    ("[1, 2, 3]", lambda: np.array([1, 2, 3])),
    ("-inf", lambda: -np.inf),
    ("e", lambda: np.e),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_values_are_those_of_numpy(text: str, expected: Callable[[], Any]) -> None:
    found, wanted = value_of(text).array, np.asarray(expected())
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("a * [1, 2]", "float32"),
        ("[1, 2] / 3", "float32"),
        ("[0.1, 0.2] + zeros(2)", "float32"),
        ("a.to(float64)", "float64"),
        ("a.double()", "float64"),
        ("sum(a, dtype=torch.float64)", "float64"),
        ("tensor([1, 2])", "int64"),
        ("a > 1", "bool"),
        ("[True, False]", "bool"),
        ("0.1", "float32"),
    ],
)
def test_floats_have_the_type_of_the_expression(text: str, dtype: str) -> None:
    assert value_of(text, float32).array.dtype == dtype


REFUSED = [
    ("x + 1", 1, "there is no variable 'x'; give it by --var x=VALUE"),
    ("a * sine(b)", 5, "there is no function 'sine'; did you mean sin"),
    ("a(2)", 1, "a is a variable and can't be called; write * to multiply"),
    ("exp", 1, "exp is a function; call it: exp(...)"),
    ("a.exp", 1, "exp is a method; call it: .exp(...)"),
    ("a.__class__", 1, "a tensor has no '__class__'"),
    ("a.grad_fn", 1, "a tensor has no 'grad_fn'"),
    ("a.array", 1, "a tensor has no 'array'"),
    ("a.add_(1)", 1, "a tensor has no 'add_'; did you mean add"),
    ("a.numpy()", 1, "a tensor has no 'numpy'"),
    ("__import__('os')", 1, "there is no function '__import__'"),
    ("torch.load('x')", 1, "there is no function 'torch.load'"),
    ("F.exp(a)", 1, "there is no function 'F.exp'"),
    ("torch.nothing", 1, "there is no function 'torch.nothing'"),
    ("os.getcwd()", 1, "there is no variable 'os'"),
    ("'a'.format(b)", 1, "a str has no 'format'"),
    ("a.shape.__class__", 1, "a Size has no '__class__'"),
    ("relu(a, inplace=True)", 9, "inplace= is not part of expressions"),
    ("zeros(2, requires_grad=True)", 10, "requires_grad= is not part"),
    ("sin(a, b)", 1, "sin"),
    ("reshape(a, 3)", 1, "reshape"),
    ("1 + a + [1, 2, 3]", 1, "+: The size of tensor a (2) must match the size of tensor b (3)"),
    ("a + 'x'", 5, "+ takes tensors and numbers, not a str"),
    ("'x'", 1, "expected numbers or tensors, but got a str"),
    ("float32", 1, "but got a dtype"),
    ("sort(a)", 1, "the value is 2 tensors; take one of them"),
    ("x, y, z = a", 11, "3 names stand to the left of =, but 2 values here"),
    ("x, y = 3", 8, "2 names stand to the left of =, but 1 value here"),
    ("[[1, 2], [3]]", 1, "expected sequences of one length"),
    ("[a, m]", 1, "tensors of different shapes"),
    ("a[2]", 1, "index 2 is out of bounds"),
    ("a[0.5]", 1, ""),
    ("'x'[0]", 1, "a str has no parts to take"),
    ("1 / 0", 1, "division by zero"),
    ("10.0**400", 1, "too large for a float"),
    ("(-8)**0.5", 1, "is a complex number"),
    ("10**10**10", 1, "is beyond 2**63"),
    ("2**62 * 2", 1, "is beyond 2**63"),
    ("0 - 2**62 - 2**62 - 1", 1, "is beyond 2**63"),
]


@pytest.mark.parametrize(("text", "column", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_cannot_be_computed_is_refused_in_a_line(text: str, column: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        value_of(text)
    place, _, said = str(caught.value).partition(": ")
    assert place == f"expression, column {column}"
    assert message in said
    assert "\n" not in said


def test_random_numbers_are_the_generators() -> None:
    manual_seed(3)
    drawn = value_of("randn(4) + rand(4)", float32).array
    manual_seed(3)
    np.testing.assert_array_equal(drawn, value_of("x = randn(4); x + rand(4)", float32).array)


PIECES = [
    *'abmix_[](){},;:=+-*/%@<.012\n#\\"é',
    *(
        "**",
        "//",
        "==",
        ".T",
        "...",
        "-1",
        "0.5",
        "1e3",
        "10**10",
        "None",
        "True",
        "'ij->ji'",
        " lambda ",
        " if ",
        " for ",
    ),
    *(
        "sin(",
        "exp(",
        ".sum(",
        "max(",
        "sort(",
        "cat(",
        "where(",
        "einsum(",
        "F.relu(",
        "torch.pi",
        "dim=",
        "__class__",
    ),
]


def test_random_texts_have_a_value_or_are_refused_in_a_line() -> None:
    generator = random.Random(0)
    valid = [case[0] for case in CASES]
    values = 0
    for _ in range(3000):
        if generator.random() < 0.5:
            text = "".join(generator.choice(PIECES) for _ in range(generator.randrange(1, 9)))
        else:
            text = generator.choice(valid)
            for _ in range(generator.randrange(1, 3)):
                place = generator.randrange(len(text) + 1)
                text = text[:place] + generator.choice(PIECES) + text[place + generator.randrange(3) :]
        with contextlib.suppress(UsageError):  # and nothing else
            value_of(text)
            values += 1
    assert 100 < values < 2000
