"""Files that PyTorch writes load bit for bit as PyTorch has them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import WeightsError
from tests.checkpoints.damage import refusal_of
from tests.checkpoints.pytorch_bits import assert_same_bits, sample

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]

# PyTorch has no typed storages of these. It can't read its own legacy files of them, and does not swap their bytes.
UNTYPED = ["uint16", "uint32", "uint64"]


class WriteOnly:
    """A stream that can't be gone back in."""

    def __init__(self, stream: Any) -> None:
        self.write = stream.write
        self.flush = stream.flush


def swap_byte_order(path: Path, item_size: int) -> None:
    """Make of a file what a machine of the other byte order writes."""
    torch = pytest.importorskip("torch")
    reader = torch._C.PyTorchFileReader(str(path))
    records = {name: reader.get_record(name) for name in reader.get_all_records()}
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, record in records.items():
        if name == "byteorder":
            record = b"big"
        elif name.startswith("data/"):
            record = np.frombuffer(record, f"u{item_size}").byteswap().tobytes()
        if name not in ("version", ".data/serialization_id"):  # the writer's own
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "container",
    ["zip", "zip, streamed", "zip, big-endian", "legacy, protocol 2", "legacy, protocol 4", "legacy, protocol 5"],
)
def test_every_dtype_and_layout(tmp_path: Path, dtype: str, container: str) -> None:
    torch = pytest.importorskip("torch")
    base = sample(dtype)
    tensors = {
        "plain": base,
        "transposed": base.t(),
        "columns": base[:, 1:4],
        "strided": base.flatten()[3::5],
        "expanded": base[0].expand(3, 6),
        "channels last": base.clone().reshape(1, 2, 3, 4).permute(0, 3, 1, 2),
        "scalar": base[1, 2],
        "empty": base[:0],
        "tied": base,
        "alone": base[1].clone(),
        "no storage": torch.empty(0, 3, dtype=base.dtype),
    }
    path = tmp_path / "w.pth"
    legacy, _, protocol = container.partition(", protocol ")
    if container == "zip, streamed":
        with path.open("wb") as stream:
            torch.save(tensors, WriteOnly(stream))
    elif legacy == "legacy":
        torch.save(tensors, path, pickle_protocol=int(protocol), _use_new_zipfile_serialization=False)
    else:
        torch.save(tensors, path)
    if container == "zip, big-endian":
        swap_byte_order(path, base.element_size())
    reference = tensors
    if dtype not in UNTYPED or container in ("zip", "zip, streamed"):
        reference = torch.load(path, weights_only=legacy != "legacy")
    checkpoint = load_checkpoint(path)
    assert list(checkpoint.tensors) == list(tensors)
    assert checkpoint.container == ("torch-legacy" if legacy == "legacy" else "torch-zip")
    for name, expected in tensors.items():
        assert_same_bits(checkpoint.tensors[name], expected)
        assert_same_bits(checkpoint.tensors[name], reference[name])
        assert checkpoint.dtypes[name] == dtype


@pytest.mark.parity
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_zip", [True, False])
def test_parameters_and_a_training_checkpoint(tmp_path: Path, protocol: int, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 3, 3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 5,
        "state_dict": nn.DataParallel(model).state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    torch.save(content, tmp_path / "w.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=as_zip)
    checkpoint = load_checkpoint(tmp_path / "w.pt")
    expected = model.state_dict()
    assert list(checkpoint.tensors) == [f"module.{name}" for name in expected]
    for name, tensor in expected.items():
        assert_same_bits(checkpoint.tensors[f"module.{name}"], tensor)
    assert checkpoint.metadata == {"epoch": "5"}
    assert checkpoint.ignored == ("optimizer", "parameter")
    torch.save(dict(model.named_parameters()), tmp_path / "p.pt")
    parameters = load_checkpoint(tmp_path / "p.pt").tensors
    for name, parameter in model.named_parameters():
        assert_same_bits(parameters[name], parameter)


@pytest.mark.parity
@pytest.mark.parametrize("as_zip", [True, False])
def test_a_whole_pickled_model_is_refused(tmp_path: Path, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth", _use_new_zipfile_serialization=as_zip)
    message = refusal_of(load_checkpoint, tmp_path / "w.pth")
    assert "refuses to run 'torch.nn.modules.linear.Linear'" in message
    assert "save model.state_dict() instead" in message


@pytest.mark.parity
def test_files_without_checksums_and_of_another_alignment(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.serialization import config

    tensors = {"w": torch.randn(33), "half": torch.randn(7).half(), "b": torch.randn(5)}
    with config.patch({"save.storage_alignment": 4096}):
        torch.save(tensors, tmp_path / "aligned.pth")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tensors, tmp_path / "unchecked.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    for name in ("aligned.pth", "unchecked.pth"):
        checkpoint = load_checkpoint(tmp_path / name)
        for key, tensor in tensors.items():
            assert_same_bits(checkpoint.tensors[key], tensor)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["TorchScript", "torch.export"])
def test_archives_of_programs_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that TorchScript is on its way out
        if kind == "TorchScript":
            torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
        else:
            torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), path)
    with pytest.raises(WeightsError, match=f"is a (program of )?{kind}"):
        load_checkpoint(path)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_go_both_ways(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    base = sample(dtype)
    save_file({"w": base}, tmp_path / "theirs.safetensors")
    checkpoint = load_checkpoint(tmp_path / "theirs.safetensors")
    assert_same_bits(checkpoint.tensors["w"], base)
    assert checkpoint.dtypes == {"w": dtype}
    save_safetensors(tmp_path / "ours.safetensors", {"w": checkpoint.tensors["w"].T})
    theirs = load_file(tmp_path / "ours.safetensors")["w"]
    assert_same_bits(checkpoint.tensors["w"], theirs.t())
    assert torch.is_tensor(theirs)
