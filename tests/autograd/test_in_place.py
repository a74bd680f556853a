"""Operations in place: values, history and gradients of what was changed, and what is refused."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# --- history and gradients --------------------------------------------------------------------------------------------


@programs.gives([True, True, True, True, True])
def the_tensor_itself_is_returned(torch):
    x = leaf(torch) * 1
    return x.mul_(2) is x, x.add_(1) is x, x.copy_(torch.ones(3)) is x, x.zero_() is x, x.fill_(1.0) is x


@programs.gives(
    [["MulBackward0", "MulBackward0", "AddBackward0", "ExpBackward0", "PowBackward0", "NegBackward0"], False, True]
)
def the_tensor_has_the_history_of_its_new_values(torch):
    x = leaf(torch) * 1
    names = [x.grad_fn.name()]
    for change in (lambda: x.mul_(2), lambda: x.add_(1), x.exp_, lambda: x.pow_(2), x.neg_):
        change()
        names.append(x.grad_fn.name())
    return names, x.is_leaf, x.requires_grad


@programs.gives(True)
def its_edges_lead_to_what_it_was(torch):
    x = leaf(torch).exp()
    before = x.grad_fn
    x.mul_(2)
    return x.grad_fn.next_functions[0][0] is before


@programs.gives([[-0.5, -2.5, -5.5], [-1.5, -2.5, -3.5]])
def a_chain_of_changes(torch):
    x = leaf(torch)
    y = x * 1
    y.mul_(x).add_(x).sub_(1).div_(2).neg_()
    y.sum().backward()
    return y, x.grad


@programs.gives([[False, True], True, False, "AddBackward0", [1.0, 1.0, 1.0]])
def a_tensor_that_required_none_requires_grad_after(torch):
    total = torch.zeros(3)
    x = leaf(torch)
    before = total.requires_grad, total.is_leaf
    total.add_(x)
    total.sum().backward()
    return before, total.requires_grad, total.is_leaf, total.grad_fn, x.grad


@programs.gives([14.0, [2.0, 4.0, 6.0]])
def a_sum_in_a_loop(torch):
    x = leaf(torch)
    total = torch.zeros(())
    for part in x:
        total += part * part
    total.backward()
    return total, x.grad


@programs.gives([True, [9.0, 12.25, 13.44444465637207], [24.0, 14.0, 9.777777671813965]])
def operators_with_assignment(torch):
    x = leaf(torch)
    y = x * 1
    same = y
    y += x
    y -= 0.5
    y *= 2
    y /= x.detach()
    y **= 2
    y.sum().backward()
    return y is same, y, x.grad


@programs.gives([6.0, "AddBackward0"])
def an_operator_with_assignment_on_a_number(torch):
    total = 0
    for part in leaf(torch):
        total += part
    return total, total.grad_fn


@programs.gives([[2.0, 4.0, 6.0], [2.0, 2.0, 2.0]])
def itself_as_both_operands_of_a_sum(torch):
    x = leaf(torch)
    y = x * 1
    y.add_(y)
    y.sum().backward()
    return y, x.grad


@programs.raises(RuntimeError, "modified by an inplace operation")
def itself_as_both_operands_of_a_product(torch):
    y = leaf(torch) * 1
    y.mul_(y)
    y.sum().backward()


@programs.gives([[1.0, 4.0, 9.0], [0.0, 1.0, 3.0, 5.0]])
def itself_as_both_operands_without_a_graph(torch):
    y = torch.tensor([1.0, 2.0, 3.0])
    y.mul_(y).add_(y).sub_(y * 0.5)
    z = torch.arange(4.0)
    z[1:] += z[:-1].clone()
    return y, z


@programs.gives([[3.0, 5.0, 7.0], [20.0, 40.0, 60.0], [22.0, 22.0, 22.0]])
def what_used_the_former_values_keeps_its_gradient(torch):
    x = leaf(torch)
    y = x * 2
    earlier = y + 1
    y.mul_(10)
    (earlier.sum() + y.sum()).backward()
    return earlier, y, x.grad


@programs.gives([3.638256072998047, 7.813260555267334, 20.384078979492188])
def an_operation_that_needs_its_result_has_it(torch):
    x = leaf(torch)
    y = x * 1
    y.exp_()
    z = (x * 1).sqrt_()
    w = (x * 1).tanh_()
    (y + z + w).sum().backward()
    return x.grad


@programs.gives([5.540302276611328, 15.583852767944336, 32.010005950927734])
def an_operation_that_needs_its_argument_keeps_it(torch):
    x = leaf(torch)
    y = (x * 1).sin_()
    z = (x * 1).pow_(3)
    w = (x * 1).mul_(x)
    (y + z + w).sum().backward()
    return x.grad


@programs.gives([[4.0, 32.0, 108.0], [12.0, 48.0, 108.0]])
def twice_differentiable(torch):
    x = leaf(torch)
    y = (x * 1).pow_(3).mul_(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return first, second


@programs.gives([[[7.0, 9.0, 11.0], [7.0, 9.0, 11.0]], [4.0, 4.0, 4.0], [12.0], [6.0]])
def broadcasting_of_the_operand(torch):
    x, row, number = leaf(torch), leaf(torch, 2.0), leaf(torch, 5.0)
    y = x.expand(2, 3) * 1
    y.mul_(row).add_(number * 1)
    y.sum().backward()
    return y, x.grad, row.grad, number.grad


@programs.gives(
    [
        "torch.float32",
        "torch.float32",
        "torch.float32",
        "torch.int64",
        "torch.int64",
        "torch.float32",
        [1, -1],
        "torch.int64",
    ]
)
def types_of_operands(torch):
    x = torch.ones(2)
    whole = torch.ones(2, dtype=torch.int64)
    return [
        x.mul_(2).dtype,
        x.add_(torch.ones(2, dtype=torch.float64)).dtype,
        x.mul_(whole).dtype,
        whole.add_(2).dtype,
        whole.mul_(torch.tensor(True)).dtype,
        x.copy_(whole).dtype,
        whole.copy_(torch.tensor([1.7, -1.7])),
        whole.dtype,
    ]


@programs.gives(["torch.float32", [3.0, 3.0], "torch.float64"])
def gradients_of_operands_of_another_type(torch):
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.ones(2) * leaf(torch, 3.0)
    y.mul_(x)
    y.sum().backward()
    return y.dtype, x.grad, x.grad.dtype


# --- where nothing is recorded ----------------------------------------------------------------------------------------


@programs.gives([[7.0, 0.0, 0.0], True, True, None, 4])
def a_leaf_under_no_grad(torch):
    x = leaf(torch)
    with torch.no_grad():
        x -= 0.5
        x.mul_(2)
        x[0] = 7.0
        x[1:].zero_()
    return x, x.is_leaf, x.requires_grad, x.grad_fn, x._version


@programs.gives([[0.25, 0.5, 0.75], [0.0, 0.0, 0.0]])
def a_step_of_gradient_descent(torch):
    x = leaf(torch)
    for _ in range(2):
        (x * x).sum().backward()
        with torch.no_grad():
            x -= 0.25 * x.grad
        x.grad.zero_()
    return x, x.grad


@programs.gives([[200.0, 300.0, 400.0], "AddBackward0", [1.0, 1.0, 1.0]])
def a_non_leaf_under_no_grad_keeps_its_history(torch):
    x = leaf(torch)
    y = x + 1
    with torch.no_grad():
        y.mul_(100)
    y.sum().backward()
    return y, y.grad_fn, x.grad


@programs.gives([[3.0, 5.0, 7.0], True])
def a_leaf_through_detach(torch):
    x = leaf(torch)
    x.detach().mul_(2)
    x.data.add_(1)
    return x, x.requires_grad


# --- kept gradients, hooks, detach_ -----------------------------------------------------------------------------------


@programs.gives([[40.0, 80.0, 120.0], [800.0, 1600.0, 2400.0], True])
def a_kept_gradient_is_that_of_the_new_values(torch):
    x = leaf(torch)
    y = x * 2
    y.retain_grad()
    y.mul_(10)
    (y * y).sum().backward()
    return y.grad, x.grad, y.retains_grad


@programs.gives([[1.0, 1.0, 1.0], [10.0, 10.0, 10.0]])
def a_hook_stays_with_the_former_values(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.mul_(10)
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.sum().backward()
    return seen


@programs.gives([[40.0, 8.0, 12.0], [800.0, 16.0, 24.0], True])
def a_kept_gradient_of_a_base_after_a_change_of_a_part(torch):
    x = leaf(torch)
    y = x * 2
    y.retain_grad()
    y[0].mul_(10)
    (y * y).sum().backward()
    return y.grad, x.grad, y.retains_grad


@programs.gives([True, False, None, True, None, [2.0, 4.0, 6.0]])
def detach_in_place(torch):
    x = leaf(torch)
    y = x * 2
    result = y.detach_()
    return result is y, y.requires_grad, y.grad_fn, y.is_leaf, (y * x).sum().backward(), x.grad


@programs.gives([False, [2.0, 4.0, 6.0]])
def detach_in_place_of_a_leaf(torch):
    x = leaf(torch)
    x.detach_()
    return x.requires_grad, x.mul_(2)


# --- requires_grad_ ---------------------------------------------------------------------------------------------------


@programs.gives([True, True, True, False])
def requires_grad_is_set_in_place(torch):
    x = torch.ones(2)
    same = x.requires_grad_() is x
    y = x * 2
    return same, x.requires_grad, y.requires_grad_().requires_grad, x.requires_grad_(False).requires_grad


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
