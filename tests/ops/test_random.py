"""Random tensors: seeds, PyTorch's numbers, types, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import refusal_checks_of, written_refusals

import gradcli
from gradcli.ops.random import fork_default_generator

DRAWS = [
    ("rand", lambda torch: torch.rand(5, 3)),
    ("rand double", lambda torch: torch.rand((4,), dtype=torch.float64)),
    ("rand by name", lambda torch: torch.rand(size=(2, 3), device="cpu")),
    ("randn", lambda torch: torch.randn(4)),
    ("randn many", lambda torch: torch.randn(5, 7)),
    ("randn very many", lambda torch: torch.randn(300, 401)),
    ("randn double", lambda torch: torch.randn([20], dtype=torch.float64)),
    ("randint", lambda torch: torch.randint(-3, 9, (6,))),
    ("randint high", lambda torch: torch.randint(9, (6,))),
    ("randint by name", lambda torch: torch.randint(high=9, size=(6,))),
    ("randint low by name", lambda torch: torch.randint(low=2, high=9, size=[2, 3])),
    ("randint size by name", lambda torch: torch.randint(2, 9, size=(6,))),
    ("randint one size by name", lambda torch: torch.randint(9, size=(6,))),
    ("randint bytes", lambda torch: torch.randint(256, (6,), dtype=torch.uint8)),
    ("randint floats", lambda torch: torch.randint(5, (6,), dtype=torch.float32, requires_grad=True)),
    ("randint bools", lambda torch: torch.randint(2, (6,), dtype=torch.bool)),
    ("randint wide", lambda torch: torch.randint(2**40, (6,))),
    ("randperm", lambda torch: torch.randperm(11)),
    ("randperm of few", lambda torch: torch.randperm(0)),
    ("randperm floats", lambda torch: torch.randperm(5, dtype=torch.float64)),
    ("rand_like", lambda torch: torch.rand_like(torch.ones(3, dtype=torch.float64))),
    ("rand_like of a type", lambda torch: torch.rand_like(torch.arange(3), dtype=torch.float32)),
    ("randn_like", lambda torch: torch.randn_like(torch.ones(3, 2))),
    ("randint_like", lambda torch: torch.randint_like(torch.ones(3, 2), 7)),
    ("randint_like low", lambda torch: torch.randint_like(torch.ones(3, 2), -7, 7, dtype=torch.int32)),
    ("uniform_", lambda torch: torch.empty(20).uniform_()),
    ("uniform_ bounds", lambda torch: torch.empty(20, dtype=torch.float64).uniform_(-2, 3)),
    ("normal_", lambda torch: torch.empty(20).normal_(1, 3)),
    ("normal_ few", lambda torch: torch.empty(5, dtype=torch.float64).normal_(1, 3)),
]
REFUSED = [
    ("torch.rand()", TypeError, "size"),
    ("torch.rand(-1)", RuntimeError, "negative"),
    ("torch.rand(2, dtype=torch.int64)", NotImplementedError, "int64"),
    ("torch.randn(2, dtype=torch.int64)", NotImplementedError, "int64"),
    ("torch.rand_like(torch.arange(3))", NotImplementedError, "int64"),
    ("torch.randint(5)", TypeError, "size"),
    ("torch.randint(1, 5, 2)", TypeError, "size"),
    ("torch.randint(1.5, (2,))", TypeError, "high"),
    ("torch.randint(0, (2,))", RuntimeError, "from=0 >= to=0"),
    ("torch.randint(3, 2, (2,))", RuntimeError, "from=3 >= to=2"),
    ("torch.randint(300, (2,), dtype=torch.uint8)", RuntimeError, "out of bounds"),
    ("torch.randint(3, (2,), dtype=torch.bool)", RuntimeError, "out of bounds"),
    ("torch.randint(3, (2,), requires_grad=True)", RuntimeError, "floating point"),
    ("torch.randperm(-1)", RuntimeError, "-1"),
    ("torch.randperm(2.5)", TypeError, "2.5|float"),
    ("torch.ones(2).uniform_(3, 1)", RuntimeError, "from=3 > to=1"),
    ("torch.ones(2).normal_(0, -1)", RuntimeError, "-1"),
    ("torch.arange(2).uniform_()", NotImplementedError, "int64"),
    ("torch.set_rng_state(3)", TypeError, "int"),
    ("torch.Generator().set_state(torch.zeros(3))", TypeError, "uint8|byte"),
    ("torch.Generator().set_state(torch.zeros(3, dtype=torch.uint8))", RuntimeError, "5056|state"),
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
def test_the_numbers_are_pytorchs_bit_for_bit(draw):
    torch = pytest.importorskip("torch")
    gradcli.manual_seed(7)
    torch.manual_seed(7)
    for _ in range(2):
        ours, theirs = draw(gradcli), draw(torch)
        assert str(ours.dtype) == str(theirs.dtype)
        np.testing.assert_array_equal(ours.array, theirs.detach().numpy())
    assert gradcli.get_rng_state().tolist() == torch.get_rng_state().tolist()


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


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(written_refusals(REFUSED)))
def test_refusal(check, refusal):
    check(refusal)


def test_a_saved_state_gives_the_same_numbers_again():
    gradcli.manual_seed(1)
    gradcli.randn(3)
    state = gradcli.get_rng_state()
    assert (state.dtype, state.shape) == (gradcli.uint8, (5056,))
    expected = gradcli.randn(3).tolist(), gradcli.randperm(9).tolist()
    gradcli.set_rng_state(state)
    assert (gradcli.randn(3).tolist(), gradcli.randperm(9).tolist()) == expected
    other = gradcli.Generator("cpu")
    assert other.set_state(state) is other
    assert gradcli.randn(3, generator=other).tolist() == expected[0]


@pytest.mark.parity
def test_states_go_from_pytorch_to_gradcli_and_back():
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    torch.randn(7)
    gradcli.set_rng_state(gradcli.from_numpy(torch.get_rng_state().numpy()))
    assert gradcli.randn(6).tolist() == torch.randn(6).tolist()
    gradcli.rand(1000)
    torch.set_rng_state(torch.from_numpy(gradcli.get_rng_state().numpy()))
    assert gradcli.randint(99, (9,)).tolist() == torch.randint(99, (9,)).tolist()


def test_seed_starts_anew_and_says_from_where():
    chosen = gradcli.seed()
    assert gradcli.initial_seed() == chosen
    expected = gradcli.rand(3).tolist()
    assert gradcli.rand(3, generator=gradcli.Generator(chosen)).tolist() == expected


@pytest.mark.parametrize("draw", [lambda x: x.uniform_(), lambda x: x.normal_()], ids=["uniform_", "normal_"])
def test_what_is_drawn_in_place_has_no_gradient_for_what_was_there(draw):
    x = gradcli.ones(3, requires_grad=True)
    y = x * 2
    draw(y)
    assert y.requires_grad
    (y * y).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="in-place"):
        draw(x)
