"""Box-Muller: PyTorch's normal numbers bit by bit, and the transform's definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.box_muller import BLOCK, PIECE, normal_blocks

# torch.manual_seed(0); torch.randn(16), as the integers that the bits of its float32 numbers are
SIXTEEN_OF_SEED_0 = [
    *(-1081074811, -1080852342, -1098888234, -1092737699, 1062814997, 1060185987, -1096692627, -1073258559),
    *(1051001144, -1079921420, 1051930879, 1050526651, 1039495031, 1067346835, 1066332814, -1099090308),
]
# The first four of torch.randn(16, dtype=torch.float64)
FOUR_OF_SEED_0 = ["-0x1.27bb92e9262dcp+1", "-0x1.7e35794939460p-2", "-0x1.0f91ae8d685b6p+0", "0x1.ffbfb0ada994bp-1"]


def uniform(count, dtype, seed=0):
    words = np.random.RandomState(seed).randint(0, 2**32, 2 * count, np.uint32).astype(np.uint64)
    if dtype == np.float32:
        return ((words[:count] & 0xFFFFFF) * 2.0**-24).astype(dtype)
    return ((words[0::2] << np.uint64(32) | words[1::2]) & np.uint64(2**53 - 1)) * 2.0**-53


def test_sixteen_single_numbers_of_pytorch():
    values = uniform(16, np.float32)
    normal_blocks(values)
    assert values.view(np.int32).tolist() == SIXTEEN_OF_SEED_0


def test_double_numbers_of_pytorch():
    values = uniform(16, np.float64)
    normal_blocks(values)
    np.testing.assert_array_almost_equal_nulp(values[:4], np.array([float.fromhex(v) for v in FOUR_OF_SEED_0]), 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("count", [BLOCK, 5 * BLOCK, PIECE, 3 * PIECE + BLOCK])
def test_radius_and_angle(dtype, tolerance, count):
    values = uniform(count, dtype, seed=1)
    blocks = values.astype(np.float64).reshape(-1, 2, BLOCK // 2)
    radius, angle = np.sqrt(-2 * np.log(1 - blocks[:, 0])), 2 * np.pi * blocks[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    normal_blocks(values)
    np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=5 * tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_interval(dtype):
    largest = 1 - 2.0 ** (-24 if dtype == np.float32 else -53)
    values = np.array([0.0, largest] * 4 + [0.0, 0.25, 0.5, 0.75, largest, 0.125, 0.625, 0.875], dtype)
    normal_blocks(values)
    assert np.isfinite(values).all()
    assert (values[0:8:2] == 0).all()
    assert np.abs(values).max() == pytest.approx(5.77 if dtype == np.float32 else 8.57, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_to_do(dtype):
    values = np.empty(0, dtype)
    normal_blocks(values)
    assert values.size == 0
