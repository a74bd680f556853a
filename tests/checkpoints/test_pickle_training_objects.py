"""What training frameworks keep beside their weights keeps nobody from reading the weights, and does nothing."""

from __future__ import annotations

import collections
import decimal
import fractions
import pickle
import random
import types
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.pickle_objects import Constructor, Name, Record
from gradcli.checkpoints.pickle_training_objects import TRAINING_GLOBALS
from gradcli.checkpoints.torch_pickle import read_torch_pickle
from gradcli.errors import WeightsError
from tests.checkpoints.torch_pickler import TorchCall, TorchName, torch_pickle

GETATTR = TorchName("__builtin__", "getattr")
ONE_CYCLE = TorchName("torch.optim.lr_scheduler", "OneCycleLR")
MODEL_CHECKPOINT = TorchName("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
ATTRIBUTES = TorchName("lightning_fabric.utilities.data", "AttributeDict")
CONFIG, NODE = TorchName("omegaconf.dictconfig", "DictConfig"), TorchName("omegaconf.nodes", "AnyNode")


def read(opcodes: bytes) -> Any:
    value, end = read_torch_pickle(opcodes, "file.pth")
    assert end == len(opcodes)
    return value


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.random.RandomState(0),
        np.random.default_rng(0),
        *(np.random.Generator(bits(0)) for bits in (np.random.MT19937, np.random.Philox, np.random.SFC64)),
        np.random.SeedSequence(3),
        np.float32,
        random.Random(0),
        decimal.Decimal("1.5"),
        fractions.Fraction(1, 3),
        types.SimpleNamespace(a=1),
        uuid.UUID(int=5),
        ...,
        Any,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]}",
)
def test_states_and_numbers_are_records_or_names(value: Any, protocol: int) -> None:
    assert isinstance(read(pickle.dumps(value, protocol=protocol)), Record | Name)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "value",
    [
        TorchCall(GETATTR, (ONE_CYCLE, "_annealing_cos")),
        TorchName("torch.optim.lr_scheduler", "OneCycleLR._annealing_cos"),
    ],
    ids=["getattr", "dotted name"],
)
def test_the_functions_of_a_schedule_are_only_named(value: Any, protocol: int) -> None:
    found = read(torch_pickle({"anneal_func": value}, protocol))["anneal_func"]
    assert type(found) in (Record, Name)
    assert found.name == "torch.optim.lr_scheduler.OneCycleLR._annealing_cos"


@pytest.mark.parametrize("owner", ["text", (), {"a": 1}, 3, None, [TorchName("torch", "Size")]])
def test_getattr_is_for_what_is_on_the_list(owner: Any) -> None:
    with pytest.raises(WeightsError, match="refuses to run getattr on a "):
        read(torch_pickle(TorchCall(GETATTR, (owner, "__class__"))))


def test_what_getattr_names_is_not_called() -> None:
    function = b"c__builtin__\ngetattr\nctorch.optim.lr_scheduler\nOneCycleLR\nX\x04\x00\x00\x00step\x86R"
    with pytest.raises(WeightsError, match="a call of a Record, which is nothing to call"):
        read(b"\x80\x02" + function + b")R.")


@pytest.mark.parametrize(
    ("module", "name"), [key for key, value in TRAINING_GLOBALS.items() if isinstance(value, Name)]
)
def test_names_are_not_called(module: str, name: str) -> None:
    with pytest.raises(WeightsError, match="a call of a Name, which is nothing to call"):
        read(f"\x80\x02c{module}\n{name}\n)R.".encode("latin-1"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("addict.addict", "Dict"),
        ("easydict", "EasyDict"),
        ("lightning.fabric.utilities.data", "AttributeDict"),
        ("lightning_fabric.utilities.data", "AttributeDict"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict"),
        ("mmengine.config.config", "ConfigDict"),
        ("yacs.config", "CfgNode"),
    ],
)
def test_dictionaries_of_every_make_are_plain(module: str, name: str) -> None:
    opcodes = f"\x80\x02c{module}\n{name}\n".encode("latin-1")
    assert read(opcodes + b")\x81X\x01\x00\x00\x00aK\x01s}b.") == {"a": 1}
    assert read(opcodes + b"X\x01\x00\x00\x00aK\x01\x86\x85\x81}b.") == {"a": 1}  # its items as arguments
    assert read(opcodes + b"}X\x01\x00\x00\x00aK\x01s\x85R.") == {"a": 1}
    with pytest.raises(WeightsError, match="what are no pairs"):
        read(opcodes + b"K\x01\x85\x81.")


def test_pytorchs_version_is_text() -> None:
    version = TorchCall(TorchName("torch.torch_version", "TorchVersion"), ("2.4.0",), new=True)
    assert read(torch_pickle(version)) == "2.4.0"
    with pytest.raises(WeightsError, match="text is made of a int"):
        read(torch_pickle(TorchCall(version.function, (1,))))


def test_a_checkpoint_of_lightning_gives_its_weights(torch_zip: Any) -> None:
    content = {
        "epoch": 3,
        "state_dict": {"weight": torch_zip.whole(np.float32([1, 2]))},
        "callbacks": {MODEL_CHECKPOINT: {"best_model_path": "x"}},
        "lr_schedulers": [{"anneal_func": TorchCall(GETATTR, (ONE_CYCLE, "_annealing_cos"))}],
        "hyper_parameters": TorchCall(ATTRIBUTES, new=True),
        "hparams_type": ATTRIBUTES,
    }
    checkpoint = load_checkpoint(torch_zip.write(content))
    np.testing.assert_array_equal(checkpoint.tensors["weight"], np.float32([1, 2]))
    assert checkpoint.metadata == {"epoch": "3"}
    assert set(checkpoint.ignored) == {"callbacks", "lr_schedulers", "hyper_parameters", "hparams_type"}


def test_a_configuration_whose_parts_know_what_they_are_part_of() -> None:
    # as OmegaConf writes it: each node has its parent in its state
    node = b"comegaconf.nodes\nAnyNode\n)\x81}X\x07\x00\x00\x00_parenth\x00sb"
    config = (
        b"comegaconf.dictconfig\nDictConfig\n)\x81q\x00}X\x08\x00\x00\x00_content}X\x01\x00\x00\x00a" + node + b"ssb"
    )
    found = read(b"\x80\x02" + config + b".")
    assert found.name == "omegaconf.dictconfig.DictConfig"
    assert found.state["_content"]["a"].state["_parent"] is found


def test_constructors_are_gradclis_own() -> None:
    constructors = [value for value in TRAINING_GLOBALS.values() if isinstance(value, Constructor)]
    assert {value.function.__module__.partition(".")[0] for value in constructors} == {"gradcli"}
    assert all(isinstance(value, Constructor | Name) for value in TRAINING_GLOBALS.values())


@pytest.mark.parity
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_pytorch_writes_beside_the_weights(tmp_path: Path, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedulers = torch.optim.lr_scheduler
    schedule = schedulers.OneCycleLR(optimizer, max_lr=0.1, total_steps=10).state_dict()
    content = collections.OrderedDict(
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        scheduler={**schedule, "anneal_func": schedulers.OneCycleLR._annealing_cos},
        milestones=schedulers.MultiStepLR(optimizer, [1, 2]).state_dict(),
        generator=torch.Generator(),
        numpy=np.random.default_rng(0),
        version=torch.__version__,
        scheme=torch.per_tensor_affine,
        layout=torch.strided,
    )
    path = tmp_path / "training.pth"
    torch.save(content, path, pickle_protocol=protocol)
    checkpoint = load_checkpoint(path)
    assert checkpoint.tensors.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(checkpoint.tensors["weight"], model.weight.detach().numpy())
    assert checkpoint.metadata["version"] == str(torch.__version__)
