"""Gradients that need what memory held before it was changed in place are refused; others are not."""

from __future__ import annotations

import re

import pytest
from programs import Programs

import gradcli
from gradcli.autograd import versions

programs = Programs()


def gradient_after(torch, function, change, of="argument"):
    """The gradient of a function after its argument, or its result, was changed in place."""
    leaf = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    argument = leaf * 1
    result = function(argument)
    change(argument if of == "argument" else result)
    result.sum().backward()
    return leaf.grad


def double(x):
    return x.mul_(2)


def double_a_view(x):
    return x[0].mul_(2)


def double_detached(x):
    return x.detach().mul_(2)


def double_transposed(x):
    return x.t().mul_(2)


CHANGED = "one of the variables needed for gradient computation has been modified by an inplace operation: "
NEEDS_ARGUMENT = {
    "mul": lambda x: x * x,
    "pow": lambda x: x**2,
    "sin": lambda x: x.sin(),
    "log": lambda x: x.log(),
    "matmul": lambda x: x @ x,
    "abs": lambda x: x.abs(),
    "reciprocal": lambda x: x.sin() / x,
}
NEEDS_RESULT = {
    "exp": lambda x: x.exp(),
    "sqrt": lambda x: x.sqrt(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "relu": lambda x: x.relu(),
    "softmax": lambda x: x.softmax(0),
    "rsqrt": lambda x: x.rsqrt(),
}
for change in (double, double_a_view, double_detached, double_transposed):
    programs.refusals(
        {
            f"{change.__name__}_the_argument_of_{name}": (
                lambda torch, function=function, change=change: gradient_after(torch, function, change),
                RuntimeError,
                CHANGED
                + r"\[torch.FloatTensor \[2, 2\]\], which is output 0 of .*, is at version 1; expected version 0",
            )
            for name, function in NEEDS_ARGUMENT.items()
        }
    )
programs.refusals(
    {
        f"{change.__name__}_the_result_of_{name}": (
            lambda torch, function=function, change=change: gradient_after(torch, function, change, "result"),
            RuntimeError,
            CHANGED + r"\[torch.FloatTensor \[2, 2\]\], which is output 0 of .*, is at version 1; expected version 0",
        )
        for change in (double_detached,)
        for name, function in NEEDS_RESULT.items()
    }
)
programs.results(
    {
        f"{of}_of_{name}_is_not_needed": (
            lambda torch, function=function, of=of: gradient_after(torch, function, double_detached, of),
            expected,
        )
        for of, name, function, expected in [
            ("argument", "add", lambda x: x + x, [[2.0, 2.0], [2.0, 2.0]]),
            ("argument", "mul by a number", lambda x: x * 3, [[3.0, 3.0], [3.0, 3.0]]),
            ("argument", "neg", lambda x: -x, [[-1.0, -1.0], [-1.0, -1.0]]),
            ("argument", "sum", lambda x: x.sum(0), [[1.0, 1.0], [1.0, 1.0]]),
            ("argument", "exp", lambda x: x.exp(), [[2.7182817, 7.3890562], [20.085537, 54.598148]]),
            ("argument", "sqrt", lambda x: x.sqrt(), [[0.5, 0.3535534], [0.2886751, 0.25]]),
            ("argument", "relu", lambda x: x.relu(), [[1.0, 1.0], [1.0, 1.0]]),
            ("argument", "clone", lambda x: x.clone(), [[1.0, 1.0], [1.0, 1.0]]),
            ("argument", "mean", lambda x: x.mean(), [[0.25, 0.25], [0.25, 0.25]]),
            ("argument", "views", lambda x: x.flatten().reshape(4, 1).t().clone(), [[1.0, 1.0], [1.0, 1.0]]),
            ("result", "mul", lambda x: x * x, [[2.0, 4.0], [6.0, 8.0]]),
            ("result", "pow", lambda x: x**2, [[2.0, 4.0], [6.0, 8.0]]),
            ("result", "sin", lambda x: x.sin(), [[0.54030234, -0.41614684], [-0.9899925, -0.6536436]]),
            ("result", "matmul", lambda x: x @ x, [[7.0, 11.0], [9.0, 13.0]]),
            ("result", "add", lambda x: x + 1, [[1.0, 1.0], [1.0, 1.0]]),
        ]
    }
)


@programs.gives([3.0, 3.0])
def only_what_the_gradients_need_is_checked(torch):
    leaf, frozen = torch.ones(2, requires_grad=True), torch.ones(2)
    argument = leaf * 3
    result = argument * frozen
    argument.detach().mul_(2)
    result.sum().backward()
    return leaf.grad


@programs.raises(RuntimeError, CHANGED + r"\[torch.FloatTensor \[2\]\] is at version 2; expected version 1 instead")
def a_leaf_is_not_said_to_be_the_output_of_anything(torch):
    leaf, frozen = torch.ones(2, requires_grad=True), torch.ones(2)
    frozen.add_(1)
    result = leaf * frozen
    frozen.add_(1)
    result.sum().backward()


@programs.raises(
    RuntimeError, CHANGED + r"\[torch.DoubleTensor \[3, 1\]\], which is output 0 of .* is at version 3; exp"
)
def type_shape_and_versions_are_told(torch):
    leaf = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    middle = leaf * 1
    middle.add_(1)
    result = middle.sin()
    middle.add_(1)
    middle.add_(1)
    result.sum().backward()


@programs.raises(
    RuntimeError, CHANGED + r"\[torch.FloatTensor \[\]\], which is output 0 of .* is at version 1; expected"
)
def of_0d_too(torch):
    middle = torch.tensor(2.0, requires_grad=True) * 1
    result = middle.sin()
    middle.add_(1)
    result.backward()


@programs.raises(RuntimeError, CHANGED + r"\[torch.LongTensor \[1\]\] is at version 1; expected version 0 instead")
def an_index_that_was_changed_is_refused(torch):
    index = torch.tensor([0])
    result = torch.ones(2, requires_grad=True)[index]
    index.add_(1)
    result.sum().backward()


@programs.raises(
    RuntimeError, r"\[torch.FloatTensor \[2\]\], which is output 0 of Max.* is at version 1; expected version 0"
)
def of_several_results_too(torch):
    values, _ = (torch.ones(2, 2, requires_grad=True) * 1).max(0)
    result = values.sin()
    values.detach().add_(1)
    result.sum().backward()


@programs.raises(RuntimeError, "modified by an inplace operation")
def a_leaf_changed_under_no_grad_is_stale_too(torch):
    leaf = torch.ones(2, requires_grad=True)
    result = leaf * leaf
    with torch.no_grad():
        leaf.sub_(0.1)
    result.sum().backward()


@programs.gives([20.0, 40.0])
def what_is_changed_through_data_is_not_noticed(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    result = leaf * leaf
    leaf.data.mul_(10)
    result.sum().backward()
    return leaf.grad


@programs.gives([[32.0, 64.0], 2])
def changes_before_are_no_changes_since(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    middle = (leaf * 1).mul_(2).mul_(2)
    (middle * middle).sum().backward()
    return leaf.grad, middle._version


@programs.raises(RuntimeError, "modified by an inplace operation")
def a_change_between_two_passes_is_noticed(torch):
    leaf = torch.ones(2, requires_grad=True)
    middle = leaf * 1
    result = (middle * middle).sum()
    result.backward(retain_graph=True)
    middle.detach().mul_(2)
    result.backward()


@programs.raises(RuntimeError, "modified by an inplace operation")
def a_gradient_that_was_changed_is_stale_in_its_own_graph(torch):
    leaf = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad((leaf**3).sum(), leaf, create_graph=True)
    result = gradient * gradient
    gradient.detach().zero_()
    result.sum().backward()


@programs.raises(RuntimeError, "modified by an inplace operation")
def create_graph_checks_too(torch):
    leaf = torch.ones(2, requires_grad=True)
    middle = leaf * 1
    result = (middle**3).sum()
    middle.detach().mul_(2)
    torch.autograd.grad(result, leaf, create_graph=True)


@programs.gives(True)
def a_change_that_is_itself_recorded_brings_its_own_history(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    middle = leaf.exp()
    middle.mul_(middle.detach() * 0 + 2)
    try:
        middle.sum().backward()
    except RuntimeError as error:
        return "modified by an inplace operation" in str(error)
    return leaf.grad


@programs.raises(RuntimeError, "modified by an inplace operation")
def the_places_of_an_assignment_are_needed(torch):
    x = torch.ones(3, requires_grad=True) * 1
    places = torch.tensor([0, 1])
    x[places] = 5.0
    places.zero_()
    x.sum().backward()


@programs.raises(RuntimeError, "Trying to backward through the graph a second time")
def an_assignment_is_freed(torch):
    x = torch.ones(3, requires_grad=True) * 1
    x[torch.tensor([0])] = 5.0
    x.sum().backward(retain_graph=True)
    x.sum().backward()
    x.sum().backward()


@programs.raises(RuntimeError, "Trying to backward through the graph a second time")
def a_change_of_a_part_is_freed(torch):
    x = torch.ones(3, requires_grad=True) * 1
    x[0] = 5.0
    x.sum().backward()
    x.sum().backward()


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


@pytest.mark.parametrize(
    ("function", "node", "needed_by"),
    [
        (lambda x: x.sin(), "MulBackward0", "SinBackward0"),
        (lambda x: x.log(), "MulBackward0", "LogBackward0"),
        (lambda x: x @ x, "MulBackward0", "MmBackward0"),
    ],
)
def test_the_operation_that_needs_it_is_named_too(function, node, needed_by):
    with pytest.raises(RuntimeError, match=re.escape(f"output 0 of {node}, is at version 1")) as caught:
        gradient_after(gradcli, function, double)
    assert f"It is needed by {needed_by}" in str(caught.value)


def test_the_expected_version_after_more_changes_than_are_remembered():
    leaf, frozen = gradcli.ones(2, requires_grad=True), gradcli.ones(2)
    result = leaf * frozen
    for _ in range(versions.MOST_REMEMBERED + 10):
        frozen.add_(1)
    with pytest.raises(RuntimeError, match=f"at version {versions.MOST_REMEMBERED + 10}; expected version"):
        result.sum().backward()


@pytest.mark.parametrize("view", [False, True])
def test_an_interrupted_change_is_a_change(monkeypatch, view):
    x = gradcli.ones(2, requires_grad=True) * 1
    square = x * x
    target = x[:] if view else x

    def interrupted(function, memory, values, **options):
        function(memory, values, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr("gradcli.autograd.in_place.quietly", interrupted)
    with pytest.raises(KeyboardInterrupt):
        target.mul_(2)
    monkeypatch.undo()
    assert x.tolist() == [2.0, 2.0]
    assert x._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()
