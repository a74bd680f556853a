"""Rows of numbers: bounds, steps, types and what is refused, as in PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import refusal_checks_of, written_refusals

import gradcli

#     Python expression in which `torch` is gradcli or PyTorch
SAME_AS_PYTORCH = [
    "torch.arange(3)",
    "torch.arange(3.0)",
    "torch.arange(1, 3)",
    "torch.arange(1, 3, 0.5)",
    "torch.arange(3, 1, -1)",
    "torch.arange(0)",
    "torch.arange(True)",
    "torch.arange(5, dtype=torch.uint8)",
    "torch.arange(start=1, end=3)",
    "torch.arange(end=3)",
    "torch.arange(1, end=7, step=2)",
    "torch.arange(0, 1, 0.1)",
    "torch.arange(0, 1, 0.1, dtype=torch.float64)",
    "torch.arange(0.5, 3.5, dtype=torch.int64)",
    "torch.arange(2**53, 2**53 + 3)",
    "torch.arange(torch.tensor(3))",
    "torch.arange(0, torch.tensor(1.0), 0.25)",
    "torch.arange(1, 3, device='cpu', requires_grad=True, dtype=torch.float64)",
    "torch.linspace(0, 1, 5)",
    "torch.linspace(0, 1, 5, dtype=torch.float64)",
    "torch.linspace(0, 1, steps=50)",
    "torch.linspace(-3.7, 11.3, 1001)",
    "torch.linspace(5, 1, 4)",
    "torch.linspace(2, 3, 1)",
    "torch.linspace(2, 3, 0)",
    "torch.linspace(0, 10, 4, dtype=torch.int32)",
    "torch.linspace(0, 1, 3, dtype=torch.int64)",
    "torch.linspace(0.5, 2.5, 3, dtype=torch.int64)",
    "torch.linspace(-5, 7, 6, dtype=torch.uint8)",
    "torch.linspace(-7, 5, 6, dtype=torch.int64)",
    "torch.linspace(0, float('inf'), 3)",
    "torch.linspace(0, float('nan'), 3)",
    "torch.linspace(torch.tensor(0), torch.tensor(1.0), 3)",
    "torch.linspace(0, 1, torch.tensor(3), requires_grad=True)",
    "torch.linspace(0, 1, 3, device='cpu', layout=None, pin_memory=False)",
    "torch.logspace(0, 2, 3)",
    "torch.logspace(0, 3, 4, base=2)",
    "torch.logspace(-2, 2, 7, 3.0, dtype=torch.float64)",
    "torch.logspace(0, 3, 4, dtype=torch.int64)",
]
REFUSED = [
    ("torch.arange(3, 1)", RuntimeError, "bound"),
    ("torch.arange(1, 3, 0)", RuntimeError, "step must be nonzero"),
    ("torch.arange(0, 1, 0.3, dtype=torch.int64)", ValueError, "step must be nonzero"),
    ("torch.arange(float('nan'))", RuntimeError, "unsupported range"),
    ("torch.arange(0, float('inf'))", RuntimeError, "unsupported range"),
    ("torch.arange(5, dtype=torch.bool)", NotImplementedError, "bool|Bool"),
    ("torch.arange('a')", TypeError, "str"),
    ("torch.arange()", TypeError, "end|arguments"),
    ("torch.arange(1, 2, 3, 4)", TypeError, "4|arguments"),
    ("torch.arange(3, requires_grad=True)", RuntimeError, "floating point"),
    ("torch.arange(3, size=2)", TypeError, "size"),
    ("torch.linspace(0, 1)", TypeError, "steps|arguments"),
    ("torch.linspace(0, 1, -1)", RuntimeError, "number of steps must be non-negative"),
    ("torch.linspace(0, 1, 3.0)", TypeError, "float"),
    ("torch.linspace(0, 1, True)", TypeError, "bool"),
    ("torch.linspace(0, 1, 3, dtype=torch.bool)", NotImplementedError, "bool|Bool"),
    ("torch.linspace(0, float('inf'), 3, dtype=torch.int64)", RuntimeError, "without overflow"),
    ("torch.linspace(torch.ones(2), torch.ones(2), 3)", RuntimeError, "0-dim"),
]


@pytest.mark.parity
@pytest.mark.parametrize("expression", SAME_AS_PYTORCH)
def test_parity(expression):
    torch = pytest.importorskip("torch")
    namespaces = ({"torch": module} for module in (gradcli, torch))
    ours, theirs = (eval(expression.replace("layout=None, ", ""), namespace) for namespace in namespaces)
    assert (str(ours.dtype), str(ours.shape)) == (str(theirs.dtype), str(theirs.shape))
    assert ours.requires_grad == theirs.requires_grad
    values = theirs.detach().numpy()
    np.testing.assert_allclose(ours.array, values, rtol=1e-6 if values.dtype == np.float32 else 1e-14, atol=1e-7)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(written_refusals(REFUSED)))
def test_refusal(check, refusal):
    check(refusal)


def test_values():
    assert gradcli.arange(0, 1, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert gradcli.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert gradcli.linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert gradcli.linspace(1, 0, 1).tolist() == [1.0]
    assert gradcli.linspace(0, 10, 4, dtype=gradcli.int64).tolist() == [0, 3, 6, 10]
    assert gradcli.logspace(0, 3, 4, base=2).tolist() == [1, 2, 4, 8]
    assert all(map(math.isnan, gradcli.linspace(0, math.inf, 3).tolist()))


def test_the_ends_are_exact():
    values = gradcli.linspace(-0.1, 0.7, 1001).array
    assert (values[0], values[-1]) == (np.float32(-0.1), np.float32(0.7))
