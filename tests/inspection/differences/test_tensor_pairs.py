"""Which tensors are compared: the same names, chosen ones, other styles of naming, arrays without a name."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.checkpoints.naming import names_in
from gradcli.errors import UsageError
from gradcli.inspection.differences.named_arrays import NamedArrays
from gradcli.inspection.differences.tensor_pairs import TensorPair, tensor_pairs

NAMES = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight", "fc.weight", "fc.bias"]


def named(names: list[str], container: str = "npz") -> NamedArrays:
    arrays = {name: np.zeros(1) for name in names}
    return NamedArrays("a file", container, arrays, dict.fromkeys(arrays, "float64"))


def pairs(a: NamedArrays, b: NamedArrays, patterns: list[str] | None = None, ignored: list[str] | None = None) -> list:
    return [(pair.name, pair.in_a, pair.in_b) for pair in tensor_pairs(a, b, patterns or [], ignored or []).pairs]


def test_same_names_are_pairs_in_backward_order() -> None:
    found = tensor_pairs(named(sorted(NAMES)), named(NAMES), [], [])
    assert found.pairs == [TensorPair(name=name, in_a=name, in_b=name) for name in NAMES[::-1]]
    assert not found.renamed


def test_a_name_of_one_side_has_no_partner() -> None:
    assert pairs(named(["w", "b"]), named(["w", "c"])) == [("c", None, "c"), ("b", "b", None), ("w", "w", "w")]


@pytest.mark.parametrize(
    ("patterns", "ignored", "chosen"),
    [
        (["fc.*"], [], ["fc.bias", "fc.weight"]),
        (["fc.bias", "conv1.weight"], [], ["fc.bias", "conv1.weight"]),
        ([], ["*bn1*", "fc.*", "only"], ["layer1.0.conv1.weight", "conv1.weight"]),
        (["fc.*"], ["fc.bias", "no.such.name"], ["fc.weight"]),
        (["only"], [], ["only"]),
    ],
)
def test_patterns(patterns: list[str], ignored: list[str], chosen: list[str]) -> None:
    found = pairs(named([*NAMES, "only"]), named(NAMES), patterns, ignored)
    assert [name for name, _, _ in found] == chosen


def test_patterns_that_choose_nothing() -> None:
    with pytest.raises(UsageError, match=r"--param 'fc.wieght' matches no tensor; did you mean fc.weight"):
        pairs(named(NAMES), named(NAMES), ["fc.wieght"])
    with pytest.raises(UsageError, match=r"--param 'zebra' matches no tensor; the tensors are a, b$"):
        pairs(named(["a"]), named(["b"]), ["zebra"])
    with pytest.raises(UsageError, match="--ignore leaves no tensor to compare"):
        pairs(named(NAMES), named(NAMES), ["fc.*"], ["fc.*"])


@pytest.mark.parametrize("prefix", ["module.", "model.backbone."])
def test_the_prefix_of_a_wrapper_is_no_difference(prefix: str) -> None:
    a = named([prefix + name for name in NAMES])
    found = tensor_pairs(a, named(NAMES), ["fc.*"], [])
    assert [(pair.name, pair.in_a, pair.in_b) for pair in found.pairs] == [
        (name, prefix + name, name) for name in ("fc.bias", "fc.weight")
    ]
    assert found.renamed


def test_hugging_faces_names_are_compared_under_torchvisions() -> None:
    theirs = names_in("hf", NAMES)
    found = tensor_pairs(named(NAMES), named(list(theirs.values())), [], [])
    assert {pair.in_a: pair.in_b for pair in found.pairs} == theirs
    assert found.renamed


def test_unknown_names_stay_as_they_are() -> None:
    found = tensor_pairs(named(["module.w", "b"]), named(["w", "b"]), [], [])
    assert (found.renamed, sorted(pair.name for pair in found.pairs)) == (False, ["b", "module.w", "w"])


def test_an_array_without_a_name_is_the_other_sides_only_chosen_tensor() -> None:
    array = named(["standard input"], "npy")
    assert pairs(array, named(["w"])) == [("w", "standard input", "w")]
    assert pairs(named(NAMES), array, ["fc.bias"]) == [("fc.bias", "fc.bias", "standard input")]
    assert pairs(array, named(["other"], "npy")) == [("standard input", "standard input", "other")]


def test_an_array_without_a_name_beside_several_goes_by_its_files_name() -> None:
    found = pairs(named(["fc.bias"], "npy"), named(NAMES), [], ["*.weight"])
    assert found == [("fc.bias", "fc.bias", "fc.bias")]
    assert ("x", "x", None) in pairs(named(["x"], "npy"), named(NAMES))
