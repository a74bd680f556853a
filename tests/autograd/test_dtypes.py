"""Element types and shapes: PyTorch's names and text, and what stands for what."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import gradcli
from gradcli.autograd import dtypes
from gradcli.autograd.dtypes import Size, as_numpy_dtype, from_numpy_dtype

NAMES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
ALIASES = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_type_has_its_name_text_and_numpy_type(name):
    dtype = getattr(gradcli, name)
    assert repr(dtype) == f"torch.{name}"
    assert dtype.numpy == np.dtype(name)
    assert dtype.itemsize == np.dtype(name).itemsize
    assert dtype.is_floating_point is name.startswith("float")
    assert from_numpy_dtype(np.dtype(name)) is dtype


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_aliases(alias, name):
    assert getattr(gradcli, alias) is getattr(gradcli, name)


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_are_the_very_same(name):
    dtype = getattr(gradcli, name)
    assert copy.deepcopy(dtype) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (dtypes.float16, np.float16),
        (np.dtype("int8"), np.int8),
        (np.float32, np.float32),
        (float, np.float64),
        (int, np.int64),
        (bool, np.bool_),
    ],
)
def test_as_numpy_dtype(requested, expected):
    assert as_numpy_dtype(requested) == expected


@pytest.mark.parametrize("unknown", [np.complex64, np.uint16, np.dtype("U1"), np.dtype(">f4"), object])
def test_types_without_a_tensor_are_refused(unknown):
    with pytest.raises(TypeError, match="can't make a tensor of"):
        as_numpy_dtype(unknown)


def test_size_is_a_tuple_that_prints_as_pytorch_prints_it():
    size = Size((2, 3))
    assert size == (2, 3)
    assert repr(size) == "torch.Size([2, 3])"
    assert size.numel() == 6
    assert Size(()).numel() == 1


@pytest.mark.parity
@pytest.mark.parametrize("name", [*NAMES, *ALIASES])
def test_parity(name):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(gradcli, name), getattr(torch, name)
    assert repr(ours) == repr(theirs)
    assert (ours.itemsize, ours.is_floating_point) == (theirs.itemsize, theirs.is_floating_point)
