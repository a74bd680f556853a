"""The zip container of torch.save: archives that are cut, damaged, or made to deceive."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.errors import WeightsError


def test_a_wrapped_state_dict_with_module_prefix(torch_zip: Any) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    state_dict = {"module.fc.weight": torch_zip.whole(weight), "module.fc.bias": torch_zip.whole(weight[0])}
    path = torch_zip.write({"state_dict": state_dict, "epoch": 90, "optimizer": {"state": {}}})
    checkpoint = load_checkpoint(path)
    assert list(checkpoint.tensors) == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(checkpoint.tensors["fc.weight"], weight)
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
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)
        if length >= 4:
            assert f"cut short after {length} bytes" in str(caught.value)


def test_flipped_bytes_never_change_a_value_or_raise_anything_else(torch_zip: Any, tmp_path: Path) -> None:
    whole = torch_zip.state_dict_bytes()
    path = tmp_path / "damaged.pth"
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            tensors = load_checkpoint(path).tensors
        except WeightsError:
            refused += 1
        else:
            np.testing.assert_array_equal(tensors["fc.weight"], np.arange(6).reshape(2, 3))
            np.testing.assert_array_equal(tensors["steps"], 7)
    assert refused > 500


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


def test_compressed_records_are_refused(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.zeros(10**6, np.float32))}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed or encrypted"):
        load_checkpoint(path)


def test_encrypted_records_are_refused(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.zeros(2, np.float32))})
    data = bytearray(path.read_bytes())
    start = 0
    while (start := data.find(b"PK\x01\x02", start)) >= 0:  # flag bits of each directory entry
        data[start + 8] |= 1
        start += 4
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="compressed or encrypted"):
        load_checkpoint(path)


def test_two_records_of_one_name_are_refused(torch_zip: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of the duplicate it is asked to write
        path = torch_zip.write({"w": torch_zip.whole(np.zeros(2, np.float32))}, extra={"archive/data/0": b"x"})
    with pytest.raises(WeightsError, match="two records of one name"):
        load_checkpoint(path)


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
