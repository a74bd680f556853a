"""The tar container of torch.save: files that are whole, cut, damaged, or made to deceive."""

from __future__ import annotations

import struct
import tarfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints.torch_tar_reader import looks_like_torch_tar, read_torch_tar
from tests.checkpoints.damage import WINDOWS_BEYOND_SIX, read_all, refusal_of, with_flipped_bits
from tests.checkpoints.pytorch_bits import assert_same_bits
from tests.checkpoints.torch_pickler import TorchName, torch_pickle
from tests.checkpoints.torch_tar_writer import (
    TarStorage,
    TarTensor,
    parameter,
    storages_member,
    tar_members,
    tensors_member,
    whole_tensor,
    write_tar,
    write_torch_tar,
)

refusal = partial(refusal_of, read_torch_tar)
SIX = np.arange(6, dtype=np.float32)
TYPES = {
    "ByteStorage": np.uint8,
    "CharStorage": np.int8,
    "ShortStorage": np.int16,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
    "HalfStorage": np.float16,
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
}


def small_content() -> OrderedDict[str, Any]:
    """A state dict of a parameter and a running mean."""
    return OrderedDict(
        [("fc.weight", parameter(whole_tensor(SIX.reshape(2, 3)))), ("bn.running_mean", whole_tensor(SIX[:3]))]
    )


def mixed_content() -> dict[str, Any]:
    """Tensors of every type and layout."""
    content: dict[str, Any] = {}
    for number, (type_name, dtype) in enumerate(TYPES.items()):
        tensor = whole_tensor((np.arange(35) * 5 - number).astype(dtype).reshape(5, 7), type_name)
        storage = tensor.storage
        view = TarStorage(storage.data[3:20], type_name, root=storage, offset=3)
        content |= {
            f"{type_name} plain": tensor,
            f"{type_name} tied": tensor,
            # only what has a gradient can be a parameter, and PyTorch sets no other type than its default
            **({f"{type_name} parameter": parameter(tensor)} if dtype is np.float32 else {}),
            f"{type_name} transposed": TarTensor(storage, 0, (7, 5), (1, 7)),
            f"{type_name} strided": TarTensor(storage, 2, (4,), (9,)),
            f"{type_name} of a view": TarTensor(view, 2, (3, 5), (5, 1)),
        }
    return content


def test_a_state_dict_is_read(tmp_path: Path) -> None:
    path = write_torch_tar(tmp_path / "w.pth", small_content())
    assert looks_like_torch_tar(path.read_bytes()[:512])
    checkpoint = read_torch_tar(path)
    assert list(checkpoint.tensors) == ["fc.weight", "bn.running_mean"]
    np.testing.assert_array_equal(checkpoint.tensors["fc.weight"], SIX.reshape(2, 3), strict=True)
    np.testing.assert_array_equal(checkpoint.tensors["bn.running_mean"], SIX[:3], strict=True)
    assert checkpoint.dtypes == {"fc.weight": "float32", "bn.running_mean": "float32"}
    assert (checkpoint.container, checkpoint.path) == ("torch-tar", path)


def test_a_wrapped_state_dict_of_the_gpu_is_read(tmp_path: Path) -> None:
    storage = TarStorage(SIX, location="cuda:0")
    content = {"state_dict": {"w": TarTensor(storage, 0, (6,), (1,), module="torch.cuda")}, "epoch": 90}
    checkpoint = read_torch_tar(write_torch_tar(tmp_path / "w.pth", content))
    np.testing.assert_array_equal(checkpoint.tensors["w"], SIX)
    assert checkpoint.metadata == {"epoch": "90"}


def test_every_type_and_layout_is_read_and_shares_no_memory(tmp_path: Path) -> None:
    tensors = read_torch_tar(write_torch_tar(tmp_path / "w.pth", mixed_content())).tensors
    for number, (type_name, dtype) in enumerate(TYPES.items()):
        plain = (np.arange(35) * 5 - number).astype(dtype).reshape(5, 7)
        expected = {
            "plain": plain,
            "tied": plain,
            **({"parameter": plain} if dtype is np.float32 else {}),
            "transposed": plain.T,
            "strided": plain.reshape(-1)[[2, 11, 20, 29]],
            "of a view": plain.reshape(-1)[5:20].reshape(3, 5),
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(tensors[f"{type_name} {name}"], values, strict=True)
            assert tensors[f"{type_name} {name}"].flags.aligned
    arrays = list(tensors.values())
    for position, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[position + 1 :])


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_the_machine_and_the_protocol_make_no_difference(tmp_path: Path, little_endian: bool, protocol: int) -> None:
    members = tar_members(small_content(), little_endian, protocol)
    tensors = read_torch_tar(write_tar(tmp_path / "w.pth", dict(reversed(members.items())))).tensors
    np.testing.assert_array_equal(tensors["fc.weight"], SIX.reshape(2, 3))


def test_every_cut_is_told_as_one(tmp_path: Path) -> None:
    path = write_torch_tar(tmp_path / "w.pth", small_content())
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        members = {member.name: member.offset_data for member in archive}
    for length in sorted({*range(1, len(whole), 37), *range(512, len(whole), 512), *range(511, len(whole), 512)}):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert f"cut short after {length:,} " in message
        if length > members["storages"]:
            assert f"of {len(whole):,} bytes" in message
        if length == members["pickle"] + 1:
            assert "inside its member 'pickle'" in message
    path.write_bytes(whole[: members["storages"] + 1])
    assert f"of {len(whole):,} bytes, inside its member 'storages'" in refusal(path)


def test_flipped_bits_are_refused_or_give_other_numbers(tmp_path: Path) -> None:
    path = write_torch_tar(tmp_path / "w.pth", small_content())
    loaded, refused = read_all(read_torch_tar, path, with_flipped_bits(path.read_bytes(), 600))
    assert refused > 200
    assert all(checkpoint.tensors for checkpoint in loaded)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("sys_info", torch_pickle({"protocol_version": 1001}), "unknown version; the known one is 1000"),
        ("sys_info", torch_pickle([]), "unknown version"),
        ("sys_info", torch_pickle(TorchName("os", "system")), "refuses to run 'os.system'"),
        ("sys_info", b"", "cut short"),
        ("pickle", torch_pickle({"w": TorchName("os", "system")}), "refuses to run 'os.system'"),
        ("pickle", torch_pickle({"w": 0}, persistent_id=lambda value: "77" if value == 0 else None), "no tensor or"),
        ("pickle", torch_pickle({"w": 0}, persistent_id=lambda value: "-7" if value == 0 else None), "no tensor or"),
        ("pickle", torch_pickle({"w": 0}, persistent_id=lambda value: (1, 2) if value == 0 else None), "no tensor or"),
        ("pickle", torch_pickle({}) + b"more", "goes on for 4 bytes"),
        ("tensors", torch_pickle(TorchName("os", "system")), "refuses to run 'os.system'"),
        ("tensors", torch_pickle(-1), "does not say how many entries"),
        ("tensors", torch_pickle([[]]), "does not say how many entries"),
        ("tensors", torch_pickle(2**60), "cut short"),
        ("tensors", torch_pickle(1) + torch_pickle((1, 2)), "no tuple of 3 values"),
        ("storages", torch_pickle(0) + torch_pickle([]), "a tensor of what is no storage"),
        ("storages", torch_pickle(0) + torch_pickle({}), "does not end with a list of views"),
        ("storages", torch_pickle(0) + torch_pickle([(1, 2, 3, 4)]), "a view of what is no storage"),
        ("storages", torch_pickle(1) + torch_pickle((1, "cpu", "FloatStorage")), "without a number and a type"),
        ("storages", torch_pickle(1) + torch_pickle((-1, "cpu", TorchName("torch", "FloatStorage"))), "without"),
    ],
)
def test_members_that_deceive_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    members = {**tar_members(small_content()), name: content}
    assert reason in refusal(write_tar(tmp_path / "w.pth", members))


@pytest.mark.parametrize("elements", [-1, 5, 7, 2**40, 2**60, 2**63 - 1])
def test_numbers_of_elements_that_are_wrong_are_refused(tmp_path: Path, elements: int) -> None:
    members = tar_members({"w": whole_tensor(SIX)})
    right = struct.pack("<q", 6) + SIX.tobytes()
    assert right in members["storages"]
    members["storages"] = members["storages"].replace(right, struct.pack("<q", elements) + SIX.tobytes())
    refusal(write_tar(tmp_path / "w.pth", members))


@pytest.mark.parametrize(("offset", "shape", "strides"), WINDOWS_BEYOND_SIX)
def test_windows_beyond_their_storage_are_refused(tmp_path: Path, offset: int, shape: Any, strides: Any) -> None:
    storage = TarStorage(SIX)
    for place in (storage, TarStorage(SIX, root=storage)):
        content = {"w": TarTensor(place, offset, shape, strides)}
        assert "corrupt" in refusal(write_torch_tar(tmp_path / "w.pth", content))


def test_a_rank_that_is_none_is_refused(tmp_path: Path) -> None:
    members = tar_members({"w": whole_tensor(SIX)})
    for rank in (-1, 65, 2**31 - 1):
        tensors = members["tensors"].replace(struct.pack("<ii", 1, 7), struct.pack("<ii", rank, 7))
        assert f"with {rank} dimensions" in refusal(write_tar(tmp_path / "w.pth", {**members, "tensors": tensors}))


@pytest.mark.parametrize(
    ("offset", "elements", "reason"), [(2, 5, "does not fit"), (-1, 3, "does not fit"), (2**62, 2**62, "does not fit")]
)
def test_views_beyond_their_root_are_refused(tmp_path: Path, offset: int, elements: int, reason: str) -> None:
    tensor = whole_tensor(SIX)
    members = tar_members({"w": tensor})
    views = torch_pickle([(1, tensor.storage.key, offset, elements)])
    members["storages"] = members["storages"].removesuffix(torch_pickle([])) + views
    assert reason in refusal(write_tar(tmp_path / "w.pth", members))


def test_keys_that_stand_twice_are_refused(tmp_path: Path) -> None:
    tensor = whole_tensor(SIX)
    members = tar_members({"w": tensor})
    tensors = tensors_member([tensor, tensor])
    assert "twice" in refusal(write_tar(tmp_path / "w.pth", {**members, "tensors": tensors}))
    one = storages_member([tensor.storage]).removeprefix(torch_pickle(1)).removesuffix(torch_pickle([]))
    storages = torch_pickle(2) + one + one + torch_pickle([])
    assert "twice" in refusal(write_tar(tmp_path / "w.pth", {**members, "storages": storages}))


def test_a_tensor_of_another_type_than_its_storage_is_refused(tmp_path: Path) -> None:
    tensor = whole_tensor(SIX)
    members = tar_members({"w": tensor})
    members["tensors"] = members["tensors"].replace(b"FloatTensor", b"DoubleTensor")
    assert "of another type than its storage of float32" in refusal(write_tar(tmp_path / "w.pth", members))


@pytest.mark.parity
def test_tensors_are_those_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    content = mixed_content()
    path = write_torch_tar(tmp_path / "w.pth", content)
    expected = torch.load(path, weights_only=False)
    tensors = read_torch_tar(path).tensors
    assert list(tensors) == list(expected) == list(content)
    for name, tensor in expected.items():
        assert_same_bits(tensors[name], tensor)


def test_entries_take_no_more_together_than_those_of_many_tensors(tmp_path: Path) -> None:
    def entry(key: int) -> bytes:
        steps = torch_pickle((key, "cpu", TorchName("torch", "FloatStorage")))
        return steps[:2] + b"N0" * 200_000 + steps[2:] + struct.pack("<q", 0)

    storages = torch_pickle(3) + b"".join(map(entry, range(3))) + torch_pickle([])
    path = write_tar(tmp_path / "w.pth", {**tar_members(small_content()), "storages": storages})
    assert "member 'storages' has entries of more than 1048576 bytes together" in refusal(path)
