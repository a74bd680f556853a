"""The random generator: its distributions and bookkeeping, known values, and PyTorch's own streams."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from gradcli.kernels.random import DEFAULT_SEED, STATE_RECORD, WORDS_PER_PIECE, Generator
from gradcli.kernels.threads import get_num_threads, set_num_threads

SEEDS = [0, 1, 12345, 2**32 + 7, 2**64 - 1, -1, -(2**63)]
SIZES = [*range(41), 100, 1000, WORDS_PER_PIECE - 1, WORDS_PER_PIECE + 1, 200_003]
DTYPES = [np.float32, np.float64]


def test_known_values_of_pytorch():
    generator = Generator(0)
    np.testing.assert_array_equal(generator.uniform(3), np.array([0.49625659, 0.76822180, 0.08847743], np.float32))
    np.testing.assert_allclose(
        Generator(0).normal(3), np.array([1.5409961, -0.2934289, -2.1787894], np.float32), rtol=1e-6
    )
    np.testing.assert_array_equal(Generator(0).permutation(5), [4, 0, 1, 3, 2])


def test_seeds_are_kept_and_start_the_stream_over():
    generator = Generator(3)
    first = generator.normal(5)
    assert generator.manual_seed(3) is generator
    np.testing.assert_array_equal(generator.normal(5), first)
    assert generator.initial_seed() == 3
    assert Generator().initial_seed() == DEFAULT_SEED
    assert Generator(-1).initial_seed() == 2**64 - 1
    picked = generator.seed()
    assert generator.initial_seed() == picked
    np.testing.assert_array_equal(generator.uniform(4), Generator(picked).uniform(4))


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match="out of range"):
        Generator(seed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_have_the_asked_for_shape_range_and_distribution(dtype):
    generator = Generator(1)
    uniform = generator.uniform((300, 400), -2.0, 3.0, dtype)
    assert uniform.shape == (300, 400)
    assert uniform.dtype == dtype
    assert uniform.min() >= -2.0
    assert uniform.max() <= 3.0
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    assert uniform.std() == pytest.approx(5 / 12**0.5, abs=0.02)
    normal = generator.normal((300, 401), 1.0, 2.0, dtype)
    assert normal.shape == (300, 401)
    assert normal.dtype == dtype
    assert normal.mean() == pytest.approx(1.0, abs=0.03)
    assert normal.std() == pytest.approx(2.0, abs=0.03)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="float16"):
        Generator(0).uniform(3, dtype=np.float16)
    with pytest.raises(TypeError, match="int64"):
        Generator(0).normal(30, dtype=np.int64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [*SIZES, 140_000])
def test_skipping_equals_drawing(dtype, count):
    drawn, skipped = Generator(5), Generator(5)
    for generator in (drawn, skipped):
        generator.normal(1)  # leaves the second value of a pair behind
    drawn.uniform(count, dtype=dtype)
    skipped.skip_uniform(count, dtype)
    np.testing.assert_array_equal(drawn.get_state(), skipped.get_state())
    drawn.normal(count, dtype=dtype)
    skipped.skip_normal(count, dtype)
    np.testing.assert_array_equal(drawn.get_state(), skipped.get_state())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1000, WORDS_PER_PIECE + 16, 5 * WORDS_PER_PIECE + 3])
def test_values_do_not_depend_on_the_number_of_threads(dtype, count):
    threads = get_num_threads()
    generators = [Generator(8), Generator(8)]
    drawn = []
    try:
        for number, generator in zip((1, 3), generators, strict=True):
            set_num_threads(number)
            drawn.append((generator.normal(count, 1.0, 0.1, dtype), generator.uniform(count, -1.0, 1.0, dtype)))
    finally:
        set_num_threads(threads)
    for one, three in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(generators[0].get_state(), generators[1].get_state())


@pytest.mark.parametrize("draws", [0, 1, 623, 624, 625, 1248, 2000])
def test_a_restored_state_continues_the_stream(draws):
    generator = Generator(2**40 + 9)
    generator.uniform(draws)
    generator.normal(3)
    state = generator.get_state()
    stored = pickle.loads(pickle.dumps(copy.deepcopy(state)))
    expected = generator.normal(4), generator.uniform(700), generator.permutation(10)
    other = Generator(0)
    other.set_state(stored)
    assert other.initial_seed() == 2**40 + 9
    for actual, value in zip((other.normal(4), other.uniform(700), other.permutation(10)), expected, strict=True):
        np.testing.assert_array_equal(actual, value)


def test_states_that_are_none_are_refused_and_nothing_changes():
    generator = Generator(1)
    before = generator.get_state()
    scrambled = before.copy()
    scrambled.view(STATE_RECORD)["next"] = 999
    for state in (before[:-1], before.astype(np.int64), np.zeros_like(before), scrambled):
        with pytest.raises(ValueError, match="generator state"):
            generator.set_state(state)
    np.testing.assert_array_equal(generator.get_state(), before)


def test_randint_covers_its_range_and_refuses_an_empty_one():
    values = Generator(0).randint(-3, 4, (50, 20))
    assert values.shape == (50, 20)
    assert values.dtype == np.int64
    assert set(values.ravel()) == set(range(-3, 4))
    for low, high in ((3, 3), (5, 2), (0, 2**63)):
        with pytest.raises(ValueError, match="low < high"):
            Generator(0).randint(low, high, 3)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutations_hold_every_number_once(n):
    order = Generator(4).permutation(n)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


# ------------------------------------------------------------------------------------------ PyTorch's streams


def torch_generator(torch, seed):
    return torch.Generator().manual_seed(seed)


def words_left_in_step(torch, reference, generator):
    """Whether both draw the same uniform number next."""
    return torch.rand(1, generator=reference).item() == generator.uniform(1).item()


@pytest.mark.parity
@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_mean_what_they_mean_in_pytorch(seed):
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, seed), Generator(seed)
    assert generator.initial_seed() == reference.initial_seed()
    np.testing.assert_array_equal(generator.uniform(700), torch.rand(700, generator=reference).numpy())


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.0, 0.3), (-0.3, 0.7), (-1 / 3, 1 / 3), (2.5, 1e6), (-0.044, 0.044)]
)
def test_uniform_is_pytorchs_bit_for_bit(low, high, dtype):
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, 7), Generator(7)
    for size in SIZES:
        expected = torch.from_numpy(np.empty(size, dtype)).uniform_(low, high, generator=reference)
        np.testing.assert_array_equal(generator.uniform(size, low, high, dtype), expected.numpy())
    assert words_left_in_step(torch, reference, generator)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 0.02), (2.0, 3.0), (-0.3, 1e4), (0.0, 0.0)])
def test_normal_is_pytorchs_bit_for_bit(mean, std, dtype):
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, 7), Generator(7)
    for size in SIZES:
        expected = torch.from_numpy(np.empty(size, dtype)).normal_(mean, std, generator=reference).numpy()
        values = generator.normal(size, mean, std, dtype)
        np.testing.assert_array_equal(values.view(np.uint8), expected.view(np.uint8))  # zeros' signs, too
        assert words_left_in_step(torch, reference, generator)


@pytest.mark.parity
def test_mixed_draws_stay_in_step_with_pytorch():
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, 99), Generator(99)
    for size in (3, 40, 1, 16, 2, 7, 300):
        for dtype in DTYPES:
            expected = torch.from_numpy(np.empty(size, dtype)).normal_(generator=reference).numpy()
            np.testing.assert_array_equal(generator.normal(size, dtype=dtype), expected)
        np.testing.assert_array_equal(
            generator.randint(0, 10, size), torch.randint(0, 10, (size,), generator=reference).numpy()
        )
        np.testing.assert_array_equal(generator.permutation(size), torch.randperm(size, generator=reference).numpy())


@pytest.mark.parity
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 10),
        (-5, 1000),
        (0, 2**28 - 1),
        (0, 2**28),
        (7, 2**32 - 1),
        (-(2**40), 2**50),
        (-(2**63), 2**63 - 1),
    ],
)
def test_randint_is_pytorchs(low, high):
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, 3), Generator(3)
    np.testing.assert_array_equal(
        generator.randint(low, high, (5, 7)), torch.randint(low, high, (5, 7), generator=reference).numpy()
    )
    assert words_left_in_step(torch, reference, generator)


@pytest.mark.parity
@pytest.mark.parametrize("draws", [0, 1, 623, 624, 625, 2000])
def test_states_can_be_exchanged_with_pytorch(draws):
    torch = pytest.importorskip("torch")
    reference, generator = torch_generator(torch, 21), Generator(5)
    torch.rand(draws, generator=reference)
    torch.randn(1, generator=reference)
    generator.set_state(reference.get_state().numpy())
    back = torch.Generator()
    back.set_state(torch.from_numpy(generator.get_state()))
    expected = torch.randn(1, generator=reference).item()
    assert generator.normal(1).item() == expected
    assert torch.randn(1, generator=back).item() == expected
    expected_values = torch.rand(1300, generator=reference).numpy()
    np.testing.assert_array_equal(generator.uniform(1300), expected_values)
    np.testing.assert_array_equal(torch.rand(1300, generator=back).numpy(), expected_values)
