"""The pickle inside a PyTorch file: nothing it names is run, and damage is a WeightsError."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.torch_pickle import _rebuild_tensor_v2, read_torch_pickle
from gradcli.errors import WeightsError

MARKER = "GRADCLI_TEST_PAYLOAD_RAN"


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
    "builtins.getattr": (getattr, (os, "x"), r"builtins?\S*\.getattr"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("case", PAYLOADS)
def test_payloads_are_refused_by_name_and_do_not_run(
    torch_zip: Any, monkeypatch: pytest.MonkeyPatch, case: str, protocol: int
) -> None:
    function, arguments, name = PAYLOADS[case]
    if case == "builtins.getattr":
        arguments = ("text", "upper")
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
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "defaultdict"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch.storage", "FloatStorage"),
        ("numpy", "ndarray"),
        ("builtins", "dict"),
        ("torchvision.models.resnet", "ResNet"),
        ("__torch__.net", "Net"),
    ],
)
def test_only_exact_pairs_of_module_and_name_are_known(torch_zip: Any, module: str, name: str) -> None:
    pickled = f"\x80\x02c{module}\n{name}\n.".encode("latin-1")
    with pytest.raises(WeightsError, match=f"refuses to run '{module}.{name}'"):
        read_torch_pickle(pickled, "file.pth")
    by_stack = (
        b"\x80\x04" + torch_zip.pickle_value(module) + torch_zip.pickle_value(name) + b"\x93."  # STACK_GLOBAL
    )
    with pytest.raises(WeightsError, match=f"refuses to run '{module}.{name}'"):
        read_torch_pickle(by_stack, "file.pth")


ORDERED = b"ccollections\nOrderedDict\n"
MALFORMED = {
    "empty": b"",
    "no end": b"\x80\x02}",
    "stack underflow": b"\x80\x02R.",
    "memo index of gigabytes": b"\x80\x02}r\xff\xff\xff\x7f.",
    "trailing pickle": b"\x80\x02}.\x80\x02}.",
    "opcode of protocol 0": b"I1\n.",
    "INST": b"(ios\nsystem\n.",
    "OBJ": b"(" + ORDERED + b"o.",
    "NEWOBJ": b"\x80\x02" + ORDERED + b")\x81.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id as text": b"P0\n.",
    "persistent id of another kind": b"\x80\x02K\x00Q.",
    "call of a storage type": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "call of a dictionary": b"\x80\x02})R.",
    "items set on a number": b"\x80\x02K\x00K\x01K\x02s.",
    "items set on a function": b"\x80\x02" + ORDERED + b"K\x01K\x02s.",
    "state of a number": b"\x80\x02K\x00}K\x01K\x02sb.",
    "appending to a dictionary": b"\x80\x02}K\x01a.",
    "unhashable key": b"\x80\x02}}K\x01s.",
    "rebuild without a storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))t\x89NtR.",
    "text that is no UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "length beyond the end": b"\x80\x02X\xff\xff\xff\x7f.",
    "protocol of the future": b"\x80\x63}.",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_pickles_are_one_line_weights_errors(case: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_torch_pickle(MALFORMED[case], "file.pth")
    assert str(caught.value).startswith("file.pth: ")
    assert "\n" not in str(caught.value)


def test_attributes_set_on_a_dictionary_are_dropped() -> None:
    # BUILD with {'items': 0}: an attribute that shadows the method would break whoever reads the dictionary
    pickled = b"\x80\x02" + ORDERED + b")RX\x01\x00\x00\x00aK\x01s}X\x05\x00\x00\x00itemsK\x00sb."
    content = read_torch_pickle(pickled, "file.pth")
    assert dict(content.items()) == {"a": 1}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_values_of_every_protocol_are_read(protocol: int) -> None:
    content = {"a": [1, -2.5, True, None, "é"], "b": (2**40, {"c": ()}), "long": "x" * 300}
    assert read_torch_pickle(pickle.dumps(content, protocol=protocol), "file.pth") == content


def test_sizes_become_tuples() -> None:
    assert read_torch_pickle(b"\x80\x02ctorch\nSize\n(K\x02K\x03t\x85R.", "file.pth") == (2, 3)


def test_a_tuple_of_tuples_is_no_key_however_deep() -> None:
    # t = (t, t) forty times over: its hash would take 2**40 steps.
    nest = b")q\x000" + b"h\x00h\x00\x86q\x000" * 40 + b"h\x00"
    with pytest.raises(WeightsError, match="a tuple is the key of a dictionary"):
        read_torch_pickle(b"\x80\x02}" + nest + b"K\x01s.", "deep.pth")


def test_a_pickle_changes_nothing_of_the_reader() -> None:
    before = _rebuild_tensor_v2.__defaults__
    pickled = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b0}."
    with pytest.raises(WeightsError, match="attributes are set on what is no dictionary"):
        read_torch_pickle(pickled, "set.pth")
    assert _rebuild_tensor_v2.__defaults__ == before
