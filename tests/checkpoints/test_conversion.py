"""Converting weights files to safetensors."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import convert_checkpoint, load_checkpoint, save_safetensors
from gradcli.errors import DataError, UsageError, WeightsError
from tests.checkpoints.torch_legacy_writer import LegacyStorage, legacy_tensor, write_torch_legacy
from tests.checkpoints.torch_tar_writer import whole_tensor, write_torch_tar


def test_a_torch_file_becomes_safetensors(torch_zip: Any, tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float16).reshape(2, 3)
    content = {
        "model": {
            "w": torch_zip.whole(weight, "HalfStorage"),
            "b": torch_zip.whole(np.array([0x3F80], np.uint16), "BFloat16Storage"),
        },
        "epoch": 7,
        "optimizer": {},
    }
    source, destination = torch_zip.write(content), tmp_path / "out.safetensors"
    conversion = convert_checkpoint(source, str(destination))
    checkpoint = load_checkpoint(destination)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert checkpoint.metadata == {"epoch": "7", "source_sha256": sha256}
    assert checkpoint.dtypes == {"w": "float16", "b": "bfloat16"}
    np.testing.assert_array_equal(checkpoint.tensors["w"], weight)
    np.testing.assert_array_equal(checkpoint.tensors["b"], np.float32([1.0]))
    assert (conversion.source, conversion.destination) == (source, destination)
    assert (conversion.container, conversion.tensors, conversion.elements) == ("torch-zip", 2, 7)
    assert conversion.source_sha256 == sha256
    assert conversion.destination_sha256 == hashlib.sha256(destination.read_bytes()).hexdigest()
    assert conversion.source_dtypes == conversion.dtypes == {"float16": 1, "bfloat16": 1}
    assert (conversion.source_naming, conversion.naming) == ("unknown", "unknown")
    assert conversion.ignored == ("optimizer",)


def test_what_cannot_be_converted_leaves_nothing(torch_zip: Any, tmp_path: Path) -> None:
    source = torch_zip.write({"w": torch_zip.whole(np.ones(2, np.float32))})
    with pytest.raises(UsageError, match=r"name it out\.safetensors"):
        convert_checkpoint(source, tmp_path / "out.pth")
    with pytest.raises(DataError, match="does not exist"):
        convert_checkpoint(source, tmp_path / "missing" / "out.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        convert_checkpoint(tmp_path / "none.pth", tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == [source]


def test_the_source_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(1)})
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is the source itself"):
        convert_checkpoint(path, path)
    assert path.read_bytes() == before


def test_no_part_of_a_source_is_overwritten(tmp_path: Path) -> None:
    shard, index = tmp_path / "1.safetensors", tmp_path / "index.json"
    save_safetensors(shard, {"w": np.zeros(1)})
    index.write_text('{"weight_map": {"w": "1.safetensors"}}')
    with pytest.raises(UsageError, match="is the source itself"):
        convert_checkpoint(index, shard)
    convert_checkpoint(index, tmp_path / "whole.safetensors")
    assert list(load_checkpoint(tmp_path / "whole.safetensors").tensors) == ["w"]


FLOAT32_BITS = [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00005, 0x7F800001, 0xFFFFFFFF, 0x00000001]


def special_tensors() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors of many dtypes with signed zeros, infinities, subnormals and NaNs of several payloads."""
    single = np.array(FLOAT32_BITS, np.uint32)
    tensors = {
        "f32": single.view(np.float32),
        "bf16": (np.array([0, 0x8000, 0x7F80, 0xFF80, 0x7FC5, 0x7F81, 0xFFFF, 1], np.uint32) << 16).view(np.float32),
        "f16": np.array([0, 0x8000, 0x7C00, 0xFC00, 0x7E05, 0x7C01, 0xFFFF, 1], np.uint16).view(np.float16),
        "f64": np.array([0, 1 << 63, 0x7FF << 52, 0x7FF8000000000005, 1], np.uint64).view(np.float64),
        "bool": np.array([True, False]),
        "u64": np.array(2**64 - 1, np.uint64),
    }
    return tensors, {"bf16": "bfloat16"}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_without_a_dtype_every_bit_is_kept(tmp_path: Path) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "größe.safetensors"
    tensors, dtypes = special_tensors()
    save_safetensors(source, tensors, {"autor": "Zoë \U0001f40d", "zeile": "1\n2"}, dtypes)
    convert_checkpoint(source, destination, metadata={"note": "ü"})
    before, after = load_checkpoint(source), load_checkpoint(destination)
    assert after.dtypes == before.dtypes
    assert list(after.tensors) == list(before.tensors)
    for name, array in tensors.items():
        assert same_bits(after.tensors[name], array), name
    assert after.metadata == {
        "autor": "Zoë \U0001f40d",
        "zeile": "1\n2",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "note": "ü",
    }
    first = destination.read_bytes()
    convert_checkpoint(source, destination, metadata={"note": "ü"})
    assert destination.read_bytes() == first


# Both zeros, 1, a subnormal, both infinities, quiet and signalling NaNs with payloads
BFLOAT16_WORDS = np.array([0, 0x8000, 0x3F80, 1, 0x7F80, 0xFF80, 0x7FC5, 0x7F81, 0xFFFF], "<u2")


def bfloat16_zip(folder: Path, torch_zip: Any) -> Path:
    return torch_zip.write({"w": torch_zip.whole(BFLOAT16_WORDS, "BFloat16Storage")})


def bfloat16_legacy(folder: Path, torch_zip: Any) -> Path:
    storage = LegacyStorage("0", BFLOAT16_WORDS, "BFloat16Storage")
    return write_torch_legacy(folder / "w.pth", {"w": legacy_tensor(storage, 0, (9,), (1,))})


def bfloat16_tar(folder: Path, torch_zip: Any) -> Path:
    return write_torch_tar(folder / "w.pth", {"w": whole_tensor(BFLOAT16_WORDS, "BFloat16Storage")})


def bfloat16_shards(folder: Path, torch_zip: Any) -> Path:
    values = (BFLOAT16_WORDS.astype(np.uint32) << 16).view(np.float32)
    save_safetensors(folder / "1.safetensors", {"w": values}, dtypes={"w": "bfloat16"})
    (folder / "index.json").write_text('{"weight_map": {"w": "1.safetensors"}}')
    return folder / "index.json"


@pytest.mark.parametrize("write", [bfloat16_zip, bfloat16_legacy, bfloat16_tar, bfloat16_shards])
def test_bfloat16_of_every_container_is_kept_bit_for_bit(
    tmp_path: Path, torch_zip: Any, write: Callable[[Path, Any], Path]
) -> None:
    destination = tmp_path / "out.safetensors"
    conversion = convert_checkpoint(write(tmp_path, torch_zip), destination)
    assert conversion.dtypes == {"bfloat16": 1}
    assert destination.read_bytes().endswith(BFLOAT16_WORDS.tobytes())
    convert_checkpoint(destination, tmp_path / "wide.safetensors", dtype="float32")
    convert_checkpoint(tmp_path / "wide.safetensors", tmp_path / "back.safetensors", dtype="bfloat16")
    assert (tmp_path / "back.safetensors").read_bytes().endswith(BFLOAT16_WORDS.tobytes())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_dtype_changes_floating_point_tensors_only(tmp_path: Path, dtype: Any) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    tensors, dtypes = special_tensors()
    save_safetensors(source, tensors, dtypes=dtypes)
    conversion = convert_checkpoint(source, destination, dtype=dtype)
    after = load_checkpoint(destination)
    assert conversion.source_dtypes == {
        "float32": 1, "bfloat16": 1, "float16": 1, "float64": 1, "bool": 1, "uint64": 1
    }  # fmt: skip
    assert conversion.dtypes == {dtype: 4, "bool": 1, "uint64": 1}
    for name in ("bool", "u64"):
        assert same_bits(after.tensors[name], tensors[name])
    for name in ("f32", "bf16", "f16", "f64"):
        assert after.dtypes[name] == dtype
        with np.errstate(invalid="ignore"):  # of signalling NaNs
            expected = tensors[name].astype(np.float32 if dtype == "bfloat16" else dtype)
        finite = ~np.isnan(expected)
        if dtype != "bfloat16":
            np.testing.assert_array_equal(after.tensors[name], expected)
        np.testing.assert_array_equal(np.signbit(after.tensors[name][finite]), np.signbit(expected[finite]))
        np.testing.assert_array_equal(np.isnan(after.tensors[name]), ~finite)
    kept = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}[dtype]
    assert same_bits(after.tensors[kept], tensors[kept])


@pytest.mark.parametrize(
    ("dtype", "values", "message"),
    [
        (
            "float16",
            {"fine": [65504.0], "w": [65520.0, -7e4, 1.0], "v": [1e5]},
            r"3 values would become infinite in float16, which ends at 65504: in 2 of 3 tensors, first 'w' \(2\)",
        ),
        ("bfloat16", {"w": [3.4e38]}, "1 value would become infinite in bfloat16"),
        ("float32", {"w": [1e39, np.inf]}, "1 value would become infinite in float32"),
    ],
)
def test_a_value_too_large_for_the_dtype_is_refused(
    tmp_path: Path, dtype: Any, values: dict[str, list[float]], message: str
) -> None:
    source = tmp_path / "a.safetensors"
    save_safetensors(source, {name: np.array(numbers) for name, numbers in values.items()})
    with pytest.raises(WeightsError, match=message):
        convert_checkpoint(source, tmp_path / "b.safetensors", dtype=dtype)
    assert list(tmp_path.iterdir()) == [source]


def test_infinities_of_the_source_are_no_overflow(tmp_path: Path) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_safetensors(source, {"w": np.array([np.inf, -np.inf, 1.0])})
    convert_checkpoint(source, destination, dtype="float16")
    assert load_checkpoint(destination).tensors["w"].tolist() == [np.inf, -np.inf, 1.0]


RESNET_NAMES = {
    "conv1.weight": "resnet.embedder.embedder.convolution.weight",
    "bn1.running_mean": "resnet.embedder.embedder.normalization.running_mean",
    "layer1.0.conv1.weight": "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight",
    "layer2.0.downsample.0.weight": "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
    "fc.bias": "classifier.1.bias",
}


@pytest.mark.parametrize("naming", ["torchvision", "timm", "hf"])
@pytest.mark.parametrize("source_style", ["torchvision", "hf"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_names_are_written_in_the_style_asked_for(tmp_path: Path, naming: Any, source_style: str, prefix: str) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    names = [prefix + (other if source_style == "hf" else name) for name, other in RESNET_NAMES.items()]
    tensors = {name: np.full(2, i, np.float32) for i, name in enumerate(names)}
    save_safetensors(source, {**tensors, "extra": np.zeros(1)}, {"k": "v"})
    conversion = convert_checkpoint(source, destination, naming=naming)
    after = load_checkpoint(destination)
    written = list(RESNET_NAMES.values() if naming == "hf" else RESNET_NAMES)
    assert list(after.tensors) == [*written, "extra"]
    assert [int(after.tensors[name][0]) for name in written] == list(range(len(written)))
    assert after.metadata.get("format") == (None if naming == "torchvision" else "pt")
    assert after.metadata["k"] == "v"
    assert (conversion.source_naming, conversion.source_prefix) == (source_style, prefix)
    assert (conversion.naming, conversion.not_renamed) == (naming, ("extra",))


def test_with_a_naming_what_belongs_to_training_only_is_left_out_and_said(tmp_path: Path) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    backbone = [f"module.encoder_q.{name}" for name in RESNET_NAMES if not name.startswith("fc.")]
    head = ["module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.weight"]
    beside = [*(name.replace("_q.", "_k.") for name in backbone), "module.queue"]
    save_safetensors(source, {name: np.zeros(2) for name in (*backbone, *head, *beside)})
    conversion = convert_checkpoint(source, destination, naming="timm")
    expected = [name.removeprefix("module.encoder_q.") for name in (*backbone, *head)]
    assert sorted(load_checkpoint(destination).tensors) == sorted(expected)
    assert (conversion.tensors, conversion.elements, sum(conversion.dtypes.values())) == (
        len(expected),
        2 * len(expected),
        len(expected),
    )
    assert sorted(conversion.ignored) == sorted(beside)
    assert conversion.not_renamed == tuple(head)
    assert convert_checkpoint(source, destination).tensors == len((*backbone, *head, *beside))


def test_without_a_naming_names_are_kept(tmp_path: Path) -> None:
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_safetensors(source, {"module." + name: np.zeros(1) for name in RESNET_NAMES})
    conversion = convert_checkpoint(source, destination)
    assert list(load_checkpoint(destination).tensors) == ["module." + name for name in RESNET_NAMES]
    assert (conversion.source_naming, conversion.source_prefix) == ("torchvision", "module.")
    assert (conversion.naming, conversion.not_renamed) == ("torchvision", ())


@pytest.mark.parametrize(
    ("names", "naming", "message"),
    [
        (["w", "b"], "hf", r"a\.safetensors: its names are not those of a ResNet .* \(w, b"),
        (["layer1.0.conv1.weight", "classifier.1.bias", "fc.bias"], "hf", r"a\.safetensors: .*classifier\.1\.bias"),
    ],
)
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, names: list[str], naming: Any, message: str) -> None:
    source = tmp_path / "a.safetensors"
    save_safetensors(source, {name: np.zeros(1) for name in names})
    with pytest.raises(WeightsError, match=message):
        convert_checkpoint(source, tmp_path / "b.safetensors", naming=naming)
    assert list(tmp_path.iterdir()) == [source]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    source, destination = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_safetensors(source, {"w": np.zeros(10_000)})
    destination.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError, match=r"b\.safetensors: cannot be written: File too large"):
            convert_checkpoint(source, destination)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert destination.read_bytes() == b"old"
    assert set(tmp_path.iterdir()) == {source, destination}
