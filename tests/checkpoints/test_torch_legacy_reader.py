"""The legacy container of torch.save: files that are whole, cut, damaged, or made to deceive."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints.torch_legacy_reader import looks_like_torch_legacy, read_torch_legacy
from tests.checkpoints.damage import WINDOWS_BEYOND_SIX, cuts, read_all, refusal_of, with_flipped_bits
from tests.checkpoints.pytorch_bits import assert_same_bits
from tests.checkpoints.torch_legacy_writer import (
    LegacyStorage,
    legacy_bytes,
    legacy_pickles,
    legacy_tensor,
    write_torch_legacy,
)
from tests.checkpoints.torch_pickler import TorchName

refusal = partial(refusal_of, read_torch_legacy)
SIX = np.arange(6, dtype=np.float32)


def small_content() -> dict[str, Any]:
    """A state dict of a float32 and an int64 tensor."""
    weight = LegacyStorage("93", SIX)
    steps = LegacyStorage("17", np.array([7]), "LongStorage")
    return {"fc.weight": legacy_tensor(weight, 0, (2, 3), (3, 1)), "steps": legacy_tensor(steps, 0, (), ())}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_wrapped_state_dict_is_read(tmp_path: Path, protocol: int) -> None:
    path = write_torch_legacy(tmp_path / "w.pth", {"state_dict": small_content(), "epoch": 90}, protocol=protocol)
    assert looks_like_torch_legacy(path.read_bytes()[:512])
    checkpoint = read_torch_legacy(path)
    assert list(checkpoint.tensors) == ["fc.weight", "steps"]
    np.testing.assert_array_equal(checkpoint.tensors["fc.weight"], SIX.reshape(2, 3), strict=True)
    np.testing.assert_array_equal(checkpoint.tensors["steps"], np.array(7), strict=True)
    assert checkpoint.dtypes == {"fc.weight": "float32", "steps": "int64"}
    assert (checkpoint.container, checkpoint.path, checkpoint.metadata) == ("torch-legacy", path, {"epoch": "90"})


@pytest.mark.parametrize("opening", [b"", b"\x80", b"\x80\x02", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\x8a\x0a"])
def test_other_files_do_not_look_like_it(opening: bytes) -> None:
    assert not looks_like_torch_legacy(opening)


def test_tied_and_strided_tensors_share_no_memory(tmp_path: Path) -> None:
    storage = LegacyStorage("1", SIX)
    content = {
        "whole": legacy_tensor(storage, 0, (2, 3), (3, 1)),
        "tied": legacy_tensor(storage, 0, (2, 3), (3, 1)),
        "transposed": legacy_tensor(storage, 0, (3, 2), (1, 3)),
        "every second": legacy_tensor(storage, 1, (3,), (2,)),
    }
    tensors = read_torch_legacy(write_torch_legacy(tmp_path / "w.pth", content)).tensors
    np.testing.assert_array_equal(tensors["transposed"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(tensors["every second"], [1, 3, 5])
    tensors["whole"][...] = -1
    np.testing.assert_array_equal(tensors["tied"], SIX.reshape(2, 3))


def test_views_of_a_storage_are_read(tmp_path: Path) -> None:
    view = LegacyStorage("root", SIX, view=("view", 2, 3))
    content = {
        "all": legacy_tensor(view, 0, (3,), (1,)),
        "last": legacy_tensor(view, 2, (), ()),
        "none": legacy_tensor(view, 3, (0,), (1,)),
        "root": legacy_tensor(LegacyStorage("root", SIX), 0, (6,), (1,)),
    }
    tensors = read_torch_legacy(write_torch_legacy(tmp_path / "w.pth", content)).tensors
    np.testing.assert_array_equal(tensors["all"], [2, 3, 4])
    np.testing.assert_array_equal(tensors["last"], 4)
    assert tensors["none"].shape == (0,)
    np.testing.assert_array_equal(tensors["root"], SIX)


@pytest.mark.parametrize(
    ("view", "shape", "reason"),
    [
        (("view", 2, 3), (4,), "reaches element 4 of a view of 3"),
        (("view", 2, 5), (1,), "does not fit its 6 elements"),
        (("view", -1, 3), (1,), "does not fit"),
        (("view", 2**62, 2**62), (1,), "does not fit"),
        (("view", 0, 2.5), (1,), "does not fit"),
        (("root", 0, 3), (1,), "declared twice, differently"),
        (("view", 0), (1,), "names no view"),
        ((1, 0, 3), (1,), "names no view"),
        ("view", (1,), "names no view"),
    ],
)
def test_views_that_do_not_fit_are_refused(tmp_path: Path, view: Any, shape: Any, reason: str) -> None:
    content = {"w": legacy_tensor(LegacyStorage("root", SIX, view=view), 0, shape, (1,))}
    assert reason in refusal(write_torch_legacy(tmp_path / "w.pth", content))


def test_elements_are_little_endian_whatever_the_machine_was(tmp_path: Path) -> None:
    path = write_torch_legacy(tmp_path / "w.pth", small_content(), little_endian=False)
    np.testing.assert_array_equal(read_torch_legacy(path).tensors["fc.weight"], SIX.reshape(2, 3))


def test_every_cut_is_told_as_one(tmp_path: Path) -> None:
    whole = legacy_bytes(small_content())
    pickles = len(whole) - 2 * 8 - SIX.nbytes - 8
    path = tmp_path / "cut.pth"
    for length in cuts(whole)[1:]:
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert "cut short" in message
        if length >= pickles:
            assert f"cut short after {length:,} of {len(whole):,} bytes" in message


def test_flipped_bits_are_refused_or_give_other_numbers(tmp_path: Path) -> None:
    whole = legacy_bytes(small_content())
    loaded, refused = read_all(read_torch_legacy, tmp_path / "damaged.pth", with_flipped_bits(whole, 600))
    assert refused > 200
    assert all(checkpoint.tensors for checkpoint in loaded)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"magic": 7}, "another number than its magic one"),
        ({"version": 1002}, "unknown version; the known one is 1001"),
        ({"version": [[]]}, "unknown version"),
        ({"keys": ["17"]}, "storage '93' is either listed or used"),
        ({"keys": ["17", "93", "94"]}, "storage '94' is either listed or used"),
        ({"keys": ["17", "17", "93"]}, "has a key twice"),
        ({"keys": "17"}, "no list of keys"),
        ({"keys": [17, 93]}, "no list of keys"),
        ({"counts": {"93": 5}}, "storage '93' has 5 elements at byte"),
        ({"counts": {"93": 2**60}}, f"has {2**60} elements"),
        ({"counts": {"17": -1}}, "has -1 elements"),
    ],
)
def test_what_stands_around_the_object_is_checked(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    assert reason in refusal(write_torch_legacy(tmp_path / "w.pth", small_content(), **options))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        (5, "bytes follow the end of its storages"),
        (7, "cut short after"),
        (2**60, "cut short after"),
        (2**70, "without a key and a number of elements"),
        (-6, "without a key and a number of elements"),
        (6.0, "without a key and a number of elements"),
        (True, "without a key and a number of elements"),
    ],
)
def test_declared_lengths_are_checked(tmp_path: Path, elements: Any, reason: str) -> None:
    content = {"w": legacy_tensor(LegacyStorage("1", SIX, elements=elements), 0, (5,), (1,))}
    assert reason in refusal(write_torch_legacy(tmp_path / "w.pth", content))


@pytest.mark.parametrize(("offset", "shape", "strides"), [*WINDOWS_BEYOND_SIX, (0, (2, 3), (1,))])
@pytest.mark.parametrize("view", [None, ("view", 0, 6)])
def test_windows_beyond_their_storage_are_refused(
    tmp_path: Path, offset: Any, shape: Any, strides: Any, view: Any
) -> None:
    content = {"w": legacy_tensor(LegacyStorage("1", SIX, view=view), offset, shape, strides)}
    assert "corrupt" in refusal(write_torch_legacy(tmp_path / "w.pth", content))


@pytest.mark.parametrize("other", [{"elements": 5}, {"type_name": "IntStorage"}], ids=str)
def test_one_key_for_different_storages_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    content = {
        "a": legacy_tensor(LegacyStorage("1", SIX), 0, (6,), (1,)),
        "b": legacy_tensor(LegacyStorage("1", SIX, **other), 0, (5,), (1,)),
    }
    assert "storage '1' is declared twice, differently" in refusal(write_torch_legacy(tmp_path / "w.pth", content))


def test_a_file_with_more_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(legacy_bytes(small_content()) + b"more")
    assert "4 bytes follow the end of its storages" in refusal(path)


def test_a_pickle_that_asks_for_code_is_refused_in_any_place(tmp_path: Path) -> None:
    evil = TorchName("os", "system")
    path = tmp_path / "w.pth"
    for options in ({"magic": evil}, {"version": evil}, {"keys": [evil]}):
        assert "refuses to run 'os.system'" in refusal(write_torch_legacy(path, small_content(), **options))
    assert "refuses to run 'os.system'" in refusal(write_torch_legacy(path, {"w": evil}))


def test_a_persistent_id_that_names_no_storage_is_refused(tmp_path: Path) -> None:
    class Module(LegacyStorage):
        def persistent_id(self) -> tuple[Any, ...]:
            return ("module", self.key, "model.py", "class Model: ...")

    pickles, _ = legacy_pickles({"w": Module("1", SIX)})
    (tmp_path / "w.pth").write_bytes(pickles)
    assert "names no storage" in refusal(tmp_path / "w.pth")


@pytest.mark.parity
@pytest.mark.parametrize("little_endian", [True, False])
def test_files_without_pytorch_are_files_of_pytorch(tmp_path: Path, little_endian: bool) -> None:
    torch = pytest.importorskip("torch")
    view = LegacyStorage("root", SIX, view=("view", 2, 3))
    content = {**small_content(), "view": legacy_tensor(view, 1, (2,), (1,))}
    path = write_torch_legacy(tmp_path / "w.pth", content, little_endian=little_endian)
    tensors = read_torch_legacy(path).tensors
    # its restricted unpickler takes no views of storages
    for name, tensor in torch.load(path, weights_only=False).items():
        assert_same_bits(tensors[name], tensor)
