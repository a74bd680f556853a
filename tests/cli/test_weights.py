"""`gradcli weights`: inspect and convert."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gradcli.checkpoints import CheckpointDescription, TensorDescription
from gradcli.checkpoints.conversion import ConversionDtype
from gradcli.checkpoints.dtypes import FLOATING_POINT_DTYPES
from gradcli.checkpoints.naming import WRITTEN_STYLES
from gradcli.cli.weights import TENSOR_COLUMNS, convert
from gradcli.inspection.weights import InspectedWeights
from tests.checkpoints.torch_zip_writer import TorchZip

Run = Callable[..., Any]

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def test_inspect_tells_names_norms_and_checksum(gradcli_json: Run, model_file: Path) -> None:
    document = gradcli_json("weights", "inspect", model_file)
    assert document["schema"] == "gradcli.weights.inspect/1"
    assert (document["container"], document["path"]) == ("safetensors", str(model_file))
    assert document["sha256"] == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert len(document["tensors"]) == 122
    tensors = load_file(model_file)
    for record in document["tensors"]:
        array = tensors[record["name"]]
        assert record["shape"] == list(array.shape)
        assert record["norm"] == pytest.approx(float(np.linalg.norm(array.astype(np.float64).ravel())), rel=1e-9)


def test_a_converted_file_has_the_same_tensors(gradcli: Run, model_file: Path) -> None:
    result = gradcli("weights", "convert", model_file, "copy.safetensors", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert record["schema"] == "gradcli.weights.convert/1"
    assert record["destination_sha256"] == hashlib.sha256(Path("copy.safetensors").read_bytes()).hexdigest()
    before, after = load_file(model_file), load_file("copy.safetensors")
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }


def test_inspect_tells_what_network_it_is_and_how_its_tensors_are_named(gradcli_json: Run, model_file: Path) -> None:
    tensors = {f"module.{name}": array for name, array in load_file(model_file).items()}
    tensors["module.fc.bias"][0] = np.nan
    save_file(tensors, "wrapped.safetensors", {"note": "für Zoë"})
    document = gradcli_json("weights", "inspect", "wrapped.safetensors")
    told = ("naming", "prefix", "architecture", "classes", "known_as", "nonfinite", "parameters", "metadata")
    assert {key: document[key] for key in told} == {
        "naming": "torchvision",
        "prefix": "module.",
        "architecture": "resnet18",
        "classes": 10,
        "known_as": None,
        "nonfinite": 1,
        "parameters": 11_181_642,
        "metadata": {"note": "für Zoë"},
    }
    assert document["dtypes"] == {"float32": 102, "int64": 20}
    bias = next(record for record in document["tensors"] if record["name"] == "module.fc.bias")
    assert (bias["nonfinite"], bias["first_nonfinite"]) == (1, [0])
    finite = tensors["module.fc.bias"][1:].astype(np.float64)
    assert [bias[name] for name in ("norm", "mean", "std", "min", "max")] == pytest.approx(
        [np.linalg.norm(finite), finite.mean(), finite.std(ddof=1), finite.min(), finite.max()]
    )


def test_every_field_of_inspect_is_documented_and_a_column() -> None:
    section = FORMATS.read_text(encoding="utf-8").partition("## `gradcli weights inspect`\n")[2].partition("\n## ")[0]
    fields = {
        field: each
        for each in (TensorDescription, CheckpointDescription, InspectedWeights)
        for field in each.__dataclass_fields__
        if field != "description"
    }
    assert [name for name in fields if f"`{name}`" not in section] == []
    assert {column.field for column in TENSOR_COLUMNS} == set(TensorDescription.__dataclass_fields__)


def test_inspect_chooses_and_orders_tensors(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    whole = gradcli_json("weights", "inspect", model_file)
    chosen = gradcli_json("weights", "inspect", model_file, "--param", "fc.*", "--param", "conv1.weight")
    assert chosen["tensors"] == [
        each for each in whole["tensors"] if each["name"] in ("fc.weight", "fc.bias", "conv1.weight")
    ]
    assert {**chosen, "tensors": None} == {**whole, "tensors": None}  # totals are the file's
    largest = gradcli_json("weights", "inspect", model_file, "--sort", "norm", "--top", 2)["tensors"]
    assert largest == sorted(whole["tensors"], key=lambda each: -each["norm"])[:2]
    refused = gradcli("weights", "inspect", model_file, "--param", "fc.wieght")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--param 'fc.wieght' matches no tensor; did you mean fc.weight" in refused.stderr
    refused = gradcli("weights", "inspect", "missing.safetensors", "--sort", "size")
    assert (refused.exit_code, "--sort 'size': there is no such field" in refused.stderr) == (2, True)


def test_a_terminal_shows_tensors_with_nan_first_and_the_others_in_the_networks_order(
    gradcli: Run, gradcli_json: Run, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(model_file)
    tensors["layer3.0.conv2.weight"][17, 5, 1, 1] = np.nan
    save_file(tensors, "broken.safetensors")
    before = [each["name"] for each in gradcli_json("weights", "inspect", "broken.safetensors")["tensors"]]
    assert before[0] == "bn1.num_batches_tracked"  # as the safetensors library sorts
    monkeypatch.setattr("gradcli.cli.output._is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    def shown(*arguments: object) -> list[str]:
        lines: list[str] = gradcli("weights", "inspect", *arguments).stdout.splitlines()
        return lines

    lines = shown("broken.safetensors")
    assert lines[1].split() == ["name", "min", "max", "NaN,", "inf", "first", "at"]
    assert (lines[3].split()[0], lines[3].split()[-2:]) == ("layer3.0.conv2.weight", ["1", "17,5,1,1"])
    assert "nan" not in lines[3]
    assert [line.split()[0] for line in lines[4:7]] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert " ".join(" ".join(lines).split()).endswith(
        " 20 num_batches_tracked not shown; --param '*' shows all "
        "no room for shape, dtype, norm, mean, std, zeros: a wider terminal or --json shows them"
    )
    assert sum("num_batches_tracked" in line for line in shown("broken.safetensors", "--param", "*bn1*")) == 9
    assert shown("broken.safetensors", "--sort", "max", "--top", 1)[3].split()[0] != "layer3.0.conv2.weight"
    assert "NaN" not in shown(model_file)[1]


def test_inspect_takes_files_of_no_known_network(gradcli: Run, gradcli_json: Run) -> None:
    np.savez("pairs.npz", left=np.zeros((2, 3)), right=np.arange(4))
    document = gradcli_json("weights", "inspect", "pairs.npz")
    assert (document["container"], document["naming"]) == ("npz", "unknown")
    assert (document["architecture"], document["classes"], document["ignored"]) == (None, None, [])
    lines = gradcli("weights", "inspect", "pairs.npz").stdout.splitlines()
    deviation = np.arange(4).std(ddof=1)
    assert lines[1:] == [
        "left\t2x3\tfloat64\t0.0\t0.0\t0.0\t0.0\t0.0\t6\t0\t",
        f"right\t4\tint64\t{14**0.5!r}\t1.5\t{deviation}\t0.0\t3.0\t1\t0\t",
    ]


@pytest.mark.parametrize("naming", ["torchvision", "timm", "hf"])
def test_converted_names_and_dtypes_come_back(naming: str, gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    result = gradcli("weights", "convert", model_file, "there.safetensors", "--naming", naming, "--json")
    record = json.loads(result.stdout)
    assert (record["source_naming"], record["naming"], record["not_renamed"]) == ("torchvision", naming, [])
    style = "hf" if naming == "hf" else "torchvision"
    assert gradcli_json("weights", "inspect", "there.safetensors")["naming"] == style
    assert (
        gradcli("weights", "convert", "there.safetensors", "back.safetensors", "--naming", "torchvision").exit_code == 0
    )
    before, after = load_file(model_file), load_file("back.safetensors")
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_converted_to_another_dtype(dtype: str, gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    result = gradcli("weights", "convert", model_file, "other.safetensors", "--dtype", dtype, "--json")
    assert json.loads(result.stdout)["dtypes"] == {dtype: 102, "int64": 20}
    assert gradcli_json("weights", "inspect", "other.safetensors")["dtypes"] == {dtype: 102, "int64": 20}
    losses = [
        gradcli_json("backward", "-w", path, "--mode", "eval", "--shape", "1,3,32,32")["loss"]
        for path in ("other.safetensors", model_file)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0 if dtype == "float64" else 0.05)


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        ("--naming hf", 4, "other.npz: its names are not those of a ResNet"),
        ("--dtype float16", 4, "other.npz: 1 value would become infinite in float16"),
        ("--dtype int8", 2, "'int8' is not one of"),
        ("--naming keras", 2, "'keras' is not one of"),
    ],
)
def test_what_cannot_be_converted(options: str, exit_code: int, message: str, gradcli: Run) -> None:
    np.savez("other.npz", a=np.array([1e6, 2.0]))
    result = gradcli("weights", "convert", "other.npz", "out.safetensors", *options.split())
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["other.npz"]


@pytest.mark.parity
def test_a_pytorch_file_is_converted_and_used_as_it_is(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in load_file(model_file).items()}
    torch.save(tensors, "ten.pth")
    assert gradcli("weights", "convert", "ten.pth", "ten.safetensors").exit_code == 0
    losses = {
        gradcli_json("step", "-w", path, "--shape", "2,3,32,32")["loss"]
        for path in ("ten.pth", "ten.safetensors", model_file)
    }
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["inspect", "none.safetensors"], 4, "none.safetensors: no such file"),
        (["convert", "none.pth", "out.safetensors"], 4, "none.pth: no such file"),
        (["convert", "text.pth", "out.safetensors"], 4, "text.pth: is a text file"),
        (["convert", "text.pth", "out.pth"], 2, "name it out.safetensors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_read_or_written(arguments: list[str], exit_code: int, message: str, gradcli: Run) -> None:
    Path("text.pth").write_text("this is no checkpoint")
    result = gradcli("weights", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["text.pth"]


def test_a_run_folder_stands_for_its_weights(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(model_file.read_bytes())
    assert gradcli_json("weights", "inspect", "run")["path"] == "run/model.safetensors"
    Path("empty").mkdir()
    assert "a folder without model.safetensors" in gradcli("weights", "inspect", "empty").stderr


def test_weights_of_half_precision_are_said_to_be_widened(gradcli: Run, model_file: Path) -> None:
    halves = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in load_file(model_file).items()
    }
    save_file(halves, "half.safetensors")
    result = gradcli("step", "-w", "half.safetensors", "--shape", "2,3,32,32")
    assert result.stderr.splitlines() == [
        "half.safetensors holds float16; computing in float32",
        "weights half.safetensors, train mode, exact kernels",
    ]


def test_weights_without_a_head_are_finetuned_and_refused_elsewhere(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    backbone = {name: array for name, array in load_file(model_file).items() if not name.startswith("fc.")}
    save_file(backbone, "backbone.safetensors")
    refused = gradcli("step", "-w", "backbone.safetensors", "--shape", "2,3,32,32")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (4, "", 1)
    assert "backbone.safetensors: has no classifier" in refused.stderr
    options = ("--epochs", 1, "--freeze-backbone", "--run", "run")
    trained = gradcli("finetune", images_file, "-w", "backbone.safetensors", *options)
    assert trained.exit_code == 0, trained.stderr
    assert load_file("run/model.safetensors")["fc.weight"].shape == (3, 512)


def test_the_readmes_recipes_for_weights_work(gradcli: Run) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("**Weights.**") : readme.index("Without `-w`")]
    recipes = [line.strip().partition(" | ")[0] for line in section.splitlines() if line.startswith("    gradcli ")]
    assert len(recipes) == 8
    for recipe in recipes:
        result = gradcli(*recipe.split()[1:])
        assert result.exit_code == 0, (recipe, result.stderr)


def test_the_dtypes_and_styles_offered_are_those_that_are_written() -> None:
    # The command line names them itself: modules that list them import NumPy, or compile many patterns.
    hints = get_type_hints(convert)
    dtypes, styles = (get_args(get_args(hints[name])[0]) for name in ("dtype", "naming"))
    assert dtypes == get_args(ConversionDtype) == FLOATING_POINT_DTYPES
    assert styles == WRITTEN_STYLES


def test_names_that_a_terminal_would_obey_are_escaped(gradcli: Run, tmp_path: Path) -> None:
    builder = TorchZip(tmp_path)
    path = builder.write({"state_dict": {"w": builder.whole(np.ones(2, np.float32))}, "a\n\x1b[2Jb": {"c": 1}})
    for arguments in (["inspect", path], ["convert", path, tmp_path / "w.safetensors"]):
        result = gradcli("weights", *map(str, arguments))
        assert result.exit_code == 0
        assert r"'a\n\x1b[2Jb'" in result.stderr
        assert "\x1b" not in result.stdout + result.stderr
