"""gradcli.func: functions that make derivatives of functions, nested as one likes, against PyTorch's torch.func."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli
from gradcli import func

programs = Programs()


def vector(torch, *values, **options):
    return torch.tensor(values or (1.0, 2.0, 3.0), dtype=torch.float64, **options)


def cubes(x):
    return x**3


def energy(x, w):
    return (x * x).sum() * w.sum() + (w**3).sum()


# --- grad -------------------------------------------------------------------------------------------------------------


@programs.gives([18.0, 36.0, 54.0])
def gradient_of_the_first_argument(torch):
    return torch.func.grad(energy)(vector(torch), vector(torch, 4.0, 5.0))


@programs.gives([[62.0, 89.0], [62.0]])
def gradient_of_another_argument(torch):
    gradient = torch.func.grad(energy, argnums=1)
    return gradient(vector(torch), vector(torch, 4.0, 5.0)), torch.func.grad(energy, -1)(
        vector(torch), vector(torch, 4.0)
    )


@programs.gives([[18.0, 36.0, 54.0], [62.0, 89.0]])
def gradients_of_several_arguments(torch):
    return torch.func.grad(energy, argnums=(0, 1))(vector(torch), vector(torch, 4.0, 5.0))


@programs.gives([[62.0, 89.0]])
def a_tuple_of_one_argument(torch):
    return torch.func.grad(energy, argnums=(1,))(vector(torch), vector(torch, 4.0, 5.0))


@programs.gives([[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]])
def with_something_beside_the_scalar(torch):
    def with_note(x):
        return (x**2).sum(), {"doubled": x * 2}

    gradient, beside = torch.func.grad(with_note, has_aux=True)(vector(torch))
    return gradient, beside["doubled"]


@programs.gives([[18.0, 36.0, 54.0], 315.0, False, False])
def with_the_value(torch):
    gradient, value = torch.func.grad_and_value(energy)(vector(torch), vector(torch, 4.0, 5.0))
    return gradient, value, gradient.requires_grad, value.requires_grad


@programs.gives([[2.0, 4.0, 6.0], [14.0, [2.0, 4.0, 6.0]]])
def with_the_value_and_something_beside(torch):
    return torch.func.grad_and_value(lambda x: ((x**2).sum(), x * 2), has_aux=True)(vector(torch))


@programs.gives([4.0, 32.0, 108.0])
def with_keyword_arguments(torch):
    return torch.func.grad(lambda x, *, power: (x**power).sum())(vector(torch), power=4)


@programs.gives([32.0, 48.0, 48.0, 24.0])
def orders_of_a_power(torch):
    function, orders = (lambda x: x**4), []
    for _ in range(4):
        function = torch.func.grad(function)
        orders.append(function(torch.tensor(2.0)))
    return orders


@programs.gives([36.0, 288.0, 972.0])
def a_gradient_inside_of_a_function(torch):
    def penalty(x):
        return (torch.func.grad(lambda y: (y**3).sum())(x) ** 2).sum()

    return torch.func.grad(penalty)(vector(torch))


@programs.gives([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def of_what_does_not_depend_on_the_argument(torch):
    return torch.func.grad(lambda x: (x.detach() * 2).sum())(vector(torch)), torch.func.grad(
        lambda x, w: (w * 2).sum()
    )(vector(torch), vector(torch))


@programs.gives([None, True, [2.0, 4.0, 6.0]])
def the_arguments_stay_as_they_are(torch):
    x = vector(torch, requires_grad=True)
    gradient = torch.func.grad(lambda x: (x**2).sum())(x)
    return x.grad, x.is_leaf, gradient


@programs.gives([True, [6.0, 12.0, 18.0]])
def results_stay_in_the_graph_of_an_argument(torch):
    x = vector(torch, requires_grad=True)
    gradient = torch.func.grad(lambda x: (x**3).sum())(x)
    gradient.sum().backward()
    return gradient.requires_grad, x.grad


@programs.gives([[2.0, 8.0, 18.0], [2.0, 4.0, 6.0]])
def results_stay_in_the_graph_of_what_the_function_uses(torch):
    w = vector(torch, requires_grad=True)
    gradient = torch.func.grad(lambda x: (x**2 * w).sum())(vector(torch))
    gradient.sum().backward()
    return gradient, w.grad


@programs.gives([[2.0, 4.0, 6.0], False, True])
def under_no_grad(torch):
    with torch.no_grad():
        gradient = torch.func.grad(lambda x: (x**2).sum())(vector(torch))
    return gradient, gradient.requires_grad, torch.is_grad_enabled()


# --- products and matrices --------------------------------------------------------------------------------------------


@programs.gives([[1.0, 8.0, 27.0], [[3.0, 120.0, 2700.0]], [[3.0, 0.0, 0.0]]])
def products_with_a_vector_from_the_left(torch):
    value, product = torch.func.vjp(cubes, vector(torch))
    return value, product(vector(torch, 1.0, 10.0, 100.0)), product(vector(torch, 1.0, 0.0, 0.0))


@programs.gives([[[4.0, 10.0, 18.0], 6.0], [[11.0, 57.0, 607.0], [1.0, 20.0, 300.0]]])
def of_several_arguments_and_results(torch):
    value, product = torch.func.vjp(lambda x, w: (x * w, x.sum()), vector(torch), vector(torch, 4.0, 5.0, 6.0))
    return value, product((vector(torch, 1.0, 10.0, 100.0), vector(torch, 7.0)[0]))


@programs.gives([[1.0, 4.0, 9.0], [[2.0, 4.0, 6.0]], [2.0, 3.0, 4.0]])
def from_the_left_with_something_beside(torch):
    value, product, beside = torch.func.vjp(lambda x: (x**2, x + 1), vector(torch), has_aux=True)
    return value, product(vector(torch, 1.0, 1.0, 1.0)), beside


@programs.gives([[1.0, 8.0, 27.0], [3.0, 120.0, 2700.0]])
def products_with_a_vector_from_the_right(torch):
    return torch.func.jvp(cubes, (vector(torch),), (vector(torch, 1.0, 10.0, 100.0),))


@programs.gives([315.0, 481.0])
def from_the_right_with_several_arguments(torch):
    arguments = vector(torch), vector(torch, 4.0, 5.0)
    return torch.func.jvp(energy, arguments, (vector(torch, 1.0, -1.0, 2.0), vector(torch, 2.0, 3.0)))


@programs.gives([[[3.0, 0.0], [0.0, 12.0]], [[3.0, 0.0], [0.0, 12.0]]])
def jacobians(torch):
    x = vector(torch, 1.0, 2.0)
    return torch.func.jacrev(cubes)(x), torch.func.jacfwd(cubes)(x)


@programs.gives(
    [
        [[9.0, 0.0], [0.0, 9.0]],
        [[1.0, 1.0], [2.0, 2.0]],
        [[[9.0, 0.0], [0.0, 9.0]], [[1.0, 1.0], [2.0, 2.0]]],
        [[9.0, 0.0], [0.0, 9.0]],
        [[1.0, 1.0], [2.0, 2.0]],
        [[[9.0, 0.0], [0.0, 9.0]], [[1.0, 1.0], [2.0, 2.0]]],
    ]
)
def jacobians_of_some_arguments(torch):
    def function(x, w):
        return x * w.sum()

    x, w = vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0)
    return [
        jacobian(function, argnums=argnums)(x, w)
        for jacobian in (torch.func.jacrev, torch.func.jacfwd)
        for argnums in (0, 1, (0, 1))
    ]


@programs.gives([[[[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]], [[[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]]])
def jacobians_of_several_results(torch):
    return [
        jacobian(lambda x: (x**2, x.sum()))(vector(torch, 1.0, 2.0))
        for jacobian in (torch.func.jacrev, torch.func.jacfwd)
    ]


@programs.gives([[[18.0, 0.0], [0.0, 18.0]], [[24.0, 0.0], [0.0, 30.0]]])
def hessians(torch):
    x, w = vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0)
    return torch.func.hessian(energy)(x, w), torch.func.hessian(energy, argnums=1)(x, w)


@programs.gives(
    [[[[18.0, 0.0], [0.0, 18.0]], [[2.0, 2.0], [4.0, 4.0]]], [[[2.0, 4.0], [2.0, 4.0]], [[24.0, 0.0], [0.0, 30.0]]]]
)
def a_hessian_of_several_arguments(torch):
    return torch.func.hessian(energy, argnums=(0, 1))(vector(torch, 1.0, 2.0), vector(torch, 4.0, 5.0))


@programs.gives(
    [
        [[24.0, 36.0], [36.0, 48.0]],
        [[24.0, 36.0], [36.0, 48.0]],
        [[24.0, 36.0], [36.0, 48.0]],
        [[24.0, 36.0], [36.0, 48.0]],
        [[24.0, 36.0], [36.0, 48.0]],
    ]
)
def every_way_to_a_hessian(torch):
    x = vector(torch, 1.0, 2.0)
    f = torch.func

    def function(x):
        return (x**3).sum() * x.prod()

    return [
        f.jacrev(f.grad(function))(x),
        f.jacfwd(f.grad(function))(x),
        f.jacrev(f.jacrev(function))(x),
        f.jacfwd(f.jacrev(function))(x),
        f.hessian(function)(x),
    ]


@programs.gives([[24.0, 33.0], [-12.0, -12.0]])
def a_product_with_the_hessian(torch):
    def function(x):
        return (x**3).sum() * x.prod()

    return torch.func.jvp(torch.func.grad(function), (vector(torch, 1.0, 2.0),), (vector(torch, 1.0, -1.0),))


# --- what is refused --------------------------------------------------------------------------------------------------

programs.refusals(
    {
        "gradient of many results": (
            lambda torch: torch.func.grad(cubes)(vector(torch)),
            RuntimeError,
            "to return a scalar [Tt]ensor.*, got a? ?tensor",
        ),
        "gradient of no tensor": (
            lambda torch: torch.func.grad(lambda x: 3.0)(vector(torch)),
            RuntimeError,
            "to return a .*[Tt]ensor.*, got .*float",
        ),
        "argument that isn't there": (
            lambda torch: torch.func.grad(energy, argnums=2)(vector(torch), vector(torch)),
            RuntimeError,
            "Got argnum=2, but only 2 positional inputs",
        ),
    }
)


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@programs.each
def test_parity(program):
    torch = pytest.importorskip("torch")
    program.check(torch)


@pytest.mark.parametrize("name", func.__all__)
def test_every_function_is_there_and_documented(name):
    assert getattr(gradcli.func, name).__doc__


def test_what_an_output_does_not_depend_on_has_a_gradient_of_zero_at_infinity_too():
    x, far = gradcli.ones(2), gradcli.tensor([float("inf"), float("nan")])
    _, product = func.vjp(lambda x, y: x * 2, x, far)
    assert [share.tolist() for share in product(gradcli.ones(2))] == [[2.0, 2.0], [0.0, 0.0]]
    assert func.grad(lambda x: gradcli.tensor(3.0))(far).tolist() == [0.0, 0.0]
