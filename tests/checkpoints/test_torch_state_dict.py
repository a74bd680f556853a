"""Finding the state dict among whatever else a training script saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradcli.checkpoints.torch_pickle import StorageRecord, TensorRecord
from gradcli.checkpoints.torch_state_dict import find_state_dict
from gradcli.errors import WeightsError

PATH = Path("file.pth")


def record(key: str = "0") -> TensorRecord:
    return TensorRecord(StorageRecord("float32", key, 1), 0, (1,), (1,), "float32")


A, B = record("a"), record("b")


def test_a_bare_state_dict_keeps_its_order() -> None:
    found = find_state_dict({"b": B, "a": A}, PATH)
    assert list(found.records.items()) == [("b", B), ("a", A)]
    assert (found.metadata, found.ignored) == ({}, ())


@pytest.mark.parametrize(
    "wrapper",
    [
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "network",
        "net",
        "state_dict_ema",
        "model_ema",
    ],
)
def test_the_usual_wrappers_are_opened(wrapper: str) -> None:
    content = {"epoch": 3, wrapper: {"a": A}, "best": 0.5, "arch": "resnet18", "optimizer": {"state": {0: B}}}
    found = find_state_dict(content, PATH)
    assert found.records == {"a": A}
    assert found.metadata == {"epoch": "3", "best": "0.5", "arch": "resnet18"}
    assert found.ignored == ("optimizer",)


def test_a_wrapper_is_preferred_to_tensors_beside_it_and_the_first_one_wins() -> None:
    content = {"class_weights": B, "model_ema": {"a": B}, "state_dict": {"a": A}}
    found = find_state_dict(content, PATH)
    assert found.records == {"a": A}
    assert found.ignored == ("class_weights", "model_ema")


def test_wrappers_inside_wrappers_are_opened() -> None:
    content = {"model": {"state_dict": {"a": A, "extra": "text"}, "step": 1}, "step": 2}
    found = find_state_dict(content, PATH)
    assert found.records == {"a": A}
    assert found.metadata == {"step": "2", "extra": "text"}


def test_a_wrapper_name_without_tensors_is_not_a_wrapper() -> None:
    found = find_state_dict({"model": {"name": "x"}, "net": "resnet", "a": A}, PATH)
    assert found.records == {"a": A}
    assert found.metadata == {"net": "resnet"}
    assert found.ignored == ("model",)


def test_entries_that_are_no_named_tensors_are_listed() -> None:
    found = find_state_dict({"a": A, 0: B, "list": [B], "none": None, "flag": True}, PATH)
    assert found.records == {"a": A}
    assert found.metadata == {"flag": "True"}
    assert found.ignored == ("0", "list", "none")


def test_an_empty_dictionary_has_no_tensors() -> None:
    assert find_state_dict({}, PATH).records == {}


def test_a_dictionary_that_contains_itself_ends() -> None:
    loop: dict[str, Any] = {}
    loop["model"] = loop
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        find_state_dict(loop, PATH)
    first: dict[str, Any] = {}
    second = {"model": first, "a": A}
    first["model"] = second
    assert find_state_dict(first, PATH).records == {"a": A}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (A, "holds one tensor without a name"),
        ([A], "an object of type list"),
        (None, "an object of type NoneType"),
        ({"encoder": {"a": A}, "epoch": 1}, "its entries are 'encoder', 'epoch'"),
        ({str(i): i for i in range(20)}, "and 12 more"),
        ({"a\nb\x1b[31m": 1}, r"'a\\nb\\x1b\[31m'"),
    ],
)
def test_files_without_a_state_dict_say_what_they_hold(content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        find_state_dict(content, PATH)
    assert str(caught.value).startswith("file.pth: ")
    assert "\n" not in str(caught.value)
