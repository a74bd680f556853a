"""Adam: numbers, state, steps sat out, text, refusals, and states that go to PyTorch and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn, optim


def parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(gradcli.tensor(list(values)))


def step_with(optimizer: optim.Optimizer, gradients: dict[nn.Parameter, list[float] | None]) -> None:
    for target, gradient in gradients.items():
        target.grad = None if gradient is None else gradcli.tensor(gradient)
    optimizer.step()


# Two steps from 1 with gradients 1, then 2; lr 0.1, betas (0.5, 0.5), eps 0, worked out by hand.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.9, 0.9 - 0.1 * (1.25 / 0.75) / (2.25 / 0.75) ** 0.5]),  # m 0.5, 1.25; v 0.5, 2.25
        ({"maximize": True}, [1.1, 1.1 + 0.1 * (1.25 / 0.75) / (2.25 / 0.75) ** 0.5]),
        ({"weight_decay": 1.0}, [0.9, 0.9 - 0.1 * (1.95 / 0.75) / ((1 + 4.205) / 0.75) ** 0.5]),  # gradients 2, 2.9
    ],
)
def test_two_steps_by_hand(options, expected):
    weight = parameter(1.0)
    optimizer = optim.Adam([weight], lr=0.1, betas=(0.5, 0.5), eps=0.0, **options)
    found = []
    for gradient in (1.0, 2.0):
        step_with(optimizer, {weight: [gradient]})
        found.append(weight.item())
    assert found == pytest.approx(expected, rel=1e-6)


def test_amsgrad_divides_by_the_largest_square():
    weight = parameter(0.0)
    optimizer = optim.Adam([weight], lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=True)
    for gradient, largest in ((4.0, 8.0), (1.0, 8.0), (8.0, 34.25)):
        step_with(optimizer, {weight: [gradient]})
        assert optimizer.state[weight]["max_exp_avg_sq"].item() == pytest.approx(largest)
    assert optimizer.state[weight]["exp_avg_sq"].item() == pytest.approx(34.25)


def test_the_state_has_pytorchs_names_and_the_parameters_memory_order():
    layer = nn.Conv2d(2, 3, 3, bias=False)
    optimizer = optim.Adam(layer.parameters())
    layer.weight.grad = gradcli.ones(3, 2, 3, 3)
    optimizer.step()
    state = optimizer.state[layer.weight]
    assert list(state) == ["step", "exp_avg", "exp_avg_sq"]
    assert (state["step"].dtype, state["step"].item()) == (gradcli.float32, 1)
    assert state["exp_avg"].array.strides == layer.weight.array.strides


def test_parameters_that_sit_out_count_their_own_steps():
    always, sometimes = parameter(0.0), parameter(0.0)
    optimizer = optim.Adam([always, sometimes], lr=0.5)
    step_with(optimizer, {always: [1.0], sometimes: None})
    assert sometimes not in optimizer.state
    step_with(optimizer, {always: [1.0], sometimes: [3.0]})
    assert [optimizer.state[one]["step"].item() for one in (always, sometimes)] == [2, 1]
    assert [always.item(), sometimes.item()] == pytest.approx([-1.0, -0.5])


def test_groups_have_options_of_their_own():
    slow, fast = parameter(0.0), parameter(0.0)
    optimizer = optim.Adam([{"params": slow}, {"params": fast, "lr": 0.5, "betas": (0.5, 0.5)}], lr=0.1)
    step_with(optimizer, {slow: [7.0], fast: [7.0]})
    assert [slow.item(), fast.item()] == pytest.approx([-0.1, -0.5])


def test_a_measured_step_tells_how_far_everything_moved():
    weight = parameter(0.0, 0.0)
    weight.grad = gradcli.tensor([3.0, -2.0])
    assert optim.Adam([weight], lr=0.5).measured_step() == pytest.approx(0.5 * 2**0.5)


def test_a_step_that_fails_is_not_remembered():
    good, bad = parameter(1.0), parameter(1.0)
    optimizer = optim.Adam([good, bad])
    good.grad, bad.grad = gradcli.ones(1), gradcli.ones(1)
    bad.array = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="but the parameter is"):
        optimizer.step()
    assert optimizer.state == {}
    assert good.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"eps": -1.0}, "Invalid epsilon value: -1.0"),
        ({"betas": (1.0, 0.5)}, "Invalid beta parameter at index 0: 1.0"),
        ({"betas": (0.5, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ({"weight_decay": -2.0}, "Invalid weight_decay value: -2.0"),
    ],
)
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_options_that_make_no_sense(kind, options, message):
    with pytest.raises(ValueError) as caught:
        kind([parameter(1.0)], **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_recorded_steps_are_refused(kind):
    with pytest.raises(NotImplementedError, match=f"^{kind.__name__} steps"):
        kind([parameter(1.0)], differentiable=True)


# --- against PyTorch --------------------------------------------------------------------------------------------------


def members_of(library: Any, seed: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    shapes = [(5,), (3, 4, 2, 2), (7, 6)]
    return [
        library.nn.Parameter(library.from_numpy(generator.normal(size=shape).astype(np.float32))) for shape in shapes
    ]


def train(library: Any, optimizer: Any, steps: int, seed: int) -> None:
    """Steps with random gradients; the first parameter of all sits out every third one."""
    generator = np.random.default_rng(seed)
    members = [member for group in optimizer.param_groups for member in group["params"]]
    for step in range(steps):
        for member in members:
            gradient = generator.normal(size=tuple(member.shape)).astype(np.float32)
            member.grad = None if member is members[0] and step % 3 == 0 else library.from_numpy(gradient)
        optimizer.step()


OPTIONS = [
    {"lr": 0.01},
    {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True},
    {"lr": 0.01, "betas": (0.3, 0.7), "maximize": True},
]


def optimizers_of(kind: str, options: dict[str, Any], seed: int = 0) -> dict[Any, Any]:
    """The same optimizer of both libraries, with two groups."""
    torch = pytest.importorskip("torch")
    return {
        library: getattr(library.optim, kind)(
            [{"params": members[:1]}, {"params": members[1:], "lr": 0.003}], **options
        )
        for library in (gradcli, torch)
        if (members := members_of(library, seed))
    }


def assert_equal_parameters(optimizers: Any) -> None:
    ours, theirs = (
        [member.detach().numpy() for group in optimizer.param_groups for member in group["params"]]
        for optimizer in optimizers
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2 * np.spacing(np.abs(other).max()))


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_thirty_steps_are_pytorchs(kind, options):
    optimizers = optimizers_of(kind, options)
    for library, optimizer in optimizers.items():
        train(library, optimizer, steps=30, seed=1)
    assert_equal_parameters(optimizers.values())


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_states_go_to_pytorch_and_back(kind, options):
    torch = pytest.importorskip("torch")
    start = optimizers_of(kind, options)
    for library, optimizer in start.items():
        train(library, optimizer, steps=4, seed=1)
    saved = start[gradcli].state_dict()
    for_torch = {
        number: {name: torch.from_numpy(np.array(value.array)) for name, value in entries.items()}
        for number, entries in saved["state"].items()
    }
    assert {number: set(entries) for number, entries in for_torch.items()} == {
        number: set(entries) for number, entries in start[torch].state_dict()["state"].items()
    }
    others = optimizers_of(kind, {"lr": 1.0}, seed=5)
    others[torch].load_state_dict({"state": for_torch, "param_groups": saved["param_groups"]})
    others[gradcli].load_state_dict(start[torch].state_dict())
    assert repr(others[gradcli]) == repr(others[torch]) == repr(start[torch]) == repr(start[gradcli])
    for library, optimizer in others.items():
        train(library, optimizer, steps=4, seed=2)
    assert_equal_parameters(others.values())


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_text_and_refusals_are_pytorchs(kind):
    assert len({repr(optimizer) for optimizer in optimizers_of(kind, {}).values()}) == 1
    for options in ({"lr": -1}, {"eps": -1.0}, {"betas": (2.0, 0.5)}, {"betas": (0.5, 2.0)}, {"weight_decay": -1}):
        messages = set()
        for library in (gradcli, pytest.importorskip("torch")):
            with pytest.raises(ValueError) as caught:
                getattr(library.optim, kind)([library.nn.Parameter(library.ones(1))], **options)
            messages.add(str(caught.value))
        assert len(messages) == 1
