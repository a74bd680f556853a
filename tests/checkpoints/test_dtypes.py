"""bfloat16 by its bits: rounding, and what is one already."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.checkpoints.dtypes import bfloat16_bits, float32_from_bfloat16_bits, is_bfloat16


@pytest.mark.parametrize(
    ("bits", "rounded"),
    [
        (0x00000000, 0x0000),
        (0x80000000, 0x8000),
        (0x3F800000, 0x3F80),
        (0x3F807FFF, 0x3F80),  # below half: down
        (0x3F808000, 0x3F80),  # half, to the even one
        (0x3F808001, 0x3F81),  # above half: up
        (0x3F818000, 0x3F82),  # half, to the even one
        (0xBF818000, 0xBF82),
        (0x00008000, 0x0000),
        (0x00018000, 0x0002),
        (0x007FFFFF, 0x0080),  # the largest subnormal becomes normal
        (0x7F7F7FFF, 0x7F7F),  # just below half of the way to infinity
        (0x7F7F8000, 0x7F80),
        (0xFF7FFFFF, 0xFF80),
        (0x7F800000, 0x7F80),
        (0xFF800000, 0xFF80),
        (0x7FC10000, 0x7FC1),  # payloads of NaN are cut, not rounded
        (0x7F81FFFF, 0x7F81),
        (0x7F800001, 0x7FC0),  # and stay NaN where nothing would be left
        (0xFFFFFFFF, 0xFFFF),
    ],
)
def test_rounding_of_single_values(bits: int, rounded: int) -> None:
    values = np.array([bits], np.uint32).view(np.float32)
    assert bfloat16_bits(values).tolist() == [rounded]
    assert bfloat16_bits(values[0].reshape(())).tolist() == rounded


def test_rounding_is_to_the_nearest() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(0, 0x7F7F, 2000).astype(np.uint16)
    below, above = float32_from_bfloat16_bits(words), float32_from_bfloat16_bits(words + np.uint16(1))
    low = float32_from_bfloat16_bits(words).view(np.uint32)
    values = (low + generator.integers(0, 2**16, 2000).astype(np.uint32)).view(np.float32)
    rounded = float32_from_bfloat16_bits(bfloat16_bits(values))
    wide = values.astype(np.float64)
    nearest = np.where(wide - below < above.astype(np.float64) - wide, below, above)
    tie = wide - below == above.astype(np.float64) - wide
    np.testing.assert_array_equal(rounded[~tie], nearest[~tie])
    assert np.all(bfloat16_bits(values[tie]) % 2 == 0)


def test_every_bfloat16_survives() -> None:
    words = np.arange(2**16).astype(np.uint16)
    values = float32_from_bfloat16_bits(words)
    assert is_bfloat16(values)
    np.testing.assert_array_equal(bfloat16_bits(values), words)


def test_wider_and_narrower_types() -> None:
    values = [0.0, -0.0, 1.0, 1e300, -1e300, np.inf, np.nan]
    assert bfloat16_bits(np.array(values)).tolist() == [0, 0x8000, 0x3F80, 0x7F80, 0xFF80, 0x7F80, 0x7FC0]
    assert bfloat16_bits(np.float16([1.5, 65504])).tolist() == [0x3FC0, 0x4780]


def test_what_is_no_bfloat16() -> None:
    assert not is_bfloat16(np.float32([1, 1.001]))
    assert not is_bfloat16(np.array([0x7F800001], np.uint32).view(np.float32))
    assert is_bfloat16(np.zeros((0, 3), np.float32))


@pytest.mark.parity
def test_rounding_is_pytorchs_but_for_nan() -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(1)
    values = generator.integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    wide = generator.standard_normal(10_000) * 10.0 ** generator.integers(-45, 45, 10_000)
    for array in (values, wide):
        theirs = torch.from_numpy(array).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
        np.testing.assert_array_equal(bfloat16_bits(array), theirs)
