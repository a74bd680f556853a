"""`gradcli grads`: gradients against formulas, formats against each other, choice of parameters, pipes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

Run = Callable[..., Any]


def gradients(run: Run, *arguments: object) -> dict[str, np.ndarray[Any, Any]]:
    result = run("grads", *arguments, "--format", "npz")
    assert result.exit_code == 0, result.stderr
    return dict(np.load(io.BytesIO(result.stdout_bytes)))


def test_the_tutorials_truths(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    common = ("-w", model_file, "-i", batch_file)
    every = gradients(gradcli, *common)
    assert len(every) == 62
    np.testing.assert_array_equal(every["fc.bias"], np.full(10, 2, np.float32))
    np.testing.assert_array_equal(every["fc.weight"], np.tile(every["fc.weight"][:1], (10, 1)))
    np.save("labels.npy", np.full((2, 10), 0.25, np.float32))
    for name, array in gradients(gradcli, *common, "-t", "labels.npy").items():
        np.testing.assert_array_equal(array, every[name])


def test_the_heads_bias_has_each_losss_gradient(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    common = ("-w", model_file, "-i", batch_file)
    npy = gradcli("forward", *common, "--format", "npy").stdout_bytes
    prediction = np.load(io.BytesIO(npy)).astype(np.float64)
    target = np.random.default_rng(1).random((2, 10), dtype=np.float32)
    np.save("target.npy", target)
    softmax = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
    expected = {
        ("mse", "target.npy"): 2 * (prediction - target) / prediction.size,
        ("bce-with-logits", "target.npy"): (1 / (1 + np.exp(-prediction)) - target) / prediction.size,
        ("cross-entropy", "4"): (softmax - np.eye(10)[[4, 4]]) / 2,
    }
    for (loss, name), by_score in expected.items():
        found = gradients(gradcli, *common, "--loss", loss, "-t", name, "--param", "fc.bias")["fc.bias"]
        np.testing.assert_allclose(found, by_score.sum(axis=0), rtol=1e-3, atol=1e-6)
    assert abs(found.sum()) < 1e-6  # cross-entropy, the last


def test_the_inputs_gradient_is_the_difference_quotient(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    images = np.random.default_rng(2).normal(size=(1, 3, 33, 33)).astype(np.float32)
    np.save("images.npy", images)
    common = ("-w", model_file, "--mode", "eval", "--loss", "cross-entropy", "-t", 3)
    found = gradients(gradcli, *common, "-i", "images.npy", "--wrt-input", "--freeze", "*")
    assert list(found) == ["input"]
    assert found["input"].shape == images.shape
    direction = found["input"] / np.sqrt((found["input"] ** 2).sum())
    losses = []
    for sign in (1, -1):
        np.save("moved.npy", images + np.float32(sign * 0.05) * direction)
        losses.append(gradcli_json("forward", *common, "-i", "moved.npy")["loss"])
    assert (losses[0] - losses[1]) / 0.1 == pytest.approx(np.sqrt((found["input"] ** 2).sum()), rel=0.05)


def test_every_format_holds_the_same_numbers(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    common = ("-w", model_file, "-i", batch_file, "--param", "fc.*", "--param", "bn1.weight", "--wrt-input")
    npz = gradients(gradcli, *common)
    assert list(npz) == ["bn1.weight", "fc.weight", "fc.bias", "input"]
    assert gradcli("grads", *common, "-o", "g.safetensors").exit_code == 0
    safetensors = load_file("g.safetensors")
    document = json.loads(gradcli("grads", *common, "--values", "--json").stdout)
    lines = [
        json.loads(line) for line in gradcli("grads", *common, "--values", "--format", "jsonl").stdout.splitlines()
    ]
    csv.field_size_limit(10_000_000)
    rows = list(csv.DictReader(io.StringIO(gradcli("grads", *common, "--values", "--format", "csv").stdout)))
    assert document["schema"] == lines[0]["schema"] == "gradcli.grads/1"
    assert [line["name"] for line in lines] == [row["name"] for row in rows] == list(npz)
    for record, line, row in zip(document["gradients"], lines, rows, strict=True):
        array = npz[record["name"]]
        np.testing.assert_array_equal(safetensors[record["name"]], array)
        assert safetensors[record["name"]].dtype == array.dtype == np.float32
        assert record == {key: value for key, value in line.items() if key != "schema"}
        assert record["shape"] == list(array.shape)
        np.testing.assert_array_equal(np.array(record["values"], np.float32), array.ravel())
        assert json.loads(row["values"]) == record["values"]
        exact = array.astype(np.float64)
        expected = {
            "norm": np.sqrt((exact**2).sum()),
            "mean": exact.mean(),
            "std": exact.std(ddof=1),
            "min": exact.min(),
            "max": exact.max(),
        }
        for field, value in expected.items():
            assert record[field] == pytest.approx(value, rel=1e-9, abs=1e-15)
            assert float(row[field]) == record[field]
        assert (record["zeros"], record["nonfinite"]) == (int((array == 0).sum()), 0)


def test_one_parameter_alone_has_the_gradient_of_the_full_dump(
    gradcli: Run, model_file: Path, batch_file: Path
) -> None:
    common = ("-w", model_file, "-i", batch_file)
    every = gradients(gradcli, *common)
    for name in ("fc.weight", "layer2.0.downsample.0.weight"):
        result = gradcli("grads", *common, "--param", name, "--format", "npy")
        np.testing.assert_array_equal(np.load(io.BytesIO(result.stdout_bytes)), every[name])
    matched = gradients(gradcli, *common, "--param", "layer[34].*.conv2.weight")
    assert list(matched) == [f"layer{stage}.{block}.conv2.weight" for stage in (3, 4) for block in (0, 1)]


def test_frozen_parameters_are_left_out_and_refused_by_name(gradcli: Run, model_file: Path) -> None:
    common = ("-w", model_file, "--shape", "2,3,32,32", "--freeze-backbone")
    assert list(gradients(gradcli, *common)) == ["fc.weight", "fc.bias"]
    result = gradcli("grads", *common, "--param", "conv1.weight")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "gradcli grads: error: --param: conv1.weight is frozen, so it has no gradient; --unfreeze it\n"
    )


def test_a_table_in_a_pipe_is_tab_separated_with_full_names(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "-w", model_file, "--shape", "2,3,32,32")
    heading, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert heading[:10] == ["name", "shape", "dtype", "norm", "mean", "std", "min", "max", "zeros", "nonfinite"]
    assert heading[10:] == ["zero_share", "p1", "p5", "p25", "p50", "p75", "p95", "p99", "weight_norm", "update_ratio"]
    assert rows[0][:3] == ["conv1.weight", "64x3x7x7", "float32"]
    assert len(rows) == 62


def test_values_need_a_format_for_them(gradcli: Run) -> None:
    result = gradcli("grads", "--values")
    assert (result.exit_code, result.stderr) == (
        2,
        "gradcli grads: error: --values goes with json, jsonl and csv, not with table\n",
    )


def test_npy_takes_one_gradient(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "-w", model_file, "--param", "fc.*", "-o", "g.npy")
    assert result.exit_code == 2
    assert "--format npy holds exactly one gradient, not 2" in result.stderr
    assert list(Path().iterdir()) == []


def test_gradients_that_are_not_finite_are_written_first_and_end_with_5(
    gradcli: Run, overflowing_file: Path, batch_file: Path
) -> None:
    common = ("grads", "-w", overflowing_file, "-i", batch_file, "--loss", "cross-entropy", "--param", "fc.bias")
    result = gradcli(*common, "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["loss"] == "nan"
    (record,) = document["gradients"]
    assert (record["norm"], record["nonfinite"]) == ("nan", 10)
    assert gradcli(*common, "-o", "g.npz").exit_code == 5
    with np.load("g.npz") as file:
        assert np.isnan(file["fc.bias"]).all()


def test_a_reader_that_stops_after_a_line_ends_it_quietly_with_141(model_file: Path, tmp_path: Path) -> None:
    # As `gradcli grads --format jsonl | head -1` does; the values make more than a pipe holds.
    command = [sys.executable, "-m", "gradcli", "grads", "-w", str(model_file), "--values", "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(40).startswith(b'{"schema": "gradcli.grads/1"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_npy_can_be_piped_into_numpy(gradcli_process: Callable[..., Any], model_file: Path) -> None:
    produced = gradcli_process(
        "grads", "-w", model_file, "--param", "fc.weight", "--format", "npy", "--shape", "2,3,32,32", text=False
    )
    code = "import numpy, sys, io; print(numpy.load(io.BytesIO(sys.stdin.buffer.read())).shape)"
    read = subprocess.run([sys.executable, "-c", code], input=produced.stdout, capture_output=True, check=True)
    assert read.stdout.strip() == b"(10, 512)"


@pytest.mark.parametrize(
    ("file", "arguments", "beginning"),
    [
        ("json = true", ["--format", "csv"], "name,shape,dtype"),
        ('format = "csv"', ["--json"], '{"schema": "gradcli.grads/1"'),
        ('format = "csv"', ["-o", "out.json"], ""),
        ('input = "missing.npy"', ["--shape", "2,3,32,32"], "name\tshape\tdtype"),
        ("quiet = true", ["-v"], "name\tshape\tdtype"),
    ],
)
def test_an_option_silences_those_of_the_file_that_contradict_it(
    file: str, arguments: list[str], beginning: str, gradcli: Run, model_file: Path
) -> None:
    Path("config.toml").write_text(f'{file}\nweights = "{model_file}"\nparam = "fc.bias"\nmode = "eval"\n')
    result = gradcli("grads", "--config", "config.toml", *arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith(beginning)


def test_verbose_tells_weights_mode_and_what_trains(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "-w", model_file, "--freeze-backbone", "--shape", "2,3,32,32", "-v")
    assert (
        f"weights {model_file}, train mode, exact kernels, 20 frozen batch norms keep their statistics, "
        in result.stderr
    )
    assert "parameters train" in result.stderr
