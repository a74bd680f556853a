"""Seeds mean what they mean in PyTorch: its numbers on a CPU, written down here, so that they hold without it too.

Digests are SHA-256, first 16 digits, of all values as little-endian bytes in row-major order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradcli

Array = np.ndarray[Any, Any]
Draw = Callable[[Any], Any]


class Reference(NamedTuple):
    """What PyTorch draws after `manual_seed(seed)`."""

    name: str
    seed: int
    draw: Draw
    first: list[float]
    digest: str


def resnet_values(torch: Any) -> Any:
    """Parameters made one after the other, as in the first modules of a network."""
    convolution = torch.nn.Conv2d(3, 64, 7, bias=False)
    torch.nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    head = torch.nn.Linear(64, 10)
    return torch.cat([tensor.detach().flatten() for tensor in (convolution.weight, head.weight, head.bias)])


def one_after_the_other(torch: Any) -> Any:
    """Draws of every kind: each takes as many words of the stream as PyTorch's."""
    drawn = [
        torch.randn(3),
        torch.rand(5, dtype=torch.float64),
        torch.randn(4, dtype=torch.float64).float(),
        torch.randint(0, 2**40, (3,)),
        torch.randperm(7),
        torch.randn(21),
        torch.randint(10, (2,)),
        torch.rand(3),
    ]
    return torch.cat([values.to(torch.float64) for values in drawn])


REFERENCES = [
    Reference(
        "rand",
        0,
        lambda torch: torch.rand(1, 3, 64, 64),
        [0.49625658988952637, 0.7682217955589294, 0.08847743272781372],
        "16f26362307b4146",
    ),
    Reference(
        "rand",
        42,
        lambda torch: torch.rand(1_000_003),
        [0.8822692632675171, 0.9150039553642273, 0.38286375999450684],
        "d0cfd301eaaf91fd",
    ),
    Reference(
        "rand in double",
        0,
        lambda torch: torch.rand(1000, dtype=torch.float64),
        [0.9700530018065531, 0.707819864399788, 0.45938294312745087],
        "c59b53ef72076721",
    ),
    Reference(
        "rand in double",
        1099511627779,
        lambda torch: torch.rand(7, 300, dtype=torch.float64),
        [0.03410819565052048, 0.28674022672130695, 0.7729149443285843],
        "b1b930e7ba28a577",
    ),
    Reference(
        "uniform_",
        1,
        lambda torch: torch.empty(64, 147).uniform_(-0.0825, 0.0825),
        [0.04250921681523323, -0.036413706839084625, -0.015993572771549225],
        "f409923cdc7d2d30",
    ),
    Reference(
        "uniform_ in double",
        1,
        lambda torch: torch.empty(999, dtype=torch.float64).uniform_(-1 / 3, 2 / 3),
        [-0.2722800586137097, -0.1087788267656829, -0.09908081938849395],
        "4a7d0fc0004714a7",
    ),
    Reference(
        "kaiming_uniform_",
        0,
        lambda torch: torch.nn.init.kaiming_uniform_(torch.empty(64, 3, 7, 7), a=5**0.5),
        [-0.0006175025482662022, 0.044245123863220215, -0.06788361817598343],
        "1ac61690a7a445ae",
    ),
    Reference(
        "Linear",
        0,
        lambda torch: torch.nn.Linear(512, 10).weight,
        [-0.0003308738232590258, 0.02370768040418625, -0.0363737978041172],
        "45c685e2b5d86489",
    ),
    Reference(
        "bias of Conv2d",
        0,
        lambda torch: torch.nn.Conv2d(3, 33, 3).bias,
        [0.17120251059532166, 0.05058329179883003, 0.1353970170021057],
        "9a5483b7e44bf382",
    ),
    Reference(
        "randn of few",
        0,
        lambda torch: torch.randn(15),
        [1.5409960746765137, -0.293428897857666, -2.1787893772125244],
        "feb39d97c8afee24",
    ),
    Reference(
        "randn",
        0,
        lambda torch: torch.randn(100),
        [-1.1258398294448853, -1.152360200881958, -0.2505785822868347],
        "438630ac9c044e48",
    ),
    Reference(
        "randn",
        42,
        lambda torch: torch.randn(1000, 1001),
        [1.9269152879714966, 1.4872840642929077, 0.9007171988487244],
        "d7c12262d4fefa7b",
    ),
    Reference(
        "randn in double, rounded",  # the last bits are the C library's
        0,
        lambda torch: torch.randn(100, dtype=torch.float64).float(),
        [-2.3104116916656494, -0.3732508718967438, -1.0608166456222534],
        "0fb52b03111ef21f",
    ),
    Reference(
        "normal_",
        3,
        lambda torch: torch.empty(33, 3).normal_(2.0, 0.1),
        [1.992335557937622, 2.0359880924224854, 1.9217983484268188],
        "2f696f5eac1b42b4",
    ),
    Reference(
        "kaiming_normal_",
        0,
        lambda torch: torch.nn.init.kaiming_normal_(torch.empty(64, 3, 7, 7), mode="fan_out"),
        [-0.02843174897134304, -0.02910148911178112, -0.006328064948320389],
        "5d5a84eff2eedb9e",
    ),
    Reference(
        "modules",
        0,
        resnet_values,
        [0.04843747988343239, 0.009898427873849869, 0.004848708398640156],
        "eceb04a2c1d822b8",
    ),
    Reference("randint", 0, lambda torch: torch.randint(0, 1000, (64,)), [44, 239, 933], "6c88a2d515a68b65"),
    Reference(
        "randint",
        -1,
        lambda torch: torch.randint(-5, 2**27, (1000,)),
        [16673167, 76693774, 26340214],
        "cb7f9f05e93cedce",
    ),
    Reference(
        "randint wide",
        0,
        lambda torch: torch.randint(-(2**60), 2**60, (100,)),
        [-252471317712557521, 510778632820608192, 742728092591739643],
        "6e9383d311821776",
    ),
    Reference("randperm", 0, lambda torch: torch.randperm(1797), [362, 1568, 1440], "590ef1af45620fca"),
    Reference("randperm of many", 7, lambda torch: torch.randperm(50_000), [41615, 33421, 9717], "e1018d389ac17cc0"),
    Reference(
        "draws of every kind",
        0,
        one_after_the_other,
        [1.5409960746765137, -0.293428897857666, -2.1787893772125244],
        "38d7f2c1e647df5f",
    ),
    Reference(
        "draws of every kind",
        67280421310721,
        one_after_the_other,
        [0.9772631525993347, 1.1568583250045776, -0.38065364956855774],
        "c42913791a577b8d",
    ),
]
CASES = pytest.mark.parametrize("reference", REFERENCES, ids=[f"{r.name}, seed {r.seed}" for r in REFERENCES])


def digest(values: Array) -> str:
    little_endian = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()[:16]


def drawn(framework: Any, seed: int, draw: Draw) -> Array:
    framework.manual_seed(seed)
    values: Array = draw(framework).detach().numpy()
    return values


@CASES
def test_numbers_of_pytorch(reference: Reference) -> None:
    values = drawn(gradcli, reference.seed, reference.draw)
    assert values.ravel()[: len(reference.first)].tolist() == reference.first
    assert digest(values) == reference.digest


@pytest.mark.parity
@CASES
def test_parity_of_the_numbers_written_down(reference: Reference) -> None:
    values = drawn(pytest.importorskip("torch"), reference.seed, reference.draw)
    assert values.ravel()[: len(reference.first)].tolist() == reference.first
    assert digest(values) == reference.digest


# PyTorch's own generator, one call of each kind: from 1 to 40 values, where blocks of 16 begin and end, around the 624
# words that the Mersenne Twister makes at a time, and many.
SIZES = [*range(1, 41), 47, 48, 49, 311, 312, 313, 623, 624, 625, 1248, 4095, 4097, 65_537, 300_001]
DRAWS_OF_SIZE = {
    "rand": lambda torch, n: torch.rand(n),
    "rand double": lambda torch, n: torch.rand(n, dtype=torch.float64),
    "randn": lambda torch, n: torch.randn(n),
    "randn double": lambda torch, n: torch.randn(n, dtype=torch.float64),
    "randint": lambda torch, n: torch.randint(-7, 1000, (n,)),
    "randint wide": lambda torch, n: torch.randint(2**45, (n,)),
    "randperm": lambda torch, n: torch.randperm(n),
    "uniform_": lambda torch, n: torch.empty(n).uniform_(-0.3, 0.7),
    "normal_": lambda torch, n: torch.empty(n).normal_(0.5, 0.02),
    "initial values": lambda torch, n: torch.nn.init.kaiming_uniform_(torch.empty(n, 3), a=5**0.5),
}


@pytest.mark.parity
@pytest.mark.parametrize("draw", DRAWS_OF_SIZE.values(), ids=DRAWS_OF_SIZE)
def test_parity_of_all_sizes_on_one_stream(draw: Callable[[Any, int], Any]) -> None:
    torch = pytest.importorskip("torch")
    for framework in (torch, gradcli):
        framework.manual_seed(11)
    for size in SIZES:
        expected, ours = (draw(framework, size).numpy() for framework in (torch, gradcli))
        assert ours.dtype == expected.dtype
        assert ours.tobytes() == expected.tobytes(), size
    assert gradcli.get_rng_state().tolist() == torch.get_rng_state().tolist()


@pytest.mark.parity
@pytest.mark.parametrize("seed", [0, 1, 42, 2**31 - 1, 2**32, 2**63, -1])
def test_parity_of_seeds(seed: int) -> None:
    torch = pytest.importorskip("torch")
    expected, ours = (drawn(framework, seed, one_after_the_other) for framework in (torch, gradcli))
    assert ours.tobytes() == expected.tobytes()


# --- the definition, without anybody's generator but NumPy's Mersenne Twister -----------------------------------------


def words(seed: int, count: int) -> Array:
    """The first 32-bit words of the Mersenne Twister MT19937 of this seed."""
    return np.random.RandomState(seed).randint(0, 2**32, count, np.uint32).astype(np.uint64)


def test_rand_is_the_low_24_bits_of_a_word() -> None:
    gradcli.manual_seed(5)
    expected = ((words(5, 1000) & 0xFFFFFF) * 2.0**-24).astype(np.float32)
    np.testing.assert_array_equal(gradcli.rand(10, 100).numpy().ravel(), expected)


def test_rand_in_double_is_the_low_53_bits_of_two_words() -> None:
    gradcli.manual_seed(5)
    pairs = words(5, 2000)
    expected = (((pairs[0::2] << np.uint64(32)) | pairs[1::2]) & np.uint64(2**53 - 1)) * 2.0**-53
    np.testing.assert_array_equal(gradcli.rand(1000, dtype=gradcli.float64).numpy(), expected)


def test_randint_is_a_word_modulo_the_range_or_two_words_for_a_wide_one() -> None:
    gradcli.manual_seed(5)
    np.testing.assert_array_equal(gradcli.randint(-3, 7, (50,)).numpy(), words(5, 50).astype(np.int64) % 10 - 3)
    gradcli.manual_seed(5)
    pairs = words(5, 100)
    expected = ((pairs[0::2] << np.uint64(32)) | pairs[1::2]) % np.uint64(2**40)
    np.testing.assert_array_equal(gradcli.randint(2**40, (50,)).numpy(), expected.astype(np.int64))


def test_randperm_swaps_every_place_with_one_behind_it() -> None:
    gradcli.manual_seed(5)
    order = list(range(30))
    for place, word in enumerate(words(5, 29).tolist()):
        other = place + word % (30 - place)
        order[place], order[other] = order[other], order[place]
    assert gradcli.randperm(30).tolist() == order


def test_randn_is_box_muller_on_blocks_of_sixteen() -> None:
    gradcli.manual_seed(5)
    uniform = ((words(5, 64) & 0xFFFFFF) * 2.0**-24).reshape(4, 2, 8)
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[:, 0])), 2 * np.pi * uniform[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    np.testing.assert_allclose(gradcli.randn(64).numpy(), expected, rtol=1e-5, atol=1e-6)
