"""Derivatives of expressions against formulas and PyTorch, and what there is none of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradcli.autograd.dtypes import float32, float64
from gradcli.errors import UsageError
from gradcli.inspection.expressions import Differentiation, parse_expression, read_variables

TUTORIAL = ("3*a**3 - b**2", ["a=2,3", "b=6,4"])


def differentiation(
    text: str, given: Sequence[str], no_grad: Sequence[str] = (), dtype: Any = float64
) -> Differentiation:
    return Differentiation(parse_expression(text), read_variables(given, no_grad, dtype), dtype)


def test_the_tutorials_gradients() -> None:
    for dtype in (float32, float64):
        result = differentiation(*TUTORIAL, dtype=dtype)
        gradients = result.gradients("1,1")
        assert result.value.array.tolist() == [-12, 65]
        assert result.value.grad_fn == "SubBackward0"
        assert {name: (str(g.dtype), g.tolist()) for name, g in gradients.items() if g is not None} == {
            "a": (str(dtype.numpy), [36, 81]),
            "b": (str(dtype.numpy), [-12, -8]),
        }


def test_the_tutorials_other_derivatives() -> None:
    result = differentiation(*TUTORIAL)
    jacobian = result.jacobian()
    np.testing.assert_array_equal(jacobian["a"], np.diag([36, 81]))
    np.testing.assert_array_equal(jacobian["b"], np.diag([-12, -8]))
    np.testing.assert_array_equal(result.jvp(["a=1,0"]), [36, 0])
    np.testing.assert_array_equal(result.jvp(["a=1,2", "b=0,1"]), [36, 154])
    hessian = differentiation(f"({TUTORIAL[0]}).sum()", TUTORIAL[1]).hessian()
    np.testing.assert_array_equal(hessian["a"]["a"], np.diag([36, 54]))
    np.testing.assert_array_equal(hessian["b"]["b"], np.diag([-2, -2]))
    np.testing.assert_array_equal(hessian["a"]["b"], np.zeros((2, 2)))


def test_gradients_can_be_asked_for_again() -> None:
    result = differentiation(*TUTORIAL)
    for vector, expected in (("1,1", [36, 81]), ("2,0", [72, 0])):
        gradient = result.gradients(vector)["a"]
        assert gradient is not None
        assert gradient.tolist() == expected


def test_the_jacobian_goes_by_rows_or_columns() -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 2))
    text = f"tensor({matrix.tolist()}, dtype=float64)"
    np.testing.assert_allclose(differentiation(f"{text} @ x", ["x=1,2"]).jacobian()["x"], matrix)
    np.testing.assert_allclose(differentiation(f"x @ {text}", ["x=1,2,3"]).jacobian()["x"], matrix.T)


def test_a_variable_that_nothing_leads_to_has_no_gradient_but_zeros_as_derivatives() -> None:
    result = differentiation("a.sum()", ["a=1,2", "b=3"])
    gradients = result.gradients()
    assert gradients["a"] is not None
    assert gradients["a"].tolist() == [1, 1]
    assert gradients["b"] is None
    assert result.jacobian()["b"].tolist() == 0
    assert differentiation("(a > 1) | (b > 2)", ["a=1,2", "b=3"]).gradients() == {"a": None, "b": None}


def test_variables_without_gradient_are_constants() -> None:
    result = differentiation("a[i] * b", ["a=1,2,3", "i=0,2", "b=5"], ["i", "b"])
    gradients = result.gradients("1,1")
    assert list(gradients) == ["a"]
    assert gradients["a"] is not None
    assert gradients["a"].tolist() == [5, 0, 5]


def test_every_evaluation_draws_the_same_numbers() -> None:
    result = differentiation("a * randn(3)", ["a=1,1,1"])
    drawn = result.value.array
    np.testing.assert_array_equal(result.jacobian()["a"], np.diag(drawn))
    np.testing.assert_array_equal(result.in_float64().jacobian()["a"], np.diag(drawn))


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (
            "a*a",
            lambda d: d.gradients(),
            "--gradient: grad can be implicitly created only for scalar outputs, and the value has the shape [2]; "
            "give a vector of that shape, such as --gradient 1,1",
        ),
        ("a[:, None]*a", lambda d: d.gradients(), "such as --gradient '[[1,1],[1,1]]'"),
        ("a.repeat(9)", lambda d: d.gradients(), "such as --gradient 'ones(18)'"),
        ("a*a", lambda d: d.gradients("1,2,3"), "--gradient: has the shape [3]; expected [2]"),
        ("a*a", lambda d: d.gradients("1,"), "--gradient: has the shape [1]; expected [2]"),
        ("a*a", lambda d: d.gradients("1,?"), "--gradient, column 3: invalid syntax"),
        ("a > 1", lambda d: d.gradients("1,1"), "--gradient: the value does not require grad: nothing"),
        ("a.detach()", lambda d: d.jacobian(), "--jacobian: the value does not require grad"),
        ("a*a", lambda d: d.hessian(), "--hessian: is that of one number, and the value has the shape [2]; sum it"),
        ("a*a", lambda d: d.jvp(["c=1,2"]), "--jvp c: is no variable that requires gradients"),
        ("a*a", lambda d: d.jvp(["a=1,2,3"]), "--jvp a: has the shape [3]; expected [2]"),
        ("a*a", lambda d: d.jvp(["a=1,2", "a=1,2"]), "--jvp a: is given twice"),
        ("a[0].expand(9000000)", lambda d: d.jacobian(), "--jacobian: has 18,000,000 entries; 16,777,216 is the limit"),
    ],
)
def test_derivatives_that_there_are_not(text: str, asked: Callable[[Differentiation], Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(differentiation(text, ["a=1,2"]))
    assert message in str(caught.value)


def test_without_variables_there_is_only_a_value() -> None:
    result = differentiation("2**10", [])
    assert result.value.array.item() == 1024
    assert result.gradients() == {}
    with pytest.raises(UsageError, match="--jacobian: no variable requires gradients; give one by --var NAME=VALUE"):
        result.jacobian()


def test_a_direction_needs_no_name_where_there_is_one_variable() -> None:
    np.testing.assert_array_equal(differentiation("a*a", ["a=1,2"]).jvp(["3,4"]), [6, 16])
    with pytest.raises(UsageError, match="--jvp 3,4: is no NAME=VALUE"):
        differentiation(*TUTORIAL).jvp(["3,4"])


# --- PyTorch ----------------------------------------------------------------------------------------------------------

# Each is Python too, and the same with PyTorch's functions. The variables are a (2,), b (2,), m (2, 3), s ().
PARITY = [
    "3*a**3 - b**2",
    "Q = 3*a**3 - b**2; Q*Q",
    "a*b + a/b - b.detach()//a.detach() + b % a",
    "-a**2 + +b**-2",
    "2**a * a**s",
    "s / m",
    "a @ m",
    "m @ m.T @ a",
    "(a @ b)**0.5",
    "m[:, 1:] * m[..., [0, 2]]",
    "m[1, ::2] + a",
    "m[m > 0.5]",
    "m[:, None] * m",
    "torch.where(m > 0.5, m, -m)",
    "exp(-a*a).sum()",
    "log(a).mean() + log1p(b).prod()",
    "sin(a)*cos(b) + tan(a/4)",
    "asin(a/4) + acos(b/8) + atan2(a, b)",
    "sinh(a) + cosh(a) - tanh(b)",
    "erf(a) + erfc(b)",
    "sqrt(a) + rsqrt(b) + reciprocal(b)",
    "abs(a - 2.5) + sign(a)*a",
    "clamp(m, 0.3, 0.9)",
    "maximum(a, b/3) + minimum(a, b/3)",
    "m.sum(0) + m.mean(dim=0, keepdim=True)",
    "m.prod(1) + m.std(1) + m.var(dim=1, correction=0)",
    "softmax(m, dim=1)",
    "log_softmax(m, 0)[1]",
    "logsumexp(m, dim=1)",
    "logaddexp(a, b)",
    "cumsum(m, 1) + cumprod(m + 1, 1)",
    "m.max(1)[0] + m.amin(1)",
    "v, i = sort(m, 1, descending=True); v*v",
    "m.topk(2).values",
    "norm(m) + norm(a, p=3)",
    "cat([a, b]).reshape(2, 2).T",
    "stack((a, b), dim=1).flip([0])",
    "m.permute(1, 0).tril()",
    "m.unsqueeze(0).expand(2, 2, 3).transpose(0, 2)",
    "einsum('ij,kj->ik', m, m)",
    "tensordot(m, m, dims=([1], [1])).diagonal()",
    "outer(a, b) + a.dot(b)",
    "gather(m, 1, torch.tensor([[0], [2]]))",
    "F.relu(a - 2.5) + F.gelu(b) + F.silu(a)",
    "F.softplus(a) + F.elu(a - 2.5) + F.leaky_relu(a - 2.5)",
    "F.mse_loss(a, b) + F.smooth_l1_loss(a, b) + F.huber_loss(a, b)",
    "F.cross_entropy(m, torch.tensor([0, 2]))",
    "F.binary_cross_entropy_with_logits(a, sigmoid(b).detach())",
    "F.linear(m, m, a)",
    "F.conv2d(m.view(1, 1, 2, 3), m[:, :2].reshape(1, 1, 2, 2))",
    "F.pad(m, (1, 2), value=0.5)",
    "F.layer_norm(m, [3])",
    "x, y = m; x*y + s",
    "a.double().to(torch.float64) * torch.pi",
]


@pytest.mark.parity
@pytest.mark.parametrize("text", PARITY)
def test_values_gradients_and_jacobians_are_pytorchs(text: str) -> None:
    torch = pytest.importorskip("torch")
    rows = np.random.default_rng(2).uniform(0.1, 1.0, (2, 3)).tolist()
    given = ["a=2,3", "b=6,4", f"m={rows}", "s=1.5"]
    own = differentiation(text, given)

    leaves = {each.name: torch.tensor(each.values, requires_grad=True) for each in own.variables}
    names = {name: getattr(torch, name) for name in dir(torch)} | {"torch": torch, "F": torch.nn.functional}

    def function(*tensors: Any) -> Any:
        *before, last = text.split("; ")
        local = dict(zip(leaves, tensors, strict=True))
        for statement in before:
            exec(statement, names, local)
        target, sign, value = last.partition(" = ")
        return eval(value if sign and target.isidentifier() else last, names, local)

    value = function(*leaves.values())
    vector = torch.linspace(0.5, 1.5, value.numel(), dtype=torch.float64).reshape(value.shape)
    value.backward(vector)
    np.testing.assert_allclose(own.value.array, value.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert own.value.grad_fn == value.grad_fn.name()
    gradients = own.gradients(f"linspace(0.5, 1.5, {value.numel()}).reshape({list(value.shape)})")
    jacobian = own.jacobian()
    blocks = torch.autograd.functional.jacobian(function, tuple(leaves.values()))
    for (name, leaf), block in zip(leaves.items(), blocks, strict=True):
        found = gradients[name]
        assert (found is None) == (leaf.grad is None)
        if found is not None:
            np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(jacobian[name], block.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("text", ["(a**3 @ b) * exp(s)", "logsumexp(m, 1) @ a", "(m**2).sum() / (a*b).sum()"])
def test_hessians_and_directions_are_pytorchs(text: str) -> None:
    torch = pytest.importorskip("torch")
    rows = np.random.default_rng(3).uniform(0.1, 1.0, (2, 3)).tolist()
    own = differentiation(text, ["a=2,3", "b=6,4", f"m={rows}", "s=1.5"])
    leaves = {each.name: torch.tensor(each.values) for each in own.variables}
    names = {"torch": torch, "exp": torch.exp, "logsumexp": torch.logsumexp}

    def function(*tensors: Any) -> Any:
        return eval(text, names, dict(zip(leaves, tensors, strict=True)))

    for (first, row), found in zip(
        zip(leaves, torch.autograd.functional.hessian(function, tuple(leaves.values())), strict=True),
        own.hessian().values(),
        strict=True,
    ):
        for second, block in zip(leaves, row, strict=True):
            np.testing.assert_allclose(found[second], block.numpy(), rtol=1e-10, atol=1e-12, err_msg=first)
    directions = tuple(torch.ones_like(leaf) for leaf in leaves.values())
    _, expected = torch.autograd.functional.jvp(function, tuple(leaves.values()), directions)
    along = own.jvp(["a=1,1", "b=1,1", "m=ones(2,3)", "s=1"])
    np.testing.assert_allclose(along, expected.numpy(), rtol=1e-10)
