"""Which names expressions know: every operation of the catalogue, or a reason that it is left out."""

from __future__ import annotations

import pytest

from gradcli.autograd import Tensor
from gradcli.catalogue import entries
from gradcli.inspection.expressions import functions
from gradcli.nn import functional


def test_every_operation_of_the_catalogue_is_there_or_left_out_by_name() -> None:
    for entry in entries():
        if entry.function or entry.functional:
            known = entry.name in functions.functions()
            assert known or entry.name in functions.LEFT_OUT or entry.name.endswith("_"), entry.name
        if entry.method:
            known = entry.name in functions.methods()
            assert known or entry.name in functions.LEFT_OUT or entry.name.endswith("_"), entry.name


def test_nothing_else_is_there() -> None:
    offered = {entry.name for entry in entries() if entry.function or entry.functional}
    assert set(functions.functions()) <= offered
    for name in functions.methods():
        assert callable(getattr(Tensor, name))
        assert not name.startswith("_")
        assert not name.endswith("_")


def test_what_is_left_out_exists() -> None:
    names = {entry.name for entry in entries()} | set(Tensor.__dict__)
    assert names >= functions.LEFT_OUT


@pytest.mark.parametrize("name", ["relu", "torch.relu"])
def test_torchs_function_comes_before_the_functional_one(name: str) -> None:
    assert functions.find_function(name) is not functional.relu
    assert functions.find_function("F.relu") is functional.relu


@pytest.mark.parametrize(
    "name", ["manual_seed", "F.exp", "os.exp", "torch.Tensor", "torch.manual_seed", "zero_", "eval"]
)
def test_other_names_stand_for_nothing(name: str) -> None:
    assert functions.find_function(name) is None
