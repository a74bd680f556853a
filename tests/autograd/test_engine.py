"""The backward pass: accumulation, higher orders, each node once, depth, kept gradients, and what is refused."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import gradcli
from gradcli.autograd import Tensor, backward
from gradcli.autograd.operation import OperationNode


def leaf(values=(2.0, 3.0), **options):
    return gradcli.tensor(values, requires_grad=True, **options)


@pytest.fixture
def rule_calls(monkeypatch):
    """How often each operation's node was visited."""
    calls: dict[str, int] = {}
    apply = OperationNode.apply

    def counting_apply(node, grad, **options):
        calls[node.name()] = calls.get(node.name(), 0) + 1
        return apply(node, grad, **options)

    monkeypatch.setattr(OperationNode, "apply", counting_apply)
    return calls


# --- accumulation -----------------------------------------------------------------------------------------------------


def test_the_tutorial():
    a, b = leaf([2.0, 3.0]), leaf([6.0, 4.0])
    q = 3 * a**3 - b**2
    q.backward(gradient=gradcli.tensor([1.0, 1.0]))
    assert a.grad.tolist() == [36.0, 81.0]
    assert b.grad.tolist() == [-12.0, -8.0]


def test_gradients_of_several_passes_add_up_in_place():
    x = leaf()
    (2 * x).sum().backward()
    first = x.grad
    (3 * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5.0, 5.0]


def test_gradients_of_several_uses_add_up():
    x = leaf()
    (x * x + 3 * x).sum().backward()
    assert x.grad.tolist() == [7.0, 9.0]


def test_gradient_is_summed_where_the_input_was_broadcast():
    row, column, number = leaf([1.0, 2.0, 3.0]), leaf([[1.0], [2.0]]), leaf(1.0)
    (row * column * number).sum().backward()
    assert row.grad.tolist() == [3.0, 3.0, 3.0]
    assert column.grad.tolist() == [[6.0], [6.0]]
    assert number.grad.item() == 18.0


def test_leaves_that_require_none_get_none():
    x, frozen = leaf(), gradcli.tensor([1.0, 1.0])
    (x * frozen).sum().backward()
    assert frozen.grad is None


def test_a_leaf_as_root():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_several_roots():
    x = leaf()
    backward([x.sum(), (x * x).sum()])
    assert x.grad.tolist() == [5.0, 7.0]
    backward([x * 1, x.sum()], [gradcli.ones(2), None])
    assert x.grad.tolist() == [7.0, 9.0]


def test_the_same_root_twice():
    x = leaf()
    y = (x * x).sum()
    backward([y, y])
    assert x.grad.tolist() == [8.0, 12.0]


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_the_incoming_gradient_is_brought_to_the_type_of_the_result(dtype):
    x = leaf()
    (x * 2).backward(gradcli.ones(2, dtype=getattr(gradcli, dtype)))
    assert x.grad.dtype == gradcli.float32


def test_the_incoming_gradient_is_copied():
    x, incoming = leaf(), gradcli.ones(2)
    x.backward(incoming)
    (x * 1).sum().backward()
    assert incoming.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_leaves_of_one_sum_have_gradients_of_their_own(create_graph):
    a, b = leaf(), leaf()
    (a + b).sum().backward(create_graph=create_graph)
    gradients = a.grad, b.grad
    (a * 2).sum().backward()
    assert [g.array.tolist() for g in (a.grad, b.grad)] == [[3.0, 3.0], [1.0, 1.0]]
    assert not np.shares_memory(gradients[0].array, gradients[1].array)
    a.grad = b.grad = None


def test_a_recorded_gradient_is_not_changed_in_place():
    x = leaf()
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    square = first * first
    (x * 1).sum().backward()
    assert x.grad.tolist() == [13.0, 28.0]
    assert first.tolist() == [12.0, 27.0]
    x.grad = None
    square.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), [2 * 12 * 12, 2 * 27 * 18])
    x.grad = None


# --- higher orders ----------------------------------------------------------------------------------------------------


def test_derivatives_of_every_order():
    x = leaf(2.0)
    y = x**4
    expected = [32.0, 48.0, 48.0, 24.0]
    for order, value in enumerate(expected):
        x.grad = None
        y.backward(create_graph=True)
        assert x.grad.item() == value, f"order {order + 1}"
        y = x.grad
    x.grad = None


def test_a_penalty_on_the_gradient():
    x = leaf()
    loss = (x**3).sum()
    loss.backward(create_graph=True)
    gradient, x.grad = x.grad, None
    (loss + (gradient**2).sum()).backward()
    np.testing.assert_allclose(x.grad.tolist(), [3 * 4 + 36 * 8, 3 * 9 + 36 * 27])


def test_gradients_are_recorded_only_where_asked_for():
    x = leaf()
    (x * x).sum().backward()
    assert not x.grad.requires_grad
    x.grad = None
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    x.grad = None


# --- order and depth --------------------------------------------------------------------------------------------------


def test_every_node_is_visited_once(rule_calls):
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y  # 2**60 paths
    y.backward()  # path by path, this would never end
    assert x.grad.item() == 2.0**60
    assert rule_calls == {"AddBackward0": 60}


def test_a_node_waits_for_all_its_users(rule_calls):
    x = leaf(2.0)
    a = x.exp()
    b = a.sin()
    c = b * a
    d = (c + b).cos()
    (d * a + c).backward()
    assert rule_calls["ExpBackward0"] == rule_calls["SinBackward0"] == 1
    assert rule_calls["MulBackward0"] == 2

    def value(point):
        a = np.exp(point)
        b = np.sin(a)
        c = b * a
        return np.cos(c + b) * a + c

    assert x.grad.item() == pytest.approx((value(2 + 1e-6) - value(2 - 1e-6)) / 2e-6, rel=1e-5)


def test_a_chain_of_100_000_nodes():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0
    del y  # dropping the last reference must not recurse either


def test_a_long_chain_of_freed_nodes_is_dropped_without_a_backward():
    y = leaf(1.0)
    for _ in range(100_000):
        y = y * 2
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


# --- kept gradients ---------------------------------------------------------------------------------------------------


def test_a_non_leaf_keeps_no_gradient_unless_asked_to():
    x = leaf()
    y, z = x * 2, x * 3
    y.retain_grad()
    (y * z).sum().backward()
    assert y.grad.tolist() == [6.0, 9.0]
    assert z.grad is None
    assert (y.retains_grad, z.retains_grad) == (True, False)


def test_kept_gradients_add_up_too():
    y = leaf() + 1
    y.retain_grad()
    y.retain_grad()
    (y + y).sum().backward()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [5.0, 5.0]


def test_a_kept_gradient_of_a_0d_tensor_is_a_tensor():
    y = leaf(2.0) * 2
    y.retain_grad()
    (y + y).backward()
    assert isinstance(y.grad, Tensor)
    assert y.grad.dtype == gradcli.float32


def test_the_root_keeps_its_own():
    y = (leaf() * 2).sum()
    y.retain_grad()
    y.backward()
    assert y.grad.item() == 1.0


# --- 0-d, types, numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gradients_of_0d_tensors_keep_their_type(dtype):
    x = leaf(2.0, dtype=getattr(gradcli, dtype))
    (x.exp() + x * x).backward()
    assert x.grad.dtype == x.dtype
    assert x.grad.shape == ()


def test_overflow_in_a_gradient_gives_inf_without_a_warning():
    x = leaf([1e30])
    (x * x * x).sum().backward()
    assert x.grad.tolist() == [float("inf")]


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSALS = [
    ("non-scalar", lambda torch, x: (x * 2).backward(), RuntimeError, "only for scalar outputs"),
    ("non-scalar leaf", lambda torch, x: x.backward(), RuntimeError, "only for scalar outputs"),
    ("shape", lambda torch, x: (x * 2).backward(torch.ones(3)), RuntimeError, r"Mismatch in shape.*\[3\].*\[2\]"),
    ("shape of a scalar's", lambda torch, x: x.sum().backward(torch.ones(1)), RuntimeError, r"\[1\].*\[\]"),
    ("number", lambda torch, x: x.sum().backward(1.0), TypeError, "Tensors or None, but got float"),
    ("list", lambda torch, x: (x * 2).backward([1.0, 1.0]), TypeError, "Tensors or None, but got list"),
    (
        "no graph",
        lambda torch, x: torch.ones(2).sum().backward(),
        RuntimeError,
        "element 0 of tensors does not require",
    ),
    ("detached", lambda torch, x: (x * 2).detach().sum().backward(), RuntimeError, "does not have a grad_fn"),
    ("second root", lambda torch, x: torch.autograd.backward([x.sum(), torch.ones(())]), RuntimeError, "element 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusal(call, error, message):
    x = leaf()
    with pytest.raises(error, match=message):
        call(gradcli, x)
    assert x.grad is None


@pytest.mark.parity
@pytest.mark.parametrize(("call", "error"), [r[1:3] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_parity_of_refusals(call, error):
    torch = pytest.importorskip("torch")
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    with pytest.raises(error):
        call(torch, x)


def test_a_count_of_gradients_other_than_of_roots_is_refused():
    with pytest.raises(RuntimeError, match="got 1 tensors and 2 gradients"):
        backward([leaf().sum()], [None, None])


def test_a_leaf_frozen_after_it_was_recorded_gets_no_gradient():
    x = gradcli.ones(2, requires_grad=True)
    y = (x * 2).sum()
    x.requires_grad_(False)
    y.backward()
    assert x.grad is None


def test_what_records_nothing_is_named_before_its_size():
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        (gradcli.ones(3) * 2).backward()
