"""Random tensors: seeds, PyTorch's numbers, types, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.ops.random import fork_default_generator

DRAWS = [
    ("rand", lambda torch: torch.rand(5, 3)),
    ("rand double", lambda torch: torch.rand((4,), dtype=torch.float64)),
    ("randn", lambda torch: torch.randn(4)),
    ("randn many", lambda torch: torch.randn(5, 7)),
    ("randn double", lambda torch: torch.randn([20], dtype=torch.float64)),
    ("randint", lambda torch: torch.randint(-3, 9, (6,))),
    ("randperm", lambda torch: torch.randperm(11)),
    ("rand_like", lambda torch: torch.rand_like(torch.ones(3, dtype=torch.float64))),
    ("randn_like", lambda torch: torch.randn_like(torch.ones(3, 2))),
]
DRAW_FUNCTIONS = pytest.mark.parametrize("draw", [draw for _, draw in DRAWS], ids=[name for name, _ in DRAWS])


@DRAW_FUNCTIONS
def test_the_same_seed_gives_the_same_numbers(draw):
    gradcli.manual_seed(3)
    first, second = draw(gradcli), draw(gradcli)
    gradcli.manual_seed(3)
    assert gradcli.equal(draw(gradcli), first)
    assert gradcli.equal(draw(gradcli), second)
    assert gradcli.initial_seed() == 3


@pytest.mark.parity
@DRAW_FUNCTIONS
def test_parity(draw):
    torch = pytest.importorskip("torch")
    gradcli.manual_seed(7)
    torch.manual_seed(7)
    for _ in range(2):
        ours, theirs = draw(gradcli), draw(torch)
        assert str(ours.dtype) == str(theirs.dtype)
        np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-5)


def test_a_generator_of_its_own_leaves_the_default_one_alone():
    gradcli.manual_seed(0)
    expected = gradcli.rand(2).tolist()
    gradcli.manual_seed(0)
    gradcli.rand(5, generator=gradcli.Generator())
    assert gradcli.rand(2).tolist() == expected


def test_fork_draws_from_its_seed_and_then_goes_on_as_before():
    gradcli.manual_seed(0)
    expected = gradcli.rand(2).tolist()
    gradcli.manual_seed(0)
    with fork_default_generator(9):
        forked = gradcli.rand(2)
    assert gradcli.rand(2).tolist() == expected
    gradcli.manual_seed(9)
    assert gradcli.equal(gradcli.rand(2), forked)


def test_fork_goes_on_as_before_after_an_error_too():
    gradcli.manual_seed(0)
    expected = gradcli.rand(2).tolist()
    gradcli.manual_seed(0)
    with pytest.raises(RuntimeError), fork_default_generator(9):
        gradcli.rand(2) + gradcli.rand(3)
    assert gradcli.rand(2).tolist() == expected


def test_uniform_numbers_are_in_their_interval():
    values = gradcli.rand(10_000).array
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.02


def test_random_integers_are_refused():
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        gradcli.rand(2, dtype=gradcli.int64)
