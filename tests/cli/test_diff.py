"""`gradcli diff`: exit codes, formats, order and choice of tensors, files that gradcli and others wrote."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gradcli.cli.diff import COLUMNS
from gradcli.inspection.differences.comparison import Comparison, OverallDifference, Side, TensorComparison
from tests.checkpoints.torch_zip_writer import TorchZip

Run = Callable[..., Any]

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"

SHAPES = {"conv1.weight": (4, 3, 7, 7), "layer1.0.conv1.weight": (4, 4, 3, 3), "fc.weight": (5, 4), "fc.bias": (5,)}


@pytest.fixture
def files(tmp_path: Path) -> None:
    """a.safetensors, and b.npz whose convolutions are off by one part in ten thousand."""
    generator = np.random.default_rng(0)
    a = {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    save_file(a, tmp_path / "a.safetensors")
    for name in ("conv1.weight", "layer1.0.conv1.weight"):
        a[name] = a[name] * np.float32(1.0001)
    np.savez(tmp_path / "b.npz", **a)


def load_npz(name: str) -> dict[str, np.ndarray]:
    with np.load(name) as archive:
        return dict(archive)


def test_agreement_is_exit_code_0_and_a_summary(gradcli: Run, files: None) -> None:
    result = gradcli("diff", "a.safetensors", "a.safetensors")
    assert (result.exit_code, result.stderr) == (0, "4 tensors compared: 4 equal, 0 different\n")
    result = gradcli("diff", "a.safetensors", "b.npz", "--tolerance", "1e-3", "-q")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_difference_is_exit_code_6_and_names_the_first_to_depart(gradcli: Run, files: None) -> None:
    result = gradcli("diff", "a.safetensors", "b.npz", "--tolerance", "1e-5")
    assert result.exit_code == 6
    summary, error = result.stderr.splitlines()
    assert summary.startswith(
        "4 tensors compared: 2 equal, 0 within the tolerance, 2 beyond it; as one vector: relative"
    )
    assert error.startswith(
        "gradcli diff: error: a.safetensors and b.npz do not agree: 2 beyond relative 1e-05; "
        "the first in backward order is layer1.0.conv1.weight (relative 0.0001, cosine "
    )
    assert len(result.stdout.splitlines()) == 5  # the data is written all the same


def test_every_format_holds_the_same_numbers(gradcli: Run, files: None) -> None:
    arguments = ("diff", "a.safetensors", "b.npz")
    document = json.loads(gradcli(*arguments, "--json").stdout)
    lines = [json.loads(line) for line in gradcli(*arguments, "--format", "jsonl").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(gradcli(*arguments, "--format", "csv").stdout)))
    table = list(csv.DictReader(io.StringIO(gradcli(*arguments).stdout), delimiter="\t"))
    assert document["schema"] == lines[0]["schema"] == "gradcli.diff/1"
    assert table == rows
    assert [record["name"] for record in document["tensors"]] == list(SHAPES)[::-1]
    a, b = load_file("a.safetensors"), load_npz("b.npz")
    for record, line, row in zip(document["tensors"], lines, rows, strict=True):
        assert record == {key: value for key, value in line.items() if key != "schema"}
        assert list(row) == [column.field for column in COLUMNS] == list(record)
        one, other = (each[record["name"]].astype(np.float64) for each in (a, b))
        assert record["max_abs"] == float(row["max_abs"]) == np.abs(one - other).max()
        assert record["relative"] == pytest.approx(np.linalg.norm(one - other) / np.linalg.norm(other), rel=1e-12)
        assert float(row["cosine"]) == record["cosine"]
        assert record["shape"] == list(one.shape)
        if record["differing"]:
            assert record["value_a"] == one[tuple(record["position"])]
            assert record["value_b"] == other[tuple(record["position"])]
    assert set(document) >= {"agrees", "a", "b", "tolerance", "atol", "counts", "overall", "first_to_depart"}
    assert document["first_to_depart"] == document["tensors"][2]
    assert document["counts"] == {"equal": 2, "within": 0, "beyond": 2, "shape": 0, "only-a": 0, "only-b": 0}


def test_columns_are_the_fields_of_a_tensor() -> None:
    assert [column.field for column in COLUMNS] == list(TensorComparison.__dataclass_fields__)


def test_every_field_is_documented() -> None:
    section = FORMATS.read_text(encoding="utf-8").partition("## `gradcli diff`\n")[2].partition("\n## ")[0]
    for fields in (TensorComparison, Comparison, Side, OverallDifference):
        assert [name for name in fields.__dataclass_fields__ if f"`{name}`" not in section] == []


def test_sort_and_top(gradcli: Run, gradcli_json: Run, files: None) -> None:
    def names(*options: object) -> list[str]:
        document = gradcli_json("diff", "a.safetensors", "b.npz", "--tolerance", 1, *options)
        assert sum(document["counts"].values()) == 4
        return [record["name"] for record in document["tensors"]]

    assert names("--top", 1) == ["fc.bias"]
    assert names("--sort", "name") == sorted(SHAPES)
    document = gradcli_json("diff", "a.safetensors", "b.npz", "--tolerance", 1)
    by_difference = sorted(document["tensors"], key=lambda record: -record["max_abs"])
    assert names("--sort", "max_abs", "--top", 2) == [record["name"] for record in by_difference[:2]]
    assert "fc" not in names("--sort", "cosine", "--smallest-first", "--top", 1)[0]
    result = gradcli("diff", "a.safetensors", "b.npz", "--sort", "position")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--sort 'position': there is no such field to sort by; take one of name, status, " in result.stderr
    result = gradcli("diff", "a.safetensors", "missing.npz", "--sort", "nothing")  # before any file is looked at
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--sort 'nothing': there is no such field to sort by; take one of name, status, " in result.stderr


def test_chosen_and_ignored_tensors(gradcli: Run, gradcli_json: Run, files: None) -> None:
    assert gradcli("diff", "a.safetensors", "b.npz", "--param", "fc.*").exit_code == 0
    assert gradcli("diff", "a.safetensors", "b.npz", "--ignore", "*conv1*").exit_code == 0
    document = gradcli_json("diff", "a.safetensors", "b.npz", "--param", "fc.*", "--ignore", "fc.bias")
    assert [record["name"] for record in document["tensors"]] == ["fc.weight"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["a.safetensors", "c.npz"], 4, "c.npz: no such file; did you mean b.npz?"),
        (["a.safetensors", "b.npz", "--param", "fc.w"], 2, "--param 'fc.w' matches no tensor; did you mean "),
        (["a.safetensors", "b.npz", "--ignore", "*"], 2, "--ignore leaves no tensor to compare"),
        (["a.safetensors", "b.npz", "--tolerance", "nan"], 2, "--tolerance must be a finite number"),
        (["a.safetensors", "b.npz", "--tolerance", "-1"], 2, "'--tolerance'"),
        (["a.safetensors", "b.npz", "--atol", "inf"], 2, "--atol must be a finite number"),
        (["-", "-"], 2, "only one of them can be standard input"),
        (["a.safetensors"], 2, "Missing argument 'B'"),
        (["a.safetensors", "b.npz", "-o", "d.npy"], 2, "--output d.npy: .npy is no format of this command"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], exit_code: int, message: str, gradcli: Run, files: None) -> None:
    result = gradcli("diff", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_nan_is_strict_json(gradcli: Run) -> None:
    np.savez("a.npz", w=np.array([np.nan, 1.0, np.inf]), v=np.array([np.nan]))
    np.savez("b.npz", w=np.array([2.0, 1.0, np.inf]), v=np.array([np.nan]))
    result = gradcli("diff", "a.npz", "b.npz", "--json", "--tolerance", 1)
    document = json.loads(result.stdout, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert result.exit_code == 6
    differing, equal = document["tensors"][1], document["tensors"][0]
    assert (differing["name"], equal["name"]) == ("w", "v")
    assert [differing[key] for key in ("max_abs", "relative", "cosine", "value_a")] == ["nan"] * 4
    assert (differing["ulp_max"], differing["position"], differing["unmatched_nonfinite"]) == (None, [0], 1)
    assert (equal["status"], equal["max_abs"], document["overall"]["max_abs"]) == ("equal", 0.0, "nan")


def test_a_gradient_on_standard_input(gradcli: Run, files: None) -> None:
    npy = io.BytesIO()
    np.save(npy, load_npz("b.npz")["fc.weight"])
    result = gradcli("diff", "-", "a.safetensors", "--param", "fc.weight", input=npy.getvalue())
    assert (result.exit_code, result.stderr) == (0, "1 tensor compared: 1 equal, 0 different\n")
    result = gradcli("diff", "b.npz", "-", "--tolerance", 1e-3, input=Path("a.safetensors").read_bytes())
    assert result.exit_code == 0


def test_a_file_of_torch_save_with_gradients_that_are_none(gradcli: Run, files: None, tmp_path: Path) -> None:
    torch_zip = TorchZip(tmp_path)
    content = {name: torch_zip.whole(array) for name, array in load_npz("b.npz").items()}
    torch_zip.write({**content, "conv1.weight": None}, name="g.pt")
    result = gradcli("diff", "g.pt", "b.npz")
    assert result.exit_code == 6
    assert result.stderr.splitlines() == [
        "g.pt: no tensors, and not compared: conv1.weight",
        "3 tensors compared: 3 equal, 0 different",
        "gradcli diff: error: g.pt and b.npz do not agree: 1 only in b.npz: conv1.weight",
    ]


def test_other_names_and_dtypes_of_the_same_weights(gradcli: Run, model_file: Path) -> None:
    converted = gradcli("weights", "convert", model_file, "hf.safetensors", "--naming", "hf", "--dtype", "bfloat16")
    assert converted.exit_code == 0
    result = gradcli("diff", "hf.safetensors", model_file, "--tolerance", "5e-3", "--json")
    assert result.exit_code == 0
    renamed, dtypes, _ = result.stderr.splitlines()
    assert renamed == "the two name their tensors in different ways; compared under torchvision's names"
    assert dtypes.startswith("warning: other dtypes: fc.bias, fc.weight")
    records = {record["name"]: record for record in json.loads(result.stdout)["tensors"]}
    assert len(records) == 122
    head = records["fc.weight"]
    assert (head["dtype"], head["dtype_b"], head["ulp_max"]) == ("bfloat16", "float32", 0)  # as rounded
    assert records["bn1.num_batches_tracked"]["status"] == "equal"


def test_random_weights_need_a_seed(gradcli: Run, files: None) -> None:
    result = gradcli("diff", "random:x", "a.safetensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (4, 1)


def test_a_terminal_gets_a_table_that_fits(gradcli: Run, files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcli.cli.output._is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = gradcli("diff", "a.safetensors", "b.npz").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "layer1.0.conv1.weight" in line and "beyond" in line and "0.0001" in line]


def test_a_terminal_shows_what_does_not_agree_first(
    gradcli: Run, gradcli_json: Run, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("diff", "a.safetensors", "b.npz")
    first_two = gradcli_json(*arguments, "--tolerance", 1, "--top", 2)["tensors"]
    assert [tensor["name"] for tensor in first_two] == ["fc.bias", "fc.weight"]
    monkeypatch.setattr("gradcli.cli.output._is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")

    def names(*options: object) -> list[str]:
        lines = gradcli(*arguments, *options).stdout.splitlines()
        return [name for line in lines for name in line.split()[:1] if name in SHAPES]

    assert names() == ["layer1.0.conv1.weight", "conv1.weight", "fc.bias", "fc.weight"]
    assert names("--top", 1) == ["layer1.0.conv1.weight"]
    assert names("--sort", "name") == sorted(SHAPES)
    heading = gradcli(*arguments).stdout.splitlines()[1].split()
    assert (heading[-1], "differing" in heading) == ("at", False)  # where the largest difference is
