"""autograd.functional: products with Jacobians and Hessians, and these matrices, against closed forms and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from differentiable_functions import coupling, cubes, products, vector
from programs import Programs

import gradcli
from gradcli.autograd import functional
from gradcli.autograd.operation_node import OperationNode

programs = Programs()


def energy(x):
    return x[0] ** 2 * x[1] + x.prod()


# --- values -----------------------------------------------------------------------------------------------------------


@programs.gives([[1.0, 8.0, 27.0], [3.0, 120.0, 2700.0]])
def vjp_of_one_tensor(torch):
    return torch.autograd.functional.vjp(cubes, vector(torch), vector(torch, 1.0, 10.0, 100.0))


@programs.gives([8.0, [10.0, 4.0, 2.0]])
def vjp_of_a_scalar_needs_no_vector(torch):
    return torch.autograd.functional.vjp(energy, vector(torch))


@programs.gives([[[9.0, 18.0, 27.0], [[16.0, 25.0]]], [[9.0, 90.0, 900.0], [329.0, 331.0]]])
def vjp_of_tuples(torch):
    inputs = vector(torch), vector(torch, 4.0, 5.0)
    cotangents = vector(torch, 1.0, 10.0, 100.0), torch.ones(1, 2, dtype=torch.float64)
    return torch.autograd.functional.vjp(products, inputs, cotangents)


@programs.gives([[1.0, 8.0, 27.0], [3.0, 120.0, 2700.0]])
def jvp_of_one_tensor(torch):
    return torch.autograd.functional.jvp(cubes, vector(torch), vector(torch, 1.0, 10.0, 100.0))


@programs.gives([[25.0, 25.0, 25.0], [10.0, 10.0, 10.0]])
def jvp_of_a_scalar_input_needs_no_vector(torch):
    return torch.autograd.functional.jvp(lambda x: x.expand(3) ** 2, vector(torch, 5.0))


@programs.gives([[[9.0, 18.0, 27.0], [[16.0, 25.0]]], [[9.0, 90.0, 900.0], [[8.0, -10.0]]]])
def jvp_of_tuples(torch):
    inputs = vector(torch), vector(torch, 4.0, 5.0)
    tangents = vector(torch, 1.0, 10.0, 100.0), vector(torch, 1.0, -1.0)
    return torch.autograd.functional.jvp(products, inputs, tangents)


@programs.gives([[3.0, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 27.0]])
def jacobian_of_one_tensor(torch):
    return torch.autograd.functional.jacobian(cubes, vector(torch))


@programs.gives(
    [
        [[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]],
        [[[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], [[[8.0, 0.0], [0.0, 10.0]]]],
    ]
)
def jacobian_of_tuples(torch):
    return torch.autograd.functional.jacobian(products, (vector(torch), vector(torch, 4.0, 5.0)))


@programs.gives([[[3.0, 0.0], [0.0, 12.0]]])
def jacobian_of_a_tuple_of_one(torch):
    return torch.autograd.functional.jacobian(cubes, (vector(torch, 1.0, 2.0),))


@programs.gives([[10.0, 4.0, 2.0], [3]])
def jacobian_of_a_scalar(torch):
    jacobian = torch.autograd.functional.jacobian(energy, vector(torch))
    return jacobian, list(jacobian.shape)


@programs.gives([1.0, 2.0, 3.0])
def jacobian_of_a_function_of_a_scalar(torch):
    return torch.autograd.functional.jacobian(lambda x: x * vector(torch), vector(torch, 2.0)[0])


@programs.gives([[3, 2, 2, 3], [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]], 12.0])
def jacobian_of_matrices_has_the_shapes_of_both(torch):
    jacobian = torch.autograd.functional.jacobian(lambda x: x.t() * 2, torch.ones(2, 3))
    return list(jacobian.shape), jacobian[2, 1], jacobian.sum()


programs.results(
    {
        f"jacobian_{name}": (
            lambda torch, options=options: torch.autograd.functional.jacobian(
                products, (vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0)), **options
            ),
            [
                [[[9.0, 0.0], [0.0, 9.0]], [[1.0, 1.0], [2.0, 2.0]]],
                [[[[0.0, 0.0], [0.0, 0.0]]], [[[8.0, 0.0], [0.0, 10.0]]]],
            ],
        )
        for name, options in {
            "by rows": {"strategy": "reverse-mode"},
            "vectorized": {"vectorize": True},
            "by columns": {"strategy": "forward-mode", "vectorize": True},
        }.items()
    }
)


@programs.gives([[4.0, 5.0, 2.0], [5.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
def hessian_of_one_tensor(torch):
    return torch.autograd.functional.hessian(energy, vector(torch))


@programs.gives(
    [[[[18.0, 0.0], [0.0, 18.0]], [[2.0, 2.0], [4.0, 4.0]]], [[[2.0, 4.0], [2.0, 4.0]], [[24.0, 0.0], [0.0, 30.0]]]]
)
def hessian_of_tuples(torch):
    return torch.autograd.functional.hessian(coupling, (vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0)))


@programs.gives([[6.0, 0.0], [0.0, 12.0]])
def hessian_of_one_element_of_any_shape(torch):
    return torch.autograd.functional.hessian(lambda x: (x**3).sum().view(1, 1), vector(torch, 1.0, 2.0))


@programs.gives([[4.0, 5.0, 2.0], [5.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
def hessian_by_columns(torch):
    return torch.autograd.functional.hessian(
        energy, vector(torch), vectorize=True, outer_jacobian_strategy="forward-mode"
    )


@programs.gives([[0.0, 0.0], [0.0, 0.0]])
def hessian_of_a_linear_function(torch):
    return torch.autograd.functional.hessian(lambda x: x.sum() * 3, vector(torch, 1.0, 2.0))


@programs.gives([[8.0, [3.0, 7.0, 1.0000000000000002]], [8.0, [2.999999999999999, 7.0, 0.9999999999999998]]])
def hvp_and_vhp_of_one_tensor(torch):
    direction = vector(torch, 1.0, -1.0, 2.0)
    hvp, vhp = torch.autograd.functional.hvp, torch.autograd.functional.vhp
    return hvp(energy, vector(torch), direction), vhp(energy, vector(torch), direction)


@programs.gives([[234.0, [[28.0, 2.0], [46.0, 88.0]]], [234.0, [[28.0, 2.0], [46.0, 88.0]]]])
def hvp_and_vhp_of_tuples(torch):
    inputs = vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0)
    directions = vector(torch, 1.0, -1.0), vector(torch, 2.0, 3.0)
    hvp, vhp = torch.autograd.functional.hvp, torch.autograd.functional.vhp
    return hvp(coupling, inputs, directions), vhp(coupling, inputs, directions)


@programs.gives([8.0, [12.0]])
def hvp_of_a_scalar_needs_no_vector(torch):
    return torch.autograd.functional.hvp(lambda x: (x**3).sum(), vector(torch, 2.0))


# --- graphs -----------------------------------------------------------------------------------------------------------


@programs.gives([[False, False, False, False, False, False, False, False, False, False], None])
def results_are_out_of_the_graph(torch):
    f = torch.autograd.functional
    x = vector(torch, 1.0, 2.0, requires_grad=True)
    results = [
        *f.vjp(cubes, x, x),
        *f.jvp(cubes, x, x),
        f.jacobian(cubes, x),
        f.hessian(lambda x: (x**3).sum(), x),
        *f.hvp(lambda x: (x**3).sum(), x, x),
        *f.vhp(lambda x: (x**3).sum(), x, x),
    ]
    return [result.requires_grad for result in results], x.grad


@programs.gives(
    [
        [[330.0, 4800.0], [54.0, 1152.0]],
        [[330.0, 4800.0], [54.0, 1152.0]],
        [[36.0, 288.0], None],
        [[72.0, 144.0], None],
        [[902.0, 2734.0], [366.0, 1268.0]],
        [[902.0, 2734.0], [366.0, 1268.0]],
    ]
)
def with_create_graph_they_can_be_differentiated(torch):
    f = torch.autograd.functional
    x = vector(torch, 1.0, 2.0, requires_grad=True)
    direction = vector(torch, 3.0, 4.0, requires_grad=True)

    def energy_of_two(x):
        return (x**3).sum() + x.prod()

    seen = []
    for results in (
        f.vjp(cubes, x, direction, create_graph=True),
        f.jvp(cubes, x, direction, create_graph=True),
        (f.jacobian(cubes, x, create_graph=True),),
        (f.hessian(energy_of_two, x, create_graph=True),),
        f.hvp(energy_of_two, x, direction, create_graph=True),
        f.vhp(energy_of_two, x, direction, create_graph=True),
    ):
        total = sum((result**2).sum() for result in results)
        seen.append(torch.autograd.grad(total, [x, direction], allow_unused=True))
    return seen


@programs.gives([[[6.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 12.0]]])
def a_jacobian_of_a_jacobian(torch):
    f = torch.autograd.functional
    return f.jacobian(lambda x: f.jacobian(cubes, x, create_graph=True), vector(torch, 1.0, 2.0))


@programs.gives([[[3.0, 0.0], [0.0, 12.0]], False])
def under_no_grad_too(torch):
    with torch.no_grad():
        return torch.autograd.functional.jacobian(cubes, vector(torch, 1.0, 2.0)), torch.is_grad_enabled()


@programs.gives([None, None, True])
def gradients_of_the_inputs_stay(torch):
    x = vector(torch, 1.0, 2.0, requires_grad=True)
    w = vector(torch, 3.0, 4.0, requires_grad=True)
    torch.autograd.functional.jacobian(lambda x: x * w, x)
    torch.autograd.functional.hvp(lambda x: (x * x * w).sum(), x, x.detach())
    return x.grad, w.grad, x.requires_grad


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quadratic():
    """f(x) = x·A·x / 2 + sum(sin(x)), with its gradient and Hessian at a point, and a direction."""
    generator = np.random.RandomState(0)
    matrix, point, direction = (generator.standard_normal(shape) for shape in ((5, 5), 5, 5))
    gradient = (matrix + matrix.T) @ point / 2 + np.cos(point)
    hessian = (matrix + matrix.T) / 2 - np.diag(np.sin(point))

    def function(x):
        return x @ gradcli.tensor(matrix) @ x / 2 + x.sin().sum()

    return function, gradcli.tensor(point), gradcli.tensor(direction), gradient, hessian


def test_derivatives_of_a_scalar(quadratic):
    function, point, direction, gradient, hessian = quadratic
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(functional.vjp(function, point)[1].numpy(), gradient, **close)
    np.testing.assert_allclose(functional.jacobian(function, point).numpy(), gradient, **close)
    np.testing.assert_allclose(
        functional.jvp(function, point, direction)[1].item(), gradient @ direction.numpy(), **close
    )
    np.testing.assert_allclose(functional.hessian(function, point).numpy(), hessian, **close)
    for product in (functional.hvp, functional.vhp):
        value, result = product(function, point, direction)
        np.testing.assert_allclose(result.numpy(), hessian @ direction.numpy(), **close)
        assert value.item() == function(point).item()


def test_products_agree_with_the_jacobian():
    generator = np.random.RandomState(0)
    matrix, point, left, right = (gradcli.tensor(generator.standard_normal(shape)) for shape in ((4, 3), 3, 4, 3))

    def function(x):
        return (matrix @ x).tanh() * x.prod()

    jacobian = functional.jacobian(function, point)
    by_columns = functional.jacobian(function, point, strategy="forward-mode")
    np.testing.assert_allclose(by_columns.numpy(), jacobian.numpy(), rtol=1e-12)
    np.testing.assert_allclose(functional.vjp(function, point, left)[1].numpy(), (left @ jacobian).numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        functional.jvp(function, point, right)[1].numpy(), (jacobian @ right).numpy(), rtol=1e-12
    )


def test_a_jacobian_vector_product_computes_no_jacobian(monkeypatch):
    visits = []
    apply = OperationNode.apply

    def counting_apply(node, grad, **options):
        visits.append(node.name())
        return apply(node, grad, **options)

    monkeypatch.setattr(OperationNode, "apply", counting_apply)
    counts = []
    for size in (3, 300):
        visits.clear()
        x = gradcli.ones(size)
        functional.jvp(lambda x: x.sin() * 2, x, x)
        counts.append(len(visits))
    assert counts[0] == counts[1] <= 10


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match=r"Expected strategy to be either .* Got: 'sideways'"):
        functional.jacobian(cubes, gradcli.ones(2), strategy="sideways")


def test_empty_inputs_and_outputs():
    assert tuple(functional.jacobian(lambda x: x * 2, gradcli.ones(0)).shape) == (0, 0)
    assert tuple(functional.jacobian(lambda x: x[:0], gradcli.ones(3)).shape) == (0, 3)


def test_inputs_of_single_precision_give_results_of_single_precision():
    x = gradcli.ones(2)
    assert functional.jacobian(cubes, x).dtype == gradcli.float32
    assert functional.hvp(lambda x: (x**3).sum(), x, x)[1].dtype == gradcli.float32
