"""Random numbers of an image: pinned, in range, and depending on nothing but seed, view and index."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.data.batches import epoch_order
from gradcli.data.random_numbers import ImageRandomNumbers


def test_streams_are_pinned_and_ignore_global_state() -> None:
    np.random.seed(3)
    numbers = ImageRandomNumbers(0, 0, 0)
    assert numbers.uniform(0.0, 1.0) == 0.8382711479571602
    assert [numbers.below(100) for _ in range(4)] == [8, 61, 70, 24]
    assert ImageRandomNumbers(7, 3, 2).permutation(6) == [2, 4, 5, 3, 1, 0]


def test_bytes_and_normals_are_pinned() -> None:
    numbers = ImageRandomNumbers(0, 0, 0)
    assert numbers.random_bytes(12).tolist() == [98, 140, 8, 168, 29, 240, 152, 214, 57, 19, 125, 118]
    sums = numbers.normals(5) * np.float32(21845**0.5) + 510
    assert np.rint(sums).tolist() == [464, 366, 530, 464, 488]
    assert numbers.uniform(0.0, 1.0) == 0.4869796046952206


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 300])
def test_bytes_come_from_whole_numbers(count: int) -> None:
    numbers, words = ImageRandomNumbers(0, 0, 1), ImageRandomNumbers(0, 0, 1)
    drawn = [words.below(2**64) for _ in range(-(-count // 8))]
    expected = b"".join(word.to_bytes(8, "little") for word in drawn)[:count]
    assert numbers.random_bytes(count).tobytes() == expected
    assert numbers.below(1000) == words.below(1000)


def test_normals_have_the_moments_of_normal_numbers() -> None:
    drawn = ImageRandomNumbers(0, 0, 2).normals(200_000).astype(np.float64)
    assert np.abs(drawn).max() <= 3.46
    moments = [np.mean(drawn**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 2.7], atol=0.03)
    np.testing.assert_allclose(np.mean(np.abs(drawn) < 1), 0.683, atol=0.02)
    np.testing.assert_allclose(np.mean(drawn[1:] * drawn[:-1]), 0, atol=0.01)


def test_seed_view_and_index_each_change_the_stream() -> None:
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2), (2**40, 0, 0)]
    assert len({ImageRandomNumbers(*place).uniform(0, 1) for place in places}) == len(places)


def test_the_first_image_does_not_share_the_epochs_stream() -> None:
    # zeros at the end of a SeedSequence's entropy don't count
    first = np.random.PCG64(np.random.SeedSequence([5, 1])).random_raw(8)
    assert epoch_order(8, 5, 1).tolist() == np.argsort(first).tolist()
    assert ImageRandomNumbers(5, 1, 0).uniform(0, 1) != (int(first[0]) >> 11) * 2.0**-53


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0), (0.5, 0.5)])
def test_uniform_fills_its_range(low: float, high: float) -> None:
    numbers = ImageRandomNumbers(1, 2, 3)
    drawn = np.array([numbers.uniform(low, high) for _ in range(4000)])
    assert drawn.min() >= low
    assert drawn.max() <= high
    np.testing.assert_allclose(drawn.mean(), (low + high) / 2, atol=0.05 * (high - low))
    np.testing.assert_allclose(drawn.std(), (high - low) / 12**0.5, atol=0.02 * (high - low))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_below_draws_every_number_as_often(count: int) -> None:
    numbers = ImageRandomNumbers(0, 0, 4)
    tally = np.bincount([numbers.below(count) for _ in range(count * 1000)], minlength=count)
    assert len(tally) == count
    assert np.abs(tally - 1000).max() < 150


def test_every_permutation_comes_as_often() -> None:
    numbers = ImageRandomNumbers(0, 1, 0)
    drawn = [tuple(numbers.permutation(3)) for _ in range(3000)]
    tally = {order: drawn.count(order) for order in set(drawn)}
    assert len(tally) == 6
    assert all(abs(count - 500) < 100 for count in tally.values())


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_chance(probability: float, expected: float) -> None:
    numbers = ImageRandomNumbers(0, 0, 5)
    share = np.mean([numbers.chance(probability) for _ in range(4000)])
    assert abs(share - expected) < (0.03 if 0 < probability < 1 else 1e-12)
