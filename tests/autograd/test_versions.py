"""Versions: how often memory was changed."""

from __future__ import annotations

import gc

import pytest
from programs import Programs

import gradcli
from gradcli.autograd import versions

programs = Programs()


@programs.gives([0, 1, 3, 3, 4, 5, 6, 7])
def every_change_counts_once(torch):
    x = torch.ones(2)
    counts = [x._version]
    for change in (
        lambda: x.mul_(2),
        lambda: x.add_(1).add_(1),
        lambda: x * 2,
        x.zero_,
        lambda: x.copy_(torch.ones(2)),
        lambda: x.fill_(3),
        lambda: x.__setitem__(0, 5.0),
    ):
        change()
        counts.append(x._version)
    return counts


@programs.gives([True, 4, [1.0, 1.0]])
def operators_with_assignment_count(torch):
    x = torch.ones(2)
    same = x
    x += 1
    x *= 2
    x -= 1
    x /= 3
    return x is same, x._version, x


@programs.gives([2, 2, 2])
def views_share_the_count_of_their_base(torch):
    base = torch.ones(2, 2)
    early = base[0]
    early.mul_(2)
    late = base.t()
    base.mul_(2)
    return base._version, early._version, late._version


@programs.gives([1, 1])
def detached_tensors_share_it(torch):
    x = torch.ones(2, requires_grad=True) * 1
    detached = x.detach()
    detached.mul_(2)
    return x._version, detached._version


@programs.gives([0, 2, [4.0, 2.0]])
def data_does_not(torch):
    x = torch.ones(2, requires_grad=True) * 1
    data = x.data
    data.mul_(2)
    data[0].mul_(2)
    return x._version, data._version, x


@programs.gives([2, [4.0, 2.0], None, True])
def changes_under_no_grad_count(torch):
    leaf = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        leaf.mul_(2)
        leaf[0].mul_(2)
    return leaf._version, leaf, leaf.grad_fn, leaf.requires_grad


@programs.gives([0, 0, 0, 1])
def results_start_anew(torch):
    x = torch.ones(2).mul_(2)
    return (x * 1)._version, x.clone()._version, x[[0]]._version, x[0:1]._version


@programs.gives([0, 1, 2])
def accumulating_a_gradient_is_a_change_of_it(torch):
    x = torch.ones(2, requires_grad=True)
    counts = []
    for _ in range(3):
        (x * 2).sum().backward()
        counts.append(x.grad._version)
    return counts


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


def test_a_tensor_keeps_its_count_when_many_others_come_and_go():
    kept = gradcli.ones(2).add_(1)
    for _ in range(100):
        gradcli.ones(2).add_(1)
    assert kept._version == 1


def test_memory_that_is_gone_is_forgotten():
    gc.collect()
    before = len(versions._changes)
    tensors = [gradcli.ones(2).add_(1) for _ in range(20)]
    assert len(versions._changes) == before + 20
    del tensors
    assert len(versions._changes) == before
