"""Every operation that gives views: what is changed through a view is changed in its base, gradients included."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli

VIEWS = {
    "view": lambda x: x.view(3, 2),
    "view_as": lambda x: x.view_as(x),
    "reshape": lambda x: x.reshape(6),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (3, 1)),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(),
    "squeeze dim": lambda x: x.squeeze(0),
    "squeeze dims": lambda x: x.squeeze((0, 1)),
    "expand": lambda x: x.expand(1, 2, 3),
    "permute": lambda x: x.permute(1, 0),
    "transpose": lambda x: x.transpose(0, 1),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim(0, 1),
    "diagonal": lambda x: x.diagonal(1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "tensor_split": lambda x: x.tensor_split(2, 1)[0],
    "several views": lambda x: x.t()[1:].diagonal().unsqueeze(0),
}
OF_SEVERAL = {
    "split": lambda x: x.split(2, 1)[1],
    "split_with_sizes": lambda x: x.split([1, 2], 1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "unbind": lambda x: x.unbind()[1],
}
NUMBERS = np.arange(1.0, 7.0).reshape(2, 3)


def changed(torch, view, numbers):
    """A tensor after a view of it was changed, and the gradient of a function of it."""
    leaf = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    base = leaf * 2
    part = view(base)
    part.mul_(base.detach().sum())
    (base * base * part.sum()).sum().backward()
    return base.detach(), leaf.grad


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_changes_show_in_the_base(view):
    base = gradcli.tensor(NUMBERS.tolist())
    view(base).mul_(10)
    touched = view(gradcli.tensor(NUMBERS.tolist())).array.ravel().tolist()
    assert base.tolist() == [[10 * number if number in touched else number for number in row] for row in NUMBERS]


@pytest.mark.parity
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_values_and_gradients_are_those_of_pytorch(view):
    torch = pytest.importorskip("torch")
    for ours, theirs in zip(
        changed(gradcli, view, NUMBERS.tolist()), changed(torch, view, NUMBERS.tolist()), strict=True
    ):
        np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("view", OF_SEVERAL.values(), ids=OF_SEVERAL.keys())
def test_one_of_several_views_changes_its_base_but_not_in_a_graph(view):
    base = gradcli.tensor(NUMBERS.tolist())
    view(base).mul_(0)
    assert (base.array == 0).sum() == view(base).numel()
    recorded = gradcli.tensor(NUMBERS.tolist(), requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
        view(recorded).mul_(0)


@pytest.mark.parametrize("name", ["tril", "triu"])
def test_triangles_in_place(name):
    matrix = gradcli.ones(3, 3)
    assert getattr(matrix, f"{name}_")(1) is matrix
    assert matrix.tolist() == getattr(np, name)(np.ones((3, 3)), 1).tolist()


def test_what_was_expanded_cannot_be_changed():
    with pytest.raises(RuntimeError, match="more than one element"):
        gradcli.ones(3).expand(2, 3).mul_(2)
