"""What optimizers have in common: groups, zero_grad, state that is saved and loaded, refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gradcli
from gradcli import nn, optim
from gradcli.deferred import puts_off


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    generator = np.random.default_rng(0)
    return [nn.Parameter(generator.normal(size=shape).astype(np.float32)) for shape in shapes]


def train(optimizer: optim.Optimizer, steps: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = gradcli.from_numpy(generator.normal(size=tuple(parameter.shape)).astype(np.float32))
        optimizer.step()


def sgd(members: list[nn.Parameter]) -> optim.SGD:
    return optim.SGD(
        [{"params": members[:1]}, {"params": members[1:], "lr": 0.02}], lr=0.1, momentum=0.9, weight_decay=0.01
    )


def test_zero_grad_forgets_or_zeroes_even_what_is_not_finite():
    first, second = parameters((2,), (2,))
    optimizer = optim.SGD([first, second], lr=1)
    first.grad = gradcli.tensor([np.nan, 1.0])
    optimizer.zero_grad(set_to_none=False)
    assert first.grad.tolist() == [0, 0]
    assert second.grad is None
    optimizer.zero_grad()
    assert first.grad is None


def test_the_base_class_leaves_the_update_to_others():
    (weight,) = parameters((2,))
    optimizer = optim.Optimizer([weight], {})
    weight.grad = gradcli.ones(2)
    with pytest.raises(NotImplementedError):
        optimizer.step()


def test_state_dict_numbers_parameters_over_all_groups():
    members = parameters((2,), (3,), (2, 2))
    optimizer = sgd(members)
    assert optimizer.state_dict()["state"] == {}
    members[0].grad, members[2].grad = gradcli.ones(2), gradcli.ones(2, 2)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state["state"]) == [0, 2]
    assert [group["params"] for group in state["param_groups"]] == [[0], [1, 2]]
    assert [group["lr"] for group in state["param_groups"]] == [0.1, 0.02]
    assert state["state"][2]["momentum_buffer"].shape == (2, 2)


def test_a_loaded_optimizer_continues_identically():
    members = parameters((3,), (2, 2), (4, 2, 3, 3))
    optimizer = sgd(members)
    train(optimizer, steps=2, seed=1)
    twins = [nn.Parameter(member.array.copy(order="K")) for member in members]
    loaded = optim.SGD([{"params": twins[:1]}, {"params": twins[1:]}], lr=5)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert repr(loaded) == repr(optimizer)
    for current in (optimizer, loaded):
        train(current, steps=2, seed=2)
    for member, twin in zip(members, twins, strict=True):
        np.testing.assert_array_equal(twin.array, member.array)


def test_a_loaded_state_is_a_copy():
    members = parameters((3,), (2,))
    optimizer, loaded = sgd(members), sgd(parameters((3,), (2,)))
    train(optimizer, steps=1, seed=1)
    state = optimizer.state_dict()
    before = state["state"][0]["momentum_buffer"].tolist()
    loaded.load_state_dict(state)
    train(loaded, steps=1, seed=2)
    assert state["state"][0]["momentum_buffer"].tolist() == before
    assert state["param_groups"][0]["params"] == [0]


def test_a_state_of_other_groups_is_refused():
    members = parameters((3,), (2,))
    with pytest.raises(ValueError, match="other parameter groups"):
        optim.SGD(members, lr=1).load_state_dict(sgd(members).state_dict())


def test_loaded_arrays_have_the_parameters_memory_order_and_shape_or_nothing_changes():
    (weight,) = nn.Conv2d(2, 3, 3, bias=False).parameters()
    optimizer = optim.SGD([weight], lr=1, momentum=0.5)
    buffer = np.arange(54, dtype=np.float64).reshape(3, 2, 3, 3)
    state = optimizer.state_dict() | {"state": {"0": {"momentum_buffer": buffer}}}
    optimizer.load_state_dict(state)
    loaded = optimizer.state[weight]["momentum_buffer"]
    assert loaded.array.strides == weight.array.strides
    np.testing.assert_array_equal(loaded.array, buffer.astype(np.float32))
    state["state"] = {"0": {"momentum_buffer": buffer[:2]}}
    with pytest.raises(ValueError, match=r"momentum_buffer of shape \[2, 2, 3, 3\] for a parameter of \[3, 2, 3, 3\]"):
        optimizer.load_state_dict(state)
    assert optimizer.state[weight]["momentum_buffer"] is loaded


def test_numbers_of_a_state_may_be_any_as_pytorch_lets_them():
    members = parameters((2,), (3,))
    optimizer = optim.SGD(members, lr=1, momentum=0.5)
    groups = [{**optimizer.state_dict()["param_groups"][0], "params": [7, 4]}]
    optimizer.load_state_dict({"state": {4: {"momentum_buffer": np.ones(3)}}, "param_groups": groups})
    assert list(optimizer.state) == [members[1]]


def test_whether_there_was_a_step_is_known_and_loaded():
    members = parameters((2,))
    optimizer, loaded = optim.SGD(members, lr=1), optim.SGD(members, lr=1)
    assert not optimizer.has_stepped
    train(optimizer, steps=1, seed=0)
    loaded.load_state_dict(optimizer.state_dict())
    assert optimizer.has_stepped
    assert loaded.has_stepped


def test_what_the_package_offers():
    assert set(optim.__all__) <= set(dir(optim))
    assert issubclass(optim.AdamW, optim.Adam)
    assert optim.lr_scheduler.LRScheduler
    with pytest.raises(AttributeError, match="no attribute 'LBFGS'"):
        _ = optim.LBFGS


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (
            lambda: optim.SGD(gradcli.ones(2)),
            TypeError,
            "params argument given to the optimizer should be an iterable of Tensors or dicts",
        ),
        (lambda: optim.SGD([3.0]), TypeError, "can only optimize Tensors, but one of the params is float"),
        (lambda: optim.SGD([parameters((2,))[0] * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD(parameters((2,)) * 2), ValueError, "more than one parameter group, or twice in one"),
        (
            lambda: optim.SGD([{"params": members} for members in [parameters((2,))] * 2]),
            ValueError,
            "more than one parameter group, or twice in one",
        ),
    ],
)
def test_what_cannot_be_optimized(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_text_has_every_group():
    assert repr(sgd(parameters((1,), (1,)))).splitlines()[:2] == ["SGD (", "Parameter Group 0"]
    text = repr(sgd(parameters((1,), (1,))))
    assert "Parameter Group 1\n    dampening: 0\n    differentiable: False\n" in text
    assert "    lr: 0.1\n" in text
    assert "    lr: 0.02\n" in text


@pytest.mark.parity
def test_text_of_groups_is_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    expected = torch.optim.SGD(
        [{"params": theirs[:1]}, {"params": theirs[1:], "lr": 0.02}], lr=0.1, momentum=0.9, weight_decay=0.01
    )
    assert repr(sgd(parameters((1,), (1,)))) == repr(expected)


def test_what_was_put_off_is_computed_with_the_values_before_the_step():
    conv, x = nn.Conv2d(3, 4, 3, bias=False), gradcli.randn(1, 3, 6, 6)
    optimizer = optim.SGD(conv.parameters(), lr=1.0)
    conv.weight.grad = gradcli.ones(4, 3, 3, 3)
    expected = conv(x).detach().numpy().copy()

    @puts_off
    def step_between(x):
        out = conv(x)
        optimizer.step()
        return out

    np.testing.assert_array_equal(step_between(x).detach().numpy(), expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_that_overflows_gives_infinity_without_a_word(momentum):
    weight = nn.Parameter(np.full(3, 3e38, np.float32))
    optimizer = optim.SGD([weight], lr=10.0, momentum=momentum, weight_decay=10.0)
    for _ in range(2):
        weight.grad = gradcli.full((3,), -3e38)
        with np.errstate(all="raise"):
            optimizer.step()
    assert not np.isfinite(weight.array).any()
