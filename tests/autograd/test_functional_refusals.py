"""What autograd.functional refuses, and outputs that depend on no input."""

from __future__ import annotations

import pytest
from differentiable_functions import coupling, cubes, products, vector
from programs import Programs

import gradcli

programs = Programs()


def only_the_first(x, w):
    return x * 2


def constant(x):
    return x.detach() * 2


# --- outputs that don't depend on inputs ------------------------------------------------------------------------------


@programs.gives(
    [
        [[2.0, 4.0], [0.0, 0.0]],
        [[2.0, 4.0], [0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[2.0, 4.0], [[2.0, 4.0], [0.0, 0.0]]],
        [[2.0, 4.0], [2.0, 4.0]],
        [[[2.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]],
        [[0.0, 0.0], [0.0, 0.0]],
        [6.0, [[0.0, 0.0], [0.0, 0.0]]],
        [6.0, [[0.0, 0.0], [0.0, 0.0]]],
    ]
)
def independent_outputs_give_zeros(torch):
    f = torch.autograd.functional
    x = vector(torch, 1.0, 2.0)
    return [
        f.vjp(constant, x, x),
        f.jvp(constant, x, x),
        f.jacobian(constant, x),
        f.vjp(only_the_first, (x, x), x),
        f.jvp(only_the_first, (x, x), (x, x)),
        f.jacobian(only_the_first, (x, x)),
        f.hessian(lambda x: constant(x).sum(), x),
        f.hvp(lambda x, w: only_the_first(x, w).sum(), (x, x), (x, x)),
        f.vhp(lambda x, w: only_the_first(x, w).sum(), (x, x), (x, x)),
    ]


STRICT = {
    "vjp: constant": lambda f, x: f.vjp(constant, x, x, strict=True),
    "vjp: unused input": lambda f, x: f.vjp(only_the_first, (x, x), x, strict=True),
    "jvp: constant": lambda f, x: f.jvp(constant, x, x, strict=True),
    "jvp: unused input": lambda f, x: f.jvp(only_the_first, (x, x), (x, x), strict=True),
    "jacobian: constant": lambda f, x: f.jacobian(constant, x, strict=True),
    "jacobian: unused input": lambda f, x: f.jacobian(only_the_first, (x, x), strict=True),
    "hessian: constant": lambda f, x: f.hessian(lambda x: constant(x).sum(), x, strict=True),
    "hessian: linear": lambda f, x: f.hessian(lambda x: x.sum(), x, strict=True),
    "hessian: unused input": lambda f, x: f.hessian(lambda x, w: (x**2).sum(), (x, x), strict=True),
    "hvp: linear": lambda f, x: f.hvp(lambda x: x.sum(), x, x, strict=True),
    "vhp: linear": lambda f, x: f.vhp(lambda x: x.sum(), x, x, strict=True),
    "vhp: constant": lambda f, x: f.vhp(lambda x: constant(x).sum(), x, x, strict=True),
}
programs.refusals(
    {
        f"strict, {name}": (
            lambda torch, call=call: call(torch.autograd.functional, vector(torch, 1.0, 2.0)),
            RuntimeError,
            "strict mode|independent of|does not require gradients",
        )
        for name, call in STRICT.items()
    }
)

REFUSED = {
    "no vector for many outputs": (lambda f, x: f.vjp(cubes, x), RuntimeError, "can only be None if"),
    "no vector for many inputs": (lambda f, x: f.jvp(cubes, x), RuntimeError, "can only be None if"),
    "no vector for many inputs of a Hessian": (
        lambda f, x: f.hvp(lambda x: (x**2).sum(), x),
        RuntimeError,
        "can only be None if",
    ),
    "vector of another shape": (lambda f, x: f.vjp(cubes, x, x[:1]), RuntimeError, "invalid size: should be"),
    "vectors of another count": (
        lambda f, x: f.jvp(coupling, (x, x), (x, x, x)),
        RuntimeError,
        "v is a tuple of invalid length: should be 2 but got 3",
    ),
    "inputs that are no tensors": (lambda f, x: f.vjp(cubes, 3.0), TypeError, "float"),
    "outputs that are no tensors": (lambda f, x: f.vjp(lambda x: 3.0, x), TypeError, "float"),
    "one of the inputs is no tensor": (lambda f, x: f.jacobian(products, (x, 2.0)), TypeError, "float"),
    "Hessian of many outputs": (lambda f, x: f.hessian(cubes, x), RuntimeError, "single element"),
    "Hessian of a tuple": (lambda f, x: f.hvp(lambda x: (x.sum(), x.sum()), x, x), RuntimeError, "single Tensor"),
    "product with the Hessian of many outputs": (lambda f, x: f.vhp(cubes, x, x), RuntimeError, "single element"),
}
programs.refusals(
    {
        f"refused, {name}": (
            lambda torch, call=call: call(torch.autograd.functional, vector(torch, 1.0, 2.0)),
            error,
            message,
        )
        for name, (call, error, message) in REFUSED.items()
    }
)


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
