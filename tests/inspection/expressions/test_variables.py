"""Variables as options give them: written down, drawn, and from files."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.autograd.dtypes import float32, float64
from gradcli.errors import DataError, UsageError
from gradcli.inspection.expressions.variables import read_value, read_variables
from gradcli.ops.random import manual_seed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", 2.0),
        ("2,3", [2.0, 3.0]),
        ("2,", [2.0]),
        ("[2]", [2.0]),
        ("-1,.5,1e-3", [-1.0, 0.5, 0.001]),
        ("[[1,2],[3,4]]", [[1.0, 2.0], [3.0, 4.0]]),
        ("(1,2),(3,4)", [[1.0, 2.0], [3.0, 4.0]]),
        ("nan,inf,-inf", [np.nan, np.inf, -np.inf]),
        ("pi/2", np.pi / 2),
        ("0.1", 0.1),
        ("linspace(0,1,3)", [0.0, 0.5, 1.0]),
        ("True,False", [1.0, 0.0]),
        ("zeros(0)", []),
    ],
)
def test_values_are_written_as_numbers_lists_and_expressions(text: str, expected: Any) -> None:
    for dtype in (float32, float64):
        value = read_value(text, "--var a", dtype)
        assert value.dtype == dtype.numpy
        np.testing.assert_array_equal(value, np.array(expected, dtype.numpy))


def test_variables_without_gradients_keep_integers_and_truth_values() -> None:
    given = ["i=0,2", "mask=True,False", "x=0,2.", "a=1,2"]
    variables = read_variables(given, ["i", "mask", "x"], float32)
    assert [(each.name, str(each.values.dtype), each.requires_grad) for each in variables] == [
        ("i", "int64", False),
        ("mask", "bool", False),
        ("x", "float32", False),
        ("a", "float32", True),
    ]


def test_random_variables_are_drawn_one_after_another() -> None:
    manual_seed(1)
    first, second = read_variables(["v=randn(3)", "w=randn(3)"], [], float32)
    manual_seed(1)
    (both,) = read_variables(["v=cat([randn(3), randn(3)])"], [], float32)
    np.testing.assert_array_equal(np.concatenate([first.values, second.values]), both.values)


def test_arrays_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", x=array + 1)
    np.savez(tmp_path / "two.npz", **{"fc.weight": array + 2, "fc.bias": array + 3})
    monkeypatch.chdir(tmp_path)
    stream = io.BytesIO()
    np.save(stream, array + 4)
    stream.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    for added, text in enumerate(["@a.npy", "@one.npz", "@two.npz:fc.weight", "@two.npz:fc.bias", "@-"]):
        value = read_value(text, "--var a", float32)
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, array + added)
    assert read_value("@a.npy", "--var a", float32, keep_type=True).dtype == np.uint8


@pytest.mark.parametrize(
    ("given", "no_grad", "error", "message"),
    [
        (["a"], [], UsageError, "--var a: is no NAME=VALUE such as a=2,3"),
        (["a="], [], UsageError, "--var a=: is no NAME=VALUE"),
        (["1a=2"], [], UsageError, "--var 1a=2: '1a' is no name"),
        (["lambda=2"], [], UsageError, "'lambda' is no name"),
        (["a=1", "a=2"], [], UsageError, "--var a: is given twice"),
        (["bias=1"], ["bais"], UsageError, "--no-grad bais: there is no --var bais; did you mean bias?"),
        (["a=[1,2"], [], UsageError, "--var a, column 1: '[' was never closed"),
        (["a=[[1],[2,3]]"], [], UsageError, "--var a, column 1: expected sequences of one length"),
        (["a=1,x"], [], UsageError, "--var a, column 3: there is no variable 'x'"),
        (["a='x'"], [], UsageError, "--var a, column 1: expected numbers or tensors, but got a str"),
        (["a=1e400"], [], None, ""),
        (["a=@none.npy"], [], DataError, "none.npy: no such file"),
        (["a=@none.npz:x"], [], DataError, "none.npz: no such file"),
        (["a=@text.npy"], [], DataError, "text.npy: corrupt, or no such file format"),
        (["a=@two.npz"], [], DataError, "two.npz: holds 2 arrays; name one, as @two.npz:weight"),
        (["a=@two.npz:wieght"], [], DataError, "two.npz: holds no array 'wieght'; did you mean weight?"),
        (["a=@two.npz:zzz"], [], DataError, "two.npz: holds no array 'zzz'; it holds weight, bias"),
        (["a=@names.npy"], [], DataError, "names.npy: holds <U1 values; expected numbers"),
        (["a=@complex.npy"], [], DataError, "complex.npy: holds complex128 values; expected numbers"),
        (["a=@wide.npy"], ["a"], DataError, "wide.npy: can't make a tensor of uint64 values"),
    ],
)
def test_bad_variables_are_refused_in_a_line(
    given: list[str],
    no_grad: list[str],
    error: type[Exception] | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.npy").write_text("1, 2, 3")
    np.savez("two.npz", weight=np.ones(2), bias=np.ones(1))
    np.save("names.npy", np.array(["a"]))
    np.save("complex.npy", np.ones(1, complex))
    np.save("wide.npy", np.ones(1, np.uint64))
    if error is None:
        assert read_variables(given, no_grad, float32)[0].values == np.inf
        return
    with pytest.raises(error) as caught:
        read_variables(given, no_grad, float32)
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)
