"""The pickle inside a PyTorch file: nothing it names is run, and damage is a WeightsError."""

from __future__ import annotations

import argparse
import os
import pathlib
import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.torch_pickle import ParameterRecord, StorageRecord, TensorRecord, read_torch_pickle
from gradcli.errors import WeightsError
from tests.checkpoints.torch_pickler import TorchName, torch_pickle

MARKER = "GRADCLI_TEST_PAYLOAD_RAN"


def read(opcodes: bytes) -> Any:
    value, end = read_torch_pickle(opcodes, "file.pth")
    assert end == len(opcodes)
    return value


class Payload:
    """Pickles as a call of `function`, which a careless reader makes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


PAYLOADS = {
    "os.system": (os.system, ("exit 1",), r"(posix|nt)\.system"),
    "builtins.eval": (
        eval,
        (f"__import__('os').environ.__setitem__('{MARKER}', '1')",),
        r"builtins?\S*\.eval",
    ),
    "builtins.exec": (exec, (f"import os; os.environ['{MARKER}'] = '1'",), r"builtins?\S*\.exec"),
    "os.putenv": (os.putenv, (MARKER, "1"), r"(posix|nt)\.putenv"),
    "numpy.load": (np.load, ("/nowhere.npy",), r"numpy\S*\.load"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("case", PAYLOADS)
def test_payloads_are_refused_by_name_and_do_not_run(
    torch_zip: Any, monkeypatch: pytest.MonkeyPatch, case: str, protocol: int
) -> None:
    function, arguments, name = PAYLOADS[case]
    ran: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *given, **options: ran.append(given))
    monkeypatch.delenv(MARKER, raising=False)
    path = torch_zip.write(pickle.dumps({"weight": Payload(function, *arguments)}, protocol=protocol))
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    assert ran == []
    assert MARKER not in os.environ
    assert str(caught.value).startswith(f"{path}: refuses to run '")
    assert re.search(name, str(caught.value).replace("__builtin__", "builtins"))


def test_a_payload_writes_no_file(torch_zip: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    command = Payload(os.system, f"touch '{victim}'")
    path = torch_zip.write(pickle.dumps({"weight": command}, protocol=2))
    with pytest.raises(WeightsError, match="refuses to run"):
        load_checkpoint(path)
    assert not victim.exists()
    pickle.loads(pickle.dumps(command))
    assert victim.exists(), "the payload is harmless by itself, so its absence above proved nothing"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "setattr"),
        ("torch.optim.lr_scheduler", "OneCycleLR.step"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("__builtin__", "execfile"),
        ("builtins", "set.__class__"),
        ("importlib", "import_module"),
        ("pkgutil", "resolve_name"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("runpy", "run_path"),
        ("ctypes", "CDLL"),
        ("copyreg", "_reconstructor"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "OrderedDict.__reduce__"),
        ("collections", "namedtuple"),
        ("collections.abc", "OrderedDict"),
        ("argparse", "ArgumentParser"),
        ("argparse", "Namespace.__init__"),
        ("pathlib", "Path.unlink"),
        ("_codecs", "decode"),
        ("numpy", "load"),
        ("numpy", "frombuffer"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.core.multiarray", "scalar.__class__"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "_import_dotted_name"),
        ("torch.storage", "FloatStorage"),
        ("__main__", "Net"),
        ("", ""),
    ],
)
def test_only_exact_pairs_of_module_and_name_are_known(module: str, name: str) -> None:
    pickled = f"\x80\x02c{module}\n{name}\n.".encode("latin-1")
    message = f"^file.pth: refuses to run '{module}.{name}', which its pickle asks for at byte "
    with pytest.raises(WeightsError, match=message + "2: only tensors in plain dictionaries"):
        read(pickled)
    with pytest.raises(WeightsError, match=message):
        read(torch_pickle(TorchName(module, name), protocol=4))


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        ("torchvision.models.resnet", "ResNet", "a whole pickled model is code; save model.state_dict"),
        ("torch.nn.modules.container", "Sequential", "a whole pickled model is code"),
        ("timm.models.resnet", "ResNet", "a whole pickled model is code"),
        ("__torch__.net", "Net", "a whole pickled model is code"),
        ("torch._utils", "_rebuild_sparse_tensor", "a sparse tensor; only dense tensors"),
        ("torch._utils", "_rebuild_qtensor", "a quantized tensor"),
        ("torch._utils", "_rebuild_nested_tensor", "a nested tensor"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage", "a tensor on the meta device"),
        ("torch._utils", "_rebuild_wrapper_subclass", "a tensor of a subclass"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy", "a tensor of a special device"),
        ("torch.storage", "_load_from_bytes", "the file is written with pickle, not with torch.save"),
    ],
)
def test_what_is_often_met_is_refused_with_its_reason(module: str, name: str, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"refuses to run '{module}.{name}'.*: {reason}"):
        read(f"\x80\x02c{module}\n{name}\n.".encode("latin-1"))


# Tensors

STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
WINDOW = b"K\x01K\x02\x85K\x03\x85"  # offset 1, shape (2,), strides (3,)
HOOKS = b"ccollections\nOrderedDict\n)R"
RECORD = TensorRecord(StorageRecord("float32", "0", 6), 1, (2,), (3,), "float32")
V1 = b"ctorch._utils\n_rebuild_tensor\n(" + STORAGE + WINDOW + b"tR"
V2 = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + WINDOW + b"\x89" + HOOKS + b"tR"
UNTYPED = STORAGE.replace(b"ctorch\nFloatStorage\n", b"ctorch.storage\nUntypedStorage\n")
V3 = b"ctorch._utils\n_rebuild_tensor_v3\n(" + UNTYPED + WINDOW + b"\x89" + HOOKS + b"ctorch\nuint16\ntR"
FROM_TYPE = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"
ARGUMENTS = b"(" + STORAGE + WINDOW + b"\x89" + HOOKS + b"t}t"


@pytest.mark.parametrize(
    ("opcodes", "record"),
    [
        (V1, RECORD),
        (V2, RECORD),
        (V3, RECORD._replace(storage=StorageRecord(None, "0", 6), dtype="uint16")),
        (b"ctorch._utils\n_rebuild_parameter\n(" + V2 + b"\x88" + HOOKS + b"tR", RECORD),
        (b"ctorch._utils\n_rebuild_parameter_with_state\n(" + V2 + b"\x88" + HOOKS + b"}tR", RECORD),
        (FROM_TYPE + b"ctorch\nTensor\n" + ARGUMENTS + b"R", RECORD),
    ],
)
def test_tensors_become_records(opcodes: bytes, record: TensorRecord) -> None:
    assert read(b"\x80\x02" + opcodes + b".") == record


@pytest.mark.parametrize(
    "opcodes",
    [
        b"ctorch.nn.parameter\nParameter\n)\x81(" + V2 + b"NN\x88\x89tb",
        b"ctorch.nn.parameter\nParameter\n" + V2 + b"\x88\x86R",
        b"ctorch.nn.parameter\nParameter\n" + V2 + b"\x85\x81(\x88\x89Ntb",
        b"ctorch.nn.parameter\nBuffer\n" + V2 + b"\x85R",
    ],
)
def test_parameters_of_old_files_have_their_tensor(opcodes: bytes) -> None:
    value = read(b"\x80\x02" + opcodes + b".")
    assert isinstance(value, ParameterRecord)
    assert value.tensor == RECORD


def test_a_parameter_that_never_gets_a_tensor_has_none() -> None:
    assert read(b"\x80\x02ctorch.nn.parameter\nParameter\n)\x81}b.").tensor is None


@pytest.mark.parametrize("module", ["torch", "torch.cuda"])
@pytest.mark.parametrize(
    ("name", "dtype"), [("FloatStorage", "float32"), ("HalfTensor", "float16"), ("LongStorage", "int64")]
)
def test_classes_of_storages_and_tensors_are_types(module: str, name: str, dtype: str) -> None:
    assert read(f"c{module}\n{name}\n.".encode()).dtype == dtype


def test_persistent_ids_can_be_the_callers() -> None:
    value, _ = read_torch_pickle(b"\x80\x02U\x0512345Q.", "file.pth", persistent_load=lambda identifier: [identifier])
    assert value == ["12345"]


ORDERED = b"ccollections\nOrderedDict\n"
MALFORMED = {
    "empty": (b"", "cut short"),
    "no end": (b"\x80\x02}", "cut short"),
    "persistent id of another kind": (b"\x80\x02K\x00Q.", "names no storage"),
    "persistent id of another length": (b"\x80\x02X\x07\x00\x00\x00storage\x85Q.", "names no storage"),
    "persistent id without a type": (STORAGE.replace(b"ctorch\nFloatStorage\n", b"N") + b".", "without a type"),
    "call of a storage type": (b"ctorch\nFloatStorage\n)R.", "call of a StorageType"),
    "call of a dtype": (b"ctorch\nfloat32\n)R.", "call of a _DType"),
    "call of a tensor": (V2 + b")R.", "call of a TensorRecord"),
    "state of a tensor": (V2 + b"}b.", "state is set on a TensorRecord"),
    "state of a storage": (STORAGE + b"}b.", "state is set on a StorageRecord"),
    "state of a function": (b"ctorch._utils\n_rebuild_tensor_v2\n}b.", "state is set on a Constructor"),
    "items set on a function": (ORDERED + b"K\x01K\x02s.", "set on a Constructor"),
    "items set on a parameter": (b"ctorch.nn.parameter\nParameter\n)\x81NNs.", "set on a ParameterRecord"),
    "tensor as key": (b"}" + V2 + b"Ns.", "a TensorRecord is the key"),
    "rebuild without a storage": (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))t\x89NtR.", "corrupt"),
    "rebuild of nothing": (b"ctorch._utils\n_rebuild_tensor\n(NK\x00))tR.", "a tensor without a storage"),
    "rebuild with metadata": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + WINDOW + b"\x89N}X\x04\x00\x00\x00conj\x88stR.",
        "conjugated",
    ),
    "dtype that is none": (V3.replace(b"ctorch\nuint16\n", b"N") + b".", "a tensor whose dtype is none"),
    "parameter without a tensor": (b"ctorch._utils\n_rebuild_parameter\nN\x88N\x87R.", "a parameter without a tensor"),
    "subclass of a tensor": (FROM_TYPE + b"cpathlib\nPath\n" + ARGUMENTS + b"R.", "a subclass of torch.Tensor"),
    "rebuild by a collection": (
        FROM_TYPE.replace(b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict")
        + b"ctorch\nTensor\n"
        + ARGUMENTS
        + b"R.",
        "rebuilt by what rebuilds none",
    ),
    "size of text": (b"ctorch\nSize\nX\x01\x00\x00\x00a\x85R.", "a size is made of a str"),
    "dictionary of a number": (ORDERED + b"K\x01\x85R.", "made of a int"),
    "dictionary of no pairs": (ORDERED + b"]K\x01a\x85R.", "no pairs"),
    "dictionary of an expensive key": (ORDERED + b"])\x85N\x86a\x85R.", "a tuple is the key"),
    "set of a number": (b"cbuiltins\nset\nK\x01\x85R.", "made of a int"),
    "bytes of a length": (b"cbuiltins\nbytes\nK\x05\x85R.", "0 positional arguments"),
    "bytes in another encoding": (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "Latin-1"),
    "bytes beyond Latin-1": (b"c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xac\x85R.", "can't encode"),
    "array of a length": (b"cbuiltins\nbytearray\nK\x05\x85R.", "Latin-1"),
    "complex number of text": (b"cbuiltins\ncomplex\nNN\x86R.", "no floats"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_pickles_are_one_line_weights_errors(case: str) -> None:
    opcodes, reason = MALFORMED[case]
    with pytest.raises(WeightsError, match=reason) as caught:
        read(opcodes)
    assert str(caught.value).startswith("file.pth: its pickle is ")
    assert "\n" not in str(caught.value)


def test_a_cut_anywhere_is_seen() -> None:
    for length in range(len(V2) + 2):
        with pytest.raises(WeightsError, match=r"^file.pth: its pickle is cut short"):
            read((b"\x80\x02" + V2 + b".")[:length])


def test_devices_and_layouts_are_records() -> None:
    assert read(b"ctorch\ndevice\nX\x04\x00\x00\x00cudaK\x01\x86R.").arguments == ("cuda", 1)
    assert read(b"ctorch.serialization\n_get_layout\nX\x0d\x00\x00\x00torch.strided\x85R.").name == "torch.layout"


def test_sizes_become_tuples() -> None:
    assert read(b"\x80\x02ctorch\nSize\n(K\x02K\x03t\x85R.") == (2, 3)


@pytest.mark.parity
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_value_beside_the_weights_that_pytorch_writes_is_read(protocol: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.arange(4.0))
    attributed = torch.arange(3.0)
    attributed.note = "text"
    beside = {
        "device": torch.device("cuda:0"),
        "dtype": torch.bfloat16,
        "size": torch.Size([1, 2]),
        "layout": torch.strided,
        "generator": torch.get_rng_state(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "random": random.getstate(),
        "numpy": np.random.RandomState(0).get_state(),
        "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("x")),
        "scalar": np.float64(1.5),
        "best": torch.tensor(0.5),
    }
    tensors = {"weight": weight, "attributed": attributed, "buffer": torch.nn.Buffer(torch.ones(2))}
    path = tmp_path / "training.pth"
    torch.save({"state_dict": tensors, **beside}, path, pickle_protocol=protocol)
    checkpoint = load_checkpoint(path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor.detach().numpy())
    assert checkpoint.metadata["args.lr"] == "0.1"
    assert checkpoint.metadata["scalar"] == "1.5"
