"""SGD: the numbers of its formula, memory between steps, text, refusals; and PyTorch's, to rounding."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn, optim


def parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(gradcli.tensor(list(values)))


def step_with(optimizer: optim.SGD, gradients: dict[nn.Parameter, list[float] | None]) -> None:
    for target, gradient in gradients.items():
        target.grad = None if gradient is None else gradcli.tensor(gradient)
    optimizer.step()


# Three steps from 1 with gradients 1, 2, -1 and a learning rate of 0.1, worked out by hand.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.9, 0.7, 0.8]),
        ({"momentum": 0.5}, [0.9, 0.65, 0.625]),  # buffers 1, 2.5, 0.25
        ({"momentum": 0.5, "dampening": 0.5}, [0.9, 0.75, 0.725]),  # buffers 1, 1.5, 0.25: the first is not dampened
        ({"momentum": 0.5, "nesterov": True}, [0.85, 0.525, 0.6125]),  # moves by 1.5, 3.25, -0.875
        ({"weight_decay": 0.5}, [0.85, 0.6075, 0.677125]),  # gradients 1.5, 2.425, -0.69625
        ({"maximize": True}, [1.1, 1.3, 1.2]),
        ({"maximize": True, "weight_decay": 0.5}, [1.05, 1.1975, 1.037625]),  # decay still shrinks
    ],
)
def test_three_steps_by_hand(options, expected):
    weight = parameter(1.0)
    optimizer = optim.SGD([weight], lr=0.1, **options)
    found = []
    for gradient in (1.0, 2.0, -1.0):
        step_with(optimizer, {weight: [gradient]})
        found.append(weight.item())
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_update_is_in_place_and_leaves_the_gradient_alone():
    weight = parameter(1.0, 2.0)
    memory = weight.array
    optimizer = optim.SGD([weight], lr=0.5, momentum=0.9, weight_decay=0.1)
    step_with(optimizer, {weight: [1.0, 1.0]})
    assert weight.array is memory
    assert weight.grad.tolist() == [1, 1]
    assert weight.is_leaf
    assert weight.grad_fn is None


def test_parameters_without_gradient_are_skipped():
    moved, skipped = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([moved, skipped], lr=0.1, momentum=0.9, weight_decay=0.5)
    step_with(optimizer, {moved: [1.0], skipped: None})
    assert skipped.tolist() == [1]  # not even by weight decay
    assert skipped not in optimizer.state
    step_with(optimizer, {moved: None, skipped: [1.0]})
    assert moved.item() == pytest.approx(0.85)  # not even by momentum
    assert skipped.item() == pytest.approx(0.85)


def test_a_pause_keeps_the_momentum():
    weight = parameter(0.0)
    optimizer = optim.SGD([weight], lr=1, momentum=0.5)
    step_with(optimizer, {weight: [1.0]})
    weight.requires_grad_(False)
    step_with(optimizer, {weight: None})
    assert weight.item() == -1
    weight.requires_grad_(True)
    step_with(optimizer, {weight: [0.0]})
    assert weight.item() == -1.5


def test_without_momentum_nothing_is_remembered():
    weight = parameter(1.0)
    optimizer = optim.SGD([weight], lr=0.1)
    step_with(optimizer, {weight: [1.0]})
    assert optimizer.state == {}


def test_groups_have_options_of_their_own():
    slow, fast, late = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": slow}, {"params": [fast], "lr": 0.5, "weight_decay": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": [late], "maximize": True})
    step_with(optimizer, {slow: [1.0], fast: [1.0], late: [1.0]})
    assert [slow.item(), fast.item(), late.item()] == pytest.approx([0.9, 0, 1.1])
    optimizer.param_groups[0]["lr"] = 0.2
    step_with(optimizer, {slow: [1.0], fast: None, late: None})
    assert slow.item() == pytest.approx(0.7)


def test_named_parameters_are_taken_too():
    layer = nn.Linear(1, 1)
    optimizer = optim.SGD(layer.named_parameters(), lr=1)
    assert optimizer.param_groups[0]["params"] == [layer.weight, layer.bias]


def test_a_closure_computes_the_loss_with_gradients_on():
    weight = parameter(3.0)
    optimizer = optim.SGD([weight], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with gradcli.no_grad():
        assert optimizer.step(closure).item() == 9
    assert weight.item() == 1.5
    assert optimizer.step() is None


def test_channels_last_weights_and_gradients_of_another_memory_order():
    layer = nn.Conv2d(3, 4, 3, bias=False)
    before = layer.weight.array.copy()
    gradient = np.random.default_rng(0).normal(size=before.shape).astype(np.float32)
    optimizer = optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
    for _ in range(2):
        layer.weight.grad = gradcli.from_numpy(gradient)
        optimizer.step()
    np.testing.assert_allclose(layer.weight.array, before - 0.5 * gradient * (1 + 1.9), rtol=1e-5, atol=1e-6)


def test_text_is_the_tutorials():
    optimizer = optim.SGD([parameter(1.0)], lr=1e-2, momentum=0.95)
    assert repr(optimizer) == (
        "SGD (\n"
        "Parameter Group 0\n"
        "    dampening: 0\n"
        "    differentiable: False\n"
        "    foreach: None\n"
        "    fused: None\n"
        "    lr: 0.01\n"
        "    maximize: False\n"
        "    momentum: 0.95\n"
        "    nesterov: False\n"
        "    weight_decay: 0\n"
        ")"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"lr": float("nan")}, "Invalid learning rate: nan"),
        ({"momentum": -0.5}, "Invalid momentum value: -0.5"),
        ({"weight_decay": -2.0}, "Invalid weight_decay value: -2.0"),
        ({"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "Nesterov momentum requires a momentum and zero dampening",
        ),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError) as caught:
        optim.SGD([parameter(1.0)], **options)
    assert str(caught.value) == message


def test_recorded_steps_are_refused():
    with pytest.raises(NotImplementedError, match="differentiable=True"):
        optim.SGD([parameter(1.0)], differentiable=True)


# --- against PyTorch --------------------------------------------------------------------------------------------------

GRID = [
    {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
    | {"maximize": maximize}
    for lr, momentum, dampening, weight_decay, nesterov, maximize in itertools.product(
        (0.1, 1e-3), (0, 0.9), (0, 0.3), (0, 5e-4), (False, True), (False, True)
    )
    if not (nesterov and (momentum == 0 or dampening != 0))
]


def run_both(torch: Any, groups: list[dict[str, Any]], options: dict[str, Any], steps: int) -> tuple[Any, Any]:
    """(gradcli's, PyTorch's) values of all parameters after each of some steps with random gradients.

    The first parameter of each group sits out the second step; the last is frozen up to the third.
    """
    results = []
    for library in (gradcli, torch):
        generator = np.random.default_rng(0)
        made = [
            {
                **group,
                "params": [
                    library.nn.Parameter(library.from_numpy(generator.normal(size=shape).astype(group["dtype"])))
                    for shape in group["shapes"]
                ],
            }
            for group in groups
        ]
        for group in made:
            del group["shapes"], group["dtype"]
        tensors = [[*group["params"]] for group in made]
        optimizer = library.optim.SGD(made, **options)
        values = []
        for step in range(steps):
            for members in tensors:
                for position, member in enumerate(members):
                    gradient = generator.normal(size=tuple(member.shape)).astype(member.detach().numpy().dtype)
                    frozen = position == len(members) - 1 and step < 2
                    member.requires_grad_(not frozen)
                    absent = frozen or (position == 0 and step == 1)
                    member.grad = None if absent else library.from_numpy(gradient)
            optimizer.step()
            values.append([member.detach().numpy().copy() for members in tensors for member in members])
        results.append(values)
    return results[0], results[1]


@pytest.mark.parity
@pytest.mark.parametrize("options", GRID, ids=str)
def test_five_steps_are_pytorchs(options):
    torch = pytest.importorskip("torch")
    groups = [
        {"shapes": [(5,), (3, 4, 2, 2), (70_000,), (4,)], "dtype": np.float32},
        {"shapes": [(6,), (7,)], "dtype": np.float64, "lr": 0.05},
    ]
    found, expected = run_both(torch, groups, options, steps=5)
    for ours, theirs in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert ours.dtype == theirs.dtype
        # PyTorch fuses multiplications with additions where the processor can, which saves a rounding in each: by the
        # fifth step that makes up to two units in the last place of the largest value.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * np.spacing(np.abs(theirs).max()))


@pytest.mark.parity
def test_text_defaults_and_refusals_are_pytorchs():
    torch = pytest.importorskip("torch")
    for options in ({}, {"lr": 0.5, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}):
        ours = optim.SGD([parameter(1.0)], **options)
        theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], **options)
        assert repr(ours) == repr(theirs)
    for options in ({"lr": -1}, {"momentum": -1}, {"weight_decay": -1}, {"nesterov": True}):
        messages = []
        for library in (gradcli, torch):
            with pytest.raises(ValueError) as caught:
                library.optim.SGD([library.nn.Parameter(library.ones(1))], **options)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_a_step_that_fails_leaves_no_momentum_behind():
    parameter = gradcli.ones(2, requires_grad=True)
    optimizer = optim.SGD([parameter], lr=1, momentum=0.9)
    parameter.sum().backward()
    parameter.data = gradcli.ones(2, dtype=gradcli.float64)
    with pytest.raises(ValueError, match="float64"):
        optimizer.step()
    assert optimizer.state == {}


def test_a_group_moves_as_a_whole_or_not_at_all():
    first, second = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([first, second], lr=1, momentum=0.9)
    step_with(optimizer, {first: [1.0], second: None})
    first.grad, second.grad = gradcli.tensor([1.0]), gradcli.tensor([1.0])
    second.data = gradcli.ones(1, dtype=gradcli.float64)
    with pytest.raises(ValueError, match="float64"):
        optimizer.step()
    assert first.tolist() == [0]
    assert list(optimizer.state) == [first]


def test_a_measured_step_tells_how_far_everything_moved():
    first, second = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [first]}, {"params": [second], "lr": 2.0}], lr=0.5)
    first.grad, second.grad = gradcli.tensor([3.0]), gradcli.tensor([1.0])
    assert optimizer.measured_step() == pytest.approx(2.5)
    assert (first.tolist(), second.tolist()) == ([-0.5], [-1])


def test_loaded_state_takes_the_parameters_type_or_nothing_changes():
    parameter = gradcli.ones(1, requires_grad=True)
    optimizer = optim.SGD([parameter], lr=1, momentum=0.5)
    saved = optimizer.state_dict() | {"state": {0: {"momentum_buffer": gradcli.ones(1, dtype=gradcli.float64)}}}
    optimizer.load_state_dict(saved)
    parameter.sum().backward()
    optimizer.step()
    assert parameter.tolist() == [1 - 1.5]
    saved["param_groups"][0]["lr"] = 9
    with pytest.raises(ValueError, match="parameter 5 of 1"):
        optimizer.load_state_dict(saved | {"state": {5: {}}})
    assert optimizer.param_groups[0]["lr"] == 1


def test_zeroed_gradients_are_zero_for_everyone_who_holds_them():
    parameter = gradcli.ones(1, requires_grad=True)
    parameter.sum().backward()
    held = parameter.grad
    optim.SGD([parameter]).zero_grad(set_to_none=False)
    assert parameter.grad is held
    assert held.tolist() == [0]
