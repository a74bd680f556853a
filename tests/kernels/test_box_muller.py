"""Box-Muller: PyTorch's normal numbers bit by bit, and the transform's definition."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from gradcli.kernels.box_muller import BITS, BLOCK, double_blocks, single_blocks
from gradcli.kernels.random import STATE_RECORD

# torch.manual_seed(0); torch.randn(16), as the integers that the bits of its float32 numbers are
SIXTEEN_OF_SEED_0 = [
    *(-1081074811, -1080852342, -1098888234, -1092737699, 1062814997, 1060185987, -1096692627, -1073258559),
    *(1051001144, -1079921420, 1051930879, 1050526651, 1039495031, 1067346835, 1066332814, -1099090308),
]
# The first four of torch.randn(16, dtype=torch.float64)
FOUR_OF_SEED_0 = ["-0x1.27bb92e9262dcp+1", "-0x1.7e35794939460p-2", "-0x1.0f91ae8d685b6p+0", "0x1.ffbfb0ada994bp-1"]


# CRC-32 of what PyTorch makes of `words_of_all_uniforms`, in this order.
CRC_OF_ALL_UNIFORMS = 1409837653
DRAWS_OF_A_STATE = 608  # a multiple of 16, from a state with 623 words left


def random_words(count, seed=0):
    return np.random.RandomState(seed).randint(0, 2**32, count, np.uint32)


def normal_blocks(words, dtype):
    """The uniform numbers of these words, one or two for each, and the normal ones made of them."""
    if dtype == np.float32:
        uniform = ((words & 0xFFFFFF) * 2.0**-24).astype(dtype)
        normal = np.empty_like(uniform)
        single_blocks(words.copy(), normal)
    else:
        wide = words.astype(np.uint64)
        uniform = ((wide[0::2] << np.uint64(32) | wide[1::2]) & np.uint64(2**53 - 1)) * 2.0**-53
        normal = uniform.copy()
        double_blocks(normal)
    return uniform, normal


def words_of_all_uniforms():
    """Words that have every uniform float32 number as radius and as angle, differently paired; in parts."""
    for first in range(0, 1 << BITS, 1 << 20):
        numbers = np.arange(first, first + (1 << 20), dtype=np.uint32)
        others = (numbers * np.uint32(7654321) + np.uint32(12345)) & np.uint32((1 << BITS) - 1)
        yield np.stack([numbers.reshape(-1, BLOCK // 2), others.reshape(-1, BLOCK // 2)], axis=1).ravel()


def test_sixteen_single_numbers_of_pytorch():
    _, normal = normal_blocks(random_words(16), np.float32)
    assert normal.view(np.int32).tolist() == SIXTEEN_OF_SEED_0


def test_all_single_numbers_of_pytorch():
    crc = 0
    for words in words_of_all_uniforms():
        _, normal = normal_blocks(words, np.float32)
        normal += 0  # no negative zeros
        crc = zlib.crc32(normal.tobytes(), crc)
    assert crc == CRC_OF_ALL_UNIFORMS


@pytest.mark.parity
def test_all_single_numbers_are_the_installed_pytorchs():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    torch.rand(1, generator=generator)
    record = generator.get_state().numpy().view(STATE_RECORD)
    state = torch.from_numpy(record.view(np.uint8))
    crc = 0
    for words in words_of_all_uniforms():
        raw = untempered(words)
        normal = torch.empty(raw.size)
        for first in range(0, raw.size, DRAWS_OF_A_STATE):
            part = raw[first : first + DRAWS_OF_A_STATE]
            record["words"][0, 1 : part.size + 1] = part
            normal[first : first + part.size].normal_(generator=generator.set_state(state))
        crc = zlib.crc32(normal.numpy().tobytes(), crc)
    assert crc == CRC_OF_ALL_UNIFORMS


def untempered(words):
    """The state words from which the Mersenne Twister makes these outputs."""
    words = words ^ (words >> np.uint32(18))
    words ^= (words << np.uint32(15)) & np.uint32(0xEFC60000)
    result = words
    for _ in range(4):  # seven bits more are right each time
        result = words ^ ((result << np.uint32(7)) & np.uint32(0x9D2C5680))
    words = result
    for _ in range(2):  # eleven bits
        result = words ^ (result >> np.uint32(11))
    return result


def test_double_numbers_of_pytorch():
    _, normal = normal_blocks(random_words(32), np.float64)
    np.testing.assert_array_almost_equal_nulp(normal[:4], np.array([float.fromhex(v) for v in FOUR_OF_SEED_0]), 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("count", [BLOCK, 5 * BLOCK, 8192, 3 * 8192 + BLOCK])
def test_radius_and_angle(dtype, tolerance, count):
    uniform, normal = normal_blocks(random_words(count * (1 if dtype == np.float32 else 2), seed=1), dtype)
    blocks = uniform.astype(np.float64).reshape(-1, 2, BLOCK // 2)
    radius, angle = np.sqrt(-2 * np.log(1 - blocks[:, 0])), 2 * np.pi * blocks[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    np.testing.assert_allclose(normal.reshape(expected.shape), expected, atol=5 * tolerance)


def test_ends_of_the_interval_in_single():
    largest, eighth = 2**BITS - 1, 2**BITS // 8
    angles = [0, 2 * eighth, 4 * eighth, 6 * eighth, largest, eighth, 5 * eighth, 7 * eighth]
    _, values = normal_blocks(np.array([0, largest] * 4 + angles, np.uint32), np.float32)
    check_ends(values, 5.77)


def test_ends_of_the_interval_in_double():
    largest = 1 - 2.0**-53
    values = np.array([0.0, largest] * 4 + [0.0, 0.25, 0.5, 0.75, largest, 0.125, 0.625, 0.875])
    double_blocks(values)
    check_ends(values, 8.57)


def check_ends(values, largest_radius):
    assert np.isfinite(values).all()
    assert (values[0:8:2] == 0).all()
    assert np.abs(values).max() == pytest.approx(largest_radius, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_to_do(dtype):
    _, values = normal_blocks(np.empty(0, np.uint32), dtype)
    assert values.size == 0
