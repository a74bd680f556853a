"""A tensor's text: tables of what PyTorch 2.13 prints, and PyTorch itself over many random arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcli.autograd.formatting import format_tensor

NAN, INF = float("nan"), float("inf")


def f32(values: object) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def lines(*texts: str) -> str:
    return "\n".join(texts)


SHORT_TEXTS: list[tuple[NDArray[Any], str]] = [
    # Whole numbers need no digits behind the point.
    (f32([56, 143]), "tensor([ 56., 143.])"),
    (f32([-12, 65]), "tensor([-12.,  65.])"),
    (f32(100_000_000), "tensor(100000000.)"),
    (f32([0.0, -0.0]), "tensor([0., -0.])"),
    # Fixed point, rounded to four digits.
    (f32(-505.17664), "tensor(-505.1766)"),
    (f32([0.99999, 12]), "tensor([ 1.0000, 12.0000])"),
    (f32([1.5, 1001]), "tensor([   1.5000, 1001.0000])"),
    (np.float16([0.1, -2]), "tensor([ 0.1000, -2.0000], dtype=torch.float16)"),
    # Scientific: too large, too small, or too wide a range.
    (f32(1e9), "tensor(1.0000e+09)"),
    (f32([9.9e-5]), "tensor([9.9000e-05])"),
    (f32([1, 1001]), "tensor([1.0000e+00, 1.0010e+03])"),
    (f32([1.5, -2001, 0]), "tensor([ 1.5000e+00, -2.0010e+03,  0.0000e+00])"),
    (np.array([1e-308, 1e308]), "tensor([1.0000e-308, 1.0000e+308], dtype=torch.float64)"),
    # Elements that are not finite take part in the notation of the others, but decide nothing.
    (f32([1, NAN, INF]), "tensor([1., nan, inf])"),
    (f32([1.5, NAN, -INF]), "tensor([1.5000,    nan,   -inf])"),
    (f32([1, -INF, 2000]), "tensor([1.0000e+00,       -inf, 2.0000e+03])"),
    (f32([-0.0, 0, NAN]), "tensor([-0., 0., nan])"),
    (f32(NAN), "tensor(nan)"),
    # Integers and booleans.
    (np.array(5), "tensor(5)"),
    (np.array([-1, 100]), "tensor([ -1, 100])"),
    (np.array([[3]], dtype=np.uint8), "tensor([[3]], dtype=torch.uint8)"),
    (np.array(True), "tensor(True)"),
    (np.array([True, True]), "tensor([True, True])"),
    (np.array([True, False]), "tensor([ True, False])"),
    # Empty: the size where brackets can't show it, the dtype unless it is float32.
    (f32([]), "tensor([])"),
    (np.zeros((0, 3), np.float32), "tensor([], size=(0, 3))"),
    (np.zeros(0, np.int64), "tensor([], dtype=torch.int64)"),
    (np.zeros((2, 0), bool), "tensor([], size=(2, 0), dtype=torch.bool)"),
]


@pytest.mark.parametrize(("array", "expected"), SHORT_TEXTS)
def test_short_text(array: NDArray[Any], expected: str) -> None:
    assert format_tensor(array) == expected


@pytest.mark.parametrize(
    ("array", "options", "expected"),
    [
        (f32([56, 143]), {"grad_fn_name": "SubBackward0"}, "tensor([ 56., 143.], grad_fn=<SubBackward0>)"),
        (
            f32(2.5),
            {"grad_fn_name": "MeanBackward0", "requires_grad": True},
            "tensor(2.5000, grad_fn=<MeanBackward0>)",
        ),
        (f32([3, 4]), {"requires_grad": True}, "tensor([3., 4.], requires_grad=True)"),
        (
            np.array([3.0]),
            {"requires_grad": True},
            "tensor([3.], dtype=torch.float64, requires_grad=True)",
        ),
        (
            np.zeros((0, 2)),
            {"grad_fn_name": "CopyBackwards"},
            "tensor([], size=(0, 2), dtype=torch.float64, grad_fn=<CopyBackwards>)",
        ),
        (np.eye(2, dtype=np.float32), {"prefix": "Box("}, "Box([[1., 0.],\n     [0., 1.]])"),
    ],
)
def test_suffixes_and_prefix(array: NDArray[Any], options: dict[str, Any], expected: str) -> None:
    assert format_tensor(array, **options) == expected


WRAPPED_TEXTS: list[tuple[NDArray[Any], str]] = [
    (
        np.arange(24),
        lines(
            "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,",
            "        18, 19, 20, 21, 22, 23])",
        ),
    ),
    (
        np.arange(4, dtype=np.float32).reshape(2, 1, 2),
        lines("tensor([[[0., 1.]],", "", "        [[2., 3.]]])"),
    ),
    (
        np.arange(4).reshape(2, 1, 1, 2, 1),
        lines(
            "tensor([[[[[0],",
            "           [1]]]],",
            "",
            "",
            "",
            "        [[[[2],",
            "           [3]]]]])",
        ),
    ),
]


@pytest.mark.parametrize(("array", "expected"), WRAPPED_TEXTS)
def test_wrapped_and_nested_lines(array: NDArray[Any], expected: str) -> None:
    assert format_tensor(array) == expected


def test_suffix_that_does_not_fit_starts_a_line() -> None:
    assert format_tensor(np.zeros((1, 14)), requires_grad=True) == lines(
        "tensor([[0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.]],",
        "       dtype=torch.float64, requires_grad=True)",
    )


SUMMARISED_TEXTS: list[tuple[NDArray[Any], str]] = [
    (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (
        np.zeros((3, 500), np.float32),
        lines(
            "tensor([[0., 0., 0.,  ..., 0., 0., 0.],",
            "        [0., 0., 0.,  ..., 0., 0., 0.],",
            "        [0., 0., 0.,  ..., 0., 0., 0.]])",
        ),
    ),
    (
        np.arange(1400).reshape(7, 200),
        lines(
            "tensor([[   0,    1,    2,  ...,  197,  198,  199],",
            "        [ 200,  201,  202,  ...,  397,  398,  399],",
            "        [ 400,  401,  402,  ...,  597,  598,  599],",
            "        ...,",
            "        [ 800,  801,  802,  ...,  997,  998,  999],",
            "        [1000, 1001, 1002,  ..., 1197, 1198, 1199],",
            "        [1200, 1201, 1202,  ..., 1397, 1398, 1399]])",
        ),
    ),
    (
        np.zeros((1001, 1, 1), bool),
        lines(
            *(f"{start}[[False]],\n" for start in ("tensor([", " " * 8, " " * 8)),
            "        ...,\n",
            *(f"        [[False]]{end}" for end in (",\n", ",\n", "])")),
        ),
    ),
]


@pytest.mark.parametrize(("array", "expected"), SUMMARISED_TEXTS)
def test_beyond_a_thousand_elements_only_the_edges_are_shown(array: NDArray[Any], expected: str) -> None:
    assert format_tensor(array) == expected


def test_only_shown_elements_decide_the_notation() -> None:
    array = np.ones(2000, np.float32)
    array[1000] = 1e-9
    assert format_tensor(array) == "tensor([1., 1., 1.,  ..., 1., 1., 1.])"


def test_elements_in_the_middle_of_a_large_array_are_never_read() -> None:
    class Watched(np.ndarray[Any, Any]):
        """An array that notes how many elements every indexing of it gave."""

        taken: list[int]

        def __getitem__(self, index: Any) -> Any:
            picked = np.asarray(self)[index]
            self.taken.append(picked.size)
            return picked

    array = np.zeros((7, 4096, 384), np.float32).view(Watched)
    array.taken = []
    format_tensor(array)
    assert array.taken == [6**3]


SHAPES = [(), (1,), (5,), (23,), (300,), (1001,), (0,), (3, 0), (1, 1), (4, 7), (2, 40), (9, 112), (2, 600)]
SHAPES += [
    (300, 4),
    (2, 3, 4),
    (12, 11, 10),
    (1, 1, 1200),
    (2, 3, 2, 5),
    (2, 8, 9, 7),
    (7, 7, 7, 7),
    (2, 1, 2, 1, 3),
]
KINDS = ["one magnitude", "mixed magnitudes", "whole", "large whole", "not finite", "integer", "boolean"]
FLOATS = ["float32", "float64", "float16"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]


def random_array(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[Any]:
    """An array of one of the kinds whose text follows different rules."""
    if kind == "boolean":
        return np.asarray(generator.random(shape) < 0.5)
    if kind == "integer":
        limits = np.iinfo(str(generator.choice(INTEGERS)))
        bound = min(10 ** int(generator.integers(1, 19)), limits.max)
        return np.asarray(generator.integers(max(-bound, limits.min), bound, shape)).astype(limits.dtype)
    normal = np.asarray(generator.standard_normal(shape))
    if kind == "one magnitude":
        values = normal * 10.0 ** generator.integers(-8, 10)
    elif kind == "mixed magnitudes":
        values = normal * 10.0 ** np.asarray(generator.uniform(-8, 9, shape))
    elif kind == "whole":
        values = np.round(normal * 10.0 ** generator.integers(0, 4))
    elif kind == "large whole":
        values = np.round(normal * 10.0 ** generator.integers(6, 10))
    else:
        odd = np.asarray(generator.choice([NAN, INF, -INF, 0.0, -0.0], shape))
        values = np.where(
            generator.random(shape) < generator.random(), odd, np.round(normal * 3, generator.integers(5))
        )
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(str(generator.choice(FLOATS)))


@pytest.mark.parity
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_text_is_what_pytorch_prints(shape: tuple[int, ...], kind: str) -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng([KINDS.index(kind), SHAPES.index(shape)])
    for _ in range(6):
        array = random_array(kind, shape, generator)
        tensor = torch.from_numpy(array)
        assert format_tensor(array) == repr(tensor)
        if array.dtype.kind == "f":
            leaf = tensor.requires_grad_()
            assert format_tensor(array, requires_grad=True) == repr(leaf)
            assert format_tensor(array, grad_fn_name="MulBackward0") == repr(leaf * 1)


@pytest.mark.parity
@pytest.mark.parametrize("array", [case[0] for case in SHORT_TEXTS + WRAPPED_TEXTS + SUMMARISED_TEXTS])
def test_tables_hold_what_pytorch_prints(array: NDArray[Any]) -> None:
    torch = pytest.importorskip("torch")
    assert format_tensor(array) == repr(torch.from_numpy(np.asarray(array)))


@pytest.mark.parity
@pytest.mark.parametrize("count", range(8, 19))
@pytest.mark.parametrize("dtype", FLOATS)
def test_suffix_starts_a_line_where_pytorch_starts_one(count: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for value in (0, 12, 123):
        array = np.full((2, count), value, dtype)
        leaf = torch.from_numpy(array).requires_grad_()
        assert format_tensor(array, requires_grad=True) == repr(leaf)
        assert format_tensor(array, grad_fn_name="MulBackward0") == repr(leaf * 1)
