"""Reading dims, shapes and pairs: every way to give them, and the errors for what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.ops.dims import canonical_dim, canonical_dims, integers, pair, sizes


@pytest.mark.parametrize(("dim", "ndim", "expected"), [(0, 3, 0), (-1, 3, 2), (-3, 3, 0), (0, 0, 0), (-1, 0, 0)])
def test_canonical_dim(dim, ndim, expected):
    assert canonical_dim(dim, ndim) == expected


@pytest.mark.parametrize(("dim", "ndim", "bounds"), [(3, 3, r"\[-3, 2\]"), (-4, 3, r"\[-3, 2\]"), (1, 0, r"\[-1, 0\]")])
def test_a_dim_out_of_range_is_refused(dim, ndim, bounds):
    with pytest.raises(IndexError, match=rf"range of {bounds}, but got {dim}"):
        canonical_dim(dim, ndim)


@pytest.mark.parametrize(
    ("dims", "ndim", "expected"),
    [(None, 2, (0, 1)), ((), 2, (0, 1)), (1, 2, (1,)), ([-1, 0], 2, (1, 0)), (0, 0, ()), (None, 0, ())],
)
def test_canonical_dims(dims, ndim, expected):
    assert canonical_dims(dims, ndim) == expected


def test_a_dim_given_twice_is_refused():
    with pytest.raises(RuntimeError, match="dim 1 appears multiple times"):
        canonical_dims((1, -1), 2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [((2, 3), (2, 3)), (((2, 3),), (2, 3)), (([2, 3],), (2, 3)), ((), ()), (((),), ()), ((np.int64(2),), (2,))],
)
def test_sizes(given, expected):
    assert sizes(given) == expected


def test_sizes_of_tensors_and_of_a_shape():
    assert sizes((gradcli.tensor(2), 3)) == (2, 3)
    assert sizes((gradcli.ones(2, 3).shape,)) == (2, 3)


@pytest.mark.parametrize("given", [(2.0,), ("a",), ((2, None),)])
def test_sizes_that_are_no_integers_are_refused(given):
    with pytest.raises(TypeError, match="sizes must be integers"):
        sizes(given)


@pytest.mark.parametrize("given", [(2, 3), [2, 3], gradcli.ones(2, 3).shape])
def test_integers(given):
    assert integers("reshape", "shape", given) == (2, 3)


@pytest.mark.parametrize(
    ("given", "kind"), [(2, "int"), ("23", "str"), (None, "NoneType"), (gradcli.tensor(2), "Tensor")]
)
def test_what_is_no_sequence_of_integers_is_refused(given, kind):
    with pytest.raises(TypeError, match=rf"reshape\(\): argument 'shape' must be tuple of ints, not {kind}"):
        integers("reshape", "shape", given)


@pytest.mark.parametrize(
    "call", [lambda x: x.repeat(2, 1), lambda x: x.repeat([2, 1]), lambda x: x.repeat(repeats=(2, 1))]
)
def test_methods_take_sizes_in_every_way(call):
    assert call(gradcli.ones(1, 3)).shape == (2, 3)


def test_methods_refuse_sizes_given_twice():
    with pytest.raises(TypeError, match="repeats"):
        gradcli.ones(1, 3).repeat(2, 1, repeats=(2, 1))


@pytest.mark.parametrize(("given", "expected"), [(2, (2, 2)), ((1, 2), (1, 2)), ([3], (3, 3)), (np.int64(4), (4, 4))])
def test_pair(given, expected):
    assert pair(given, "stride") == expected


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((1, 2, 3), RuntimeError, r"stride.*\[1, 2, 3\]"),
        ((), RuntimeError, r"stride.*\[\]"),
        (2.5, TypeError, r"stride.*2\.5"),
        ("same", TypeError, "stride.*'same'"),
        ((1, None), TypeError, "stride.*None"),
    ],
)
def test_other_pairs_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        pair(given, "stride")
