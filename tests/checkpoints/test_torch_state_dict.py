"""Finding the state dict among whatever else a training script saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradcli.checkpoints.pickle_objects import Record
from gradcli.checkpoints.torch_pickle import ParameterRecord, StorageRecord, TensorRecord
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
        "module",
        "params",
        "weights",
        "state_dict_ema",
        "ema_state_dict",
        "model_ema",
        "ema",
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


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_wrappers_are_opened_to_a_depth_of_four(depth: int) -> None:
    content: dict[str, Any] = {"a": A}
    for _ in range(depth):
        content = {"model": content}
    assert find_state_dict(content, PATH).records == {"a": A}
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        find_state_dict({"model": {"model": {"model": {"model": {"model": {"a": A}}}}}}, PATH)


@pytest.mark.parametrize(
    "content",
    [
        {"backbone_weights": {"conv1.weight": A}, "epoch": 3},
        {"epoch": 3, "trainer": {"checkpoint": {"conv1.weight": A}}},
        ({"conv1.weight": A}, {"state": {0: {"exp_avg": B}}, "param_groups": []}),
        [3, {"conv1.weight": A}],
        {"net_g": {"conv1.weight": A}, "net_g_ema": {"conv1.weight": B}},
        {"class_weights": B, "resnet": {"conv1.weight": A}},
        {"resnet": {"conv1.weight": A}, "optimizer": {"state": {"conv1.weight": {"exp_avg": B}}}},
    ],
)
def test_the_only_dictionary_of_weights_is_taken_wherever_it_stands(content: Any) -> None:
    assert find_state_dict(content, PATH).records == {"conv1.weight": A}


def test_of_several_dictionaries_of_weights_none_is_taken() -> None:
    content = {"student": {"fc.weight": A}, "teacher": {"head": {"fc.bias": B}}}
    with pytest.raises(WeightsError, match=r"holds 2 dictionaries of weights: 'student', 'teacher\.head'; save"):
        find_state_dict(content, PATH)


def test_an_average_beside_the_weights_is_ignored() -> None:
    found = find_state_dict({"model_ema": {"a": B}, "ema": {"a": B}, "state_dict": {"a": A}}, PATH)
    assert found.records == {"a": A}
    assert found.ignored == ("model_ema", "ema")


def test_weights_at_the_top_are_preferred_to_unusual_names() -> None:
    found = find_state_dict({"fc.weight": A, "history": {"fc.weight": B}}, PATH)
    assert found.records == {"fc.weight": A}
    assert found.ignored == ("history",)


def test_parameters_that_got_their_tensor_later_count_as_tensors() -> None:
    parameter, empty = ParameterRecord("torch.nn.Parameter"), ParameterRecord("torch.nn.Parameter")
    parameter.set_state((A, None, None, True, False))
    found = find_state_dict({"fc.weight": parameter, "fc.bias": empty}, PATH)
    assert found.records == {"fc.weight": A}
    assert found.ignored == ("fc.bias",)


def test_settings_in_a_namespace_become_metadata() -> None:
    namespace, empty, other = Record("argparse.Namespace"), Record("argparse.Namespace"), Record("datetime.date")
    namespace.set_state({"lr": 0.1, "name": "run", "sizes": [1, 2], "nested": namespace})
    found = find_state_dict({"state_dict": {"a": A}, "args": namespace, "none": empty, "day": other}, PATH)
    assert found.metadata == {"args.lr": "0.1", "args.name": "run"}
    assert found.ignored == ("args.sizes", "args.nested", "none", "day")


def test_keys_that_are_no_text_are_ignored() -> None:
    found = find_state_dict({"a": A, 0: B, b"b": B, ("c", 1): B, None: B, Record("torch.device"): B}, PATH)
    assert found.records == {"a": A}
    assert found.ignored == ("0", "b'b'", "('c', 1)", "None", "<torch.device>")


def test_dictionaries_that_stand_in_many_places_are_visited_once() -> None:
    content: dict[str, Any] = {str(i): {"x": A} for i in range(300)}
    for wrappers in (map(str, range(300)), ("state_dict", "model", "net", "ema")) * 3:
        content = dict.fromkeys(wrappers, content)
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        find_state_dict({"start": content}, PATH)


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
        ([], "an object of type list"),
        (None, "an object of type NoneType"),
        (Record("argparse.Namespace"), "an object of type argparse.Namespace"),
        (ParameterRecord("torch.nn.Parameter", (A,)), "holds one tensor without a name"),
        ({"a": 1}, "neither at its top nor under a usual name such as 'state_dict' or 'model'; its entries are 'a'"),
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
