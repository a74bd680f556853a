"""The zip container of torch.save: archives that are cut, damaged, or made to deceive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.torch_zip_reader import read_torch_zip
from gradcli.errors import WeightsError
from tests.checkpoints.damage import cuts, read_all, refusal_of, with_flipped_bits
from tests.checkpoints.torch_zip_writer import zip_pickle
from tests.checkpoints.zip_builder import Member, build_zip

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_wrapped_state_dict_with_module_prefix(torch_zip: Any) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    state_dict = {"module.fc.weight": torch_zip.whole(weight), "module.fc.bias": torch_zip.whole(weight[0])}
    path = torch_zip.write({"state_dict": state_dict, "epoch": 90, "optimizer": {"state": {}}})
    checkpoint = load_checkpoint(path)
    assert list(checkpoint.tensors) == ["module.fc.weight", "module.fc.bias"]
    np.testing.assert_array_equal(checkpoint.tensors["module.fc.weight"], weight)
    assert checkpoint.metadata == {"epoch": "90"}
    assert checkpoint.ignored == ("optimizer",)
    assert (checkpoint.container, checkpoint.path) == ("torch-zip", path)


def test_storages_of_other_entries_are_not_needed(torch_zip: Any) -> None:
    weight = torch_zip.whole(np.ones(2, np.float32))
    lost = torch_zip.Storage("FloatStorage", "lost", np.zeros(9, np.float32))
    momentum = torch_zip.tensor(lost, 0, (9,), (1,))
    path = torch_zip.write({"model": {"w": weight}, "optimizer": {"momentum": momentum}})
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [1, 1])


def test_byte_order_may_be_absent_but_not_unknown(torch_zip: Any) -> None:
    content = {"w": torch_zip.whole(np.ones(2, np.float32))}
    np.testing.assert_array_equal(load_checkpoint(torch_zip.write(content, byteorder=None)).tensors["w"], [1, 1])
    with pytest.raises(WeightsError, match="byte order is b'middle'"):
        load_checkpoint(torch_zip.write(content, byteorder=b"middle"))


def test_every_cut_is_a_weights_error(torch_zip: Any, tmp_path: Path) -> None:
    whole = torch_zip.state_dict_bytes()
    path = tmp_path / "cut.pth"
    for length in cuts(whole):
        path.write_bytes(whole[:length])
        message = refusal_of(load_checkpoint, path)
        assert length < 4 or f"cut short after {length:,} bytes" in message


def test_flipped_bits_never_change_a_value_or_raise_anything_else(torch_zip: Any, tmp_path: Path) -> None:
    whole = torch_zip.state_dict_bytes()
    loaded, refused = read_all(read_torch_zip, tmp_path / "damaged.pth", with_flipped_bits(whole, 300))
    assert refused > 200
    for checkpoint in loaded:
        np.testing.assert_array_equal(checkpoint.tensors["fc.weight"], np.arange(6).reshape(2, 3))
        np.testing.assert_array_equal(checkpoint.tensors["steps"], 7)


def test_a_record_whose_checksum_was_not_written_is_read(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.arange(9, dtype=np.float32))})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        checksums = [info.CRC.to_bytes(4, "little") for info in archive.infolist()]
    for checksum in checksums:
        data = data.replace(checksum, bytes(4))
    path.write_bytes(data)
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], np.arange(9))


def test_a_wrong_checksum_is_refused(torch_zip: Any) -> None:
    values = np.arange(1000, dtype=np.float32)
    path = torch_zip.write({"w": torch_zip.whole(values)})
    data = path.read_bytes()
    path.write_bytes(data.replace(values.tobytes(), (values + 1).tobytes()))
    with pytest.raises(WeightsError, match=r"zip archive is corrupt .*CRC"):
        load_checkpoint(path)


def test_compressed_records_are_read(torch_zip: Any) -> None:
    # What packing the records again makes of them; PyTorch reads it too.
    values = np.arange(1000, dtype=np.float32)
    path = torch_zip.write({"w": torch_zip.whole(values)}, compression=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], values)


def test_records_nobody_names_are_not_read(torch_zip: Any) -> None:
    hidden = {"archive/other.pkl": b"cos\nsystem\n.", "archive/data/9.pkl": b"x", "notes.txt": b""}
    path = torch_zip.write({"w": torch_zip.whole(np.ones(2, np.float32))}, extra=hidden)
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [1, 1])


def test_a_second_pickle_behind_the_first_is_refused(torch_zip: Any) -> None:
    path = torch_zip.write(b"\x80\x02}.\x80\x02}.")
    with pytest.raises(WeightsError, match=r"its pickle is corrupt \(4 bytes follow its end\)"):
        load_checkpoint(path)


def test_two_storages_in_one_place_are_refused(torch_zip: Any) -> None:
    weight = torch_zip.tensor(torch_zip.Storage("FloatStorage", "0", np.ones(2, np.float32)), 0, (2,), (1,))
    content = zip_pickle({"w": weight})
    storage = Member(b"a/data/0", bytes(8))
    again = Member(b"a/data/0", bytes(8), directory={"name": b"a/data/1", "offset": 40 + len(content)})
    path = torch_zip.folder / "w.pth"
    path.write_bytes(build_zip([Member(b"a/data.pkl", content), storage]))
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [0, 0])
    path.write_bytes(build_zip([Member(b"a/data.pkl", content), storage, again]))
    with pytest.raises(WeightsError, match="another one in its local header"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"], "is a TorchScript archive, which holds code"),
        (["net/data.pkl", "net/code/__torch__/net.py"], "is a TorchScript archive"),
        (["net/archive_format", "net/models/model.json"], r"is a program of torch\.export \(\.pt2\)"),
        (["serialized_exported_program.json", "version"], r"is a program of torch\.export \(\.pt2\)"),
        (["files/resnet18.pth"], "is a zip archive that holds 'files/resnet18.pth'; unpack it"),
        (["notes.txt"], r"is a zip archive with no data\.pkl"),
    ],
)
def test_other_archives_are_refused_by_name(tmp_path: Path, members: list[str], message: str) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(build_zip([Member(name.encode()) for name in members]))
    with pytest.raises(WeightsError, match=message) as caught:
        read_torch_zip(path)
    assert "\n" not in str(caught.value)


def test_a_cut_file_of_pytorch_is_told_how_long_it_should_be(tmp_path: Path) -> None:
    source = FIXTURES / "torch_zip.pth"  # its sizes are given behind the data, and in the directory that is lost
    whole = source.read_bytes()
    with zipfile.ZipFile(source) as archive:
        pickled = archive.getinfo("torch_zip/data.pkl").file_size
        storages = sum(info.file_size for info in archive.infolist() if "/data/" in info.filename)
    start = whole.index(b"\x80\x02")
    needed = start + pickled + storages
    path = tmp_path / "cut.pth"
    for length in (start + pickled, 4000, needed - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            WeightsError, match=f"cut short after {length:,} bytes; its tensors need at least {needed:,};"
        ):
            read_torch_zip(path)
    for length in (start - 1, start + pickled - 1, needed, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=f"cut short after {length:,} bytes: the directory at the end"):
            read_torch_zip(path)


def test_damage_to_files_of_pytorch_never_changes_a_value(tmp_path: Path) -> None:
    source = FIXTURES / "torch_zip_big_endian.pth"
    expected = {name: array.tobytes() for name, array in read_torch_zip(source).tensors.items()}
    damaged = with_flipped_bits(source.read_bytes(), 300)
    loaded, refused = read_all(read_torch_zip, tmp_path / "damaged.pth", damaged)
    assert refused > 200
    for checkpoint in loaded:
        assert {name: array.tobytes() for name, array in checkpoint.tensors.items()} == expected


@pytest.mark.parametrize(("record", "count"), [("other/data.pkl", "more than one"), (None, "no")])
def test_there_is_exactly_one_pickle(torch_zip: Any, tmp_path: Path, record: str | None, count: str) -> None:
    if record:
        path = torch_zip.write({}, extra={record: b"\x80\x02}."})
    else:
        path = tmp_path / "other.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", b"\x80\x02}.")
    with pytest.raises(WeightsError, match=f"zip archive with {count} data.pkl"):
        load_checkpoint(path)


def test_the_folder_may_have_any_name(torch_zip: Any, tmp_path: Path) -> None:
    source = torch_zip.write({"w": torch_zip.whole(np.ones(2, np.float32))})
    path = tmp_path / "renamed.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename.replace("archive/", "my.résumé-1/"), old.read(info))
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [1, 1])


def test_names_that_differ_in_capitals_only_are_refused(torch_zip: Any) -> None:
    # PyTorch looks names up without regard to capitals, and would read the last of these.
    path = torch_zip.write({"w": torch_zip.whole(np.ones(2, np.float32))}, extra={"archive/DATA.pkl": zip_pickle({})})
    with pytest.raises(WeightsError, match=r"'archive/data.pkl' and 'archive/DATA.pkl' differ in capitals only"):
        load_checkpoint(path)


@pytest.mark.parametrize(("type_name", "elements"), [("IntStorage", 2), ("FloatStorage", 1), ("DoubleStorage", 1)])
def test_one_key_for_different_storages_is_refused(torch_zip: Any, type_name: str, elements: int) -> None:
    # PyTorch reads both as the type that comes first.
    array = np.float32([1, 2])
    first = torch_zip.Storage("FloatStorage", "0", array)
    second = torch_zip.Storage(type_name, "0", array, elements=elements)
    tensors = {"a": torch_zip.tensor(first, 0, (2,), (1,)), "b": torch_zip.tensor(second, 0, (1,), (1,))}
    with pytest.raises(WeightsError, match="storage '0' is declared twice, differently"):
        load_checkpoint(torch_zip.write(tensors, storages=[first]))


def test_numbers_of_elements_that_are_none_are_not_compared(torch_zip: Any) -> None:
    nested = b"]" * 5000 + b"a" * 4999
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + nested + b"tQ"
    with pytest.raises(WeightsError, match="nested deeper"):
        load_checkpoint(torch_zip.write(b"\x80\x02" + storage + b"0" + storage + b"."))
