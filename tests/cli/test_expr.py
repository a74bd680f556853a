"""`gradcli expr`: the tutorial's numbers, every output, files and pipes, the check's exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from terminal import Terminal, needs_terminal

Run = Callable[..., Any]
TUTORIAL = ("expr", "3*a**3 - b**2", "--var", "a=2,3", "-x", "b=6,4")


def test_the_tutorials_gradients(gradcli_json: Run) -> None:
    assert gradcli_json(*TUTORIAL, "--gradient", "1,1") == {
        "schema": "gradcli.expr/1",
        "expression": "3*a**3 - b**2",
        "value": [-12.0, 65.0],
        "shape": [2],
        "dtype": "float32",
        "requires_grad": True,
        "grad_fn": "SubBackward0",
        "grads": {"a": [36.0, 81.0], "b": [-12.0, -8.0]},
        "jacobian": None,
        "hessian": None,
        "jvp": None,
        "checks": [],
    }


def test_a_value_that_is_no_number_needs_a_vector(gradcli: Run) -> None:
    result = gradcli(*TUTORIAL)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "gradcli expr: error: --gradient: grad can be implicitly created only for scalar outputs, and the value has "
        "the shape [2]; give a vector of that shape, such as --gradient 1,1\n"
    )


def test_a_table_in_a_pipe_has_every_number(gradcli: Run) -> None:
    result = gradcli(*TUTORIAL, "--gradient", "1,1")
    assert result.stdout == (
        "name\tshape\tdtype\tvalues\n"
        "value\t2\tfloat32\t[-12.0, 65.0]\n"
        "a.grad\t2\tfloat32\t[36.0, 81.0]\n"
        "b.grad\t2\tfloat32\t[-12.0, -8.0]\n"
    )
    rows = gradcli("expr", "a*0.1", "-x", "a=zeros(500)+1", "--gradient", "ones(500)").stdout.splitlines()
    assert json.loads(rows[1].split("\t")[3]) == [0.1] * 500


@needs_terminal
def test_a_terminal_is_told_how_many_numbers_it_does_not_see() -> None:
    command = ("expr", "a*0.1", "-x", "a=zeros(500)+1", "--gradient", "ones(500)")
    shown = Terminal(("-m", "gradcli"), command, ["stdout"], columns=120).shown.decode()
    assert "0.1, ...] of 500 numbers; -o FILE.npz" in " ".join(shown.split())
    assert "grad_fn MulBackward0" in shown
    assert shown.count("0.1") < 100


def test_all_derivatives_at_once(gradcli_json: Run, gradcli: Run) -> None:
    command = ("expr", "(3*a**3 - b**2).sum()", *TUTORIAL[2:])
    asked = ("--jacobian", "--hessian", "--jvp", "a=1,0", "--jvp", "b=0,1", "--check")
    found = gradcli_json(*command, *asked, "--dtype", "float64")
    assert found["value"] == 53
    assert found["dtype"] == "float64"
    assert found["jacobian"] == found["grads"] == {"a": [36, 81], "b": [-12, -8]}
    assert found["hessian"]["a"] == {"a": [[36, 0], [0, 54]], "b": [[0, 0], [0, 0]]}
    assert found["hessian"]["b"] == {"a": [[0, 0], [0, 0]], "b": [[-2, 0], [0, -2]]}
    assert found["jvp"] == 28
    assert [(each["name"], each["ok"]) for each in found["checks"]] == [("a", True), ("b", True)]
    assert set(found["checks"][0]) == {
        *("name", "ok", "max_absolute_error", "max_relative_error", "worst", "analytical", "numerical")
    }
    assert gradcli(*command, *asked, "-o", "all.npz").exit_code == 0
    with np.load("all.npz") as arrays:
        assert sorted(arrays) == sorted(
            ["value", "a.grad", "b.grad", "a.jacobian", "b.jacobian", "jvp"]
            + [f"{first}.{second}.hessian" for first in "ab" for second in "ab"]
        )
        np.testing.assert_array_equal(arrays["a.a.hessian"], [[36, 0], [0, 54]])
        assert arrays["a.grad"].dtype == np.float32
    lines = gradcli(*command, *asked).stdout.splitlines()
    assert lines[0].split("\t") == [
        *("name", "shape", "dtype", "values", "ok", "max_absolute_error", "max_relative_error")
    ]
    assert lines[-1].startswith("b.check\t\t\t\ttrue\t")


def test_other_derivatives_need_no_vector(gradcli_json: Run) -> None:
    found = gradcli_json(*TUTORIAL, "--jacobian")
    assert found["grads"] is None
    assert found["jacobian"] == {"a": [[36, 0], [0, 81]], "b": [[-12, 0], [0, -8]]}


def test_a_check_that_does_not_hold_ends_with_6_after_the_output(gradcli: Run) -> None:
    result = gradcli("expr", "relu(a)", "-x", "a=-1,0,1", "--check", "--json")
    assert result.exit_code == 6
    (record,) = json.loads(result.stdout)["checks"]
    assert (record["ok"], record["worst"]) == (False, [1, 1])
    assert result.stderr == (
        "gradcli expr: error: --check: derivatives differ: a at [1, 1] (analytic 0, numerical 0.5)\n"
    )


def test_numbers_that_are_not_finite_stay_json(gradcli: Run, gradcli_json: Run) -> None:
    found = gradcli_json("expr", "log(a)", "-x", "a=0,-1,inf", "--gradient", "1,1,1")
    assert found["value"] == ["-inf", "nan", "inf"]
    assert found["grads"] == {"a": ["inf", -1, 0]}
    assert gradcli("expr", "-inf*s", "-x", "s=1").exit_code == 2
    assert gradcli("expr", "--", "-inf*s", "-x").stderr.startswith("gradcli expr: error: ")


def test_what_no_gradient_leads_through(gradcli: Run, gradcli_json: Run) -> None:
    found = gradcli_json("expr", "a > 1", "-x", "a=1,2", "-x", "b=1")
    assert found["value"] == [False, True]
    assert (found["requires_grad"], found["grad_fn"], found["grads"]) == (False, None, {"a": None, "b": None})
    assert gradcli("expr", "a > 1", "-x", "a=1,2").stdout.endswith("a.grad\t\t\t\n")
    assert gradcli_json("expr", "2**10")["value"] == 1024


def test_values_come_from_files_and_pipes(gradcli: Run, gradcli_json: Run, model_file: Path, batch_file: Path) -> None:
    np.savez("two.npz", x=np.array([3.0, 4.0]), y=np.array([1, 0]))
    found = gradcli_json(
        "expr", "norm(x)*w[i].sum()", "-x", "x=@two.npz:x", "-x", "w=1,2", "-x", "i=@two.npz:y", "--no-grad", "i"
    )
    assert (found["value"], found["grads"]["x"], found["grads"]["w"]) == (15, pytest.approx([1.8, 2.4]), [5, 5])
    npy = gradcli("grads", "-w", model_file, "-i", batch_file, "--param", "fc.bias", "--format", "npy").stdout_bytes
    result = gradcli("expr", "g.sum()", "-x", "g=@-", "--json", input=npy)
    assert json.loads(result.stdout)["value"] == 20


def test_random_numbers_follow_the_seed(gradcli_json: Run) -> None:
    command = ("expr", "a*randn(2)", "-x", "a=randn(2)", "--gradient", "1,1")
    first, again, other = (gradcli_json(*command, "--seed", seed) for seed in (1, 1, 2))
    assert first == again
    assert first["value"] != other["value"]
    assert first["value"] != [gradient**2 for gradient in first["grads"]["a"]]


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["a.__class__"], 2, "expression, column 1: a tensor has no '__class__'"),
        (["open('x')"], 2, "expression, column 1: there is no function 'open'"),
        (["a + lambda: 1"], 2, "expression, column 5: invalid syntax"),
        (["10**10**10"], 2, "expression, column 1: 10**10000000000 is beyond 2**63"),
        (["a @ a @ a"], 2, "expression, column 1: @: both arguments to matmul need to be at least 1D"),
        (["a", "-x", "a=1"], 2, "--var a: is given twice"),
        (["a", "-x", "b=@none.npy"], 3, "none.npy: no such file"),
        (["a", "--no-grad", "b"], 2, "--no-grad b: there is no --var b"),
        (["a", "--gradient", "1,1,1"], 2, "--gradient: has the shape [3]; expected [2]"),
        (["a", "--hessian"], 2, "--hessian: is that of one number"),
        (["a", "--format", "csv"], 2, "Invalid value for '--format': 'csv' is not one of"),
        (["a", "-o", "none/a.npz"], 3, "none/a.npz: cannot be written"),
        (["zeros(10**9, 10**9)"], 2, "zeros would give a tensor of 1,000,000,000,000,000,000 elements"),
        (["\x1b[2J"], 2, "expression, column 1: invalid non-printable character U+001B"),
    ],
)
def test_bad_input_is_one_line(words: list[str], exit_code: int, message: str, gradcli: Run) -> None:
    result = gradcli("expr", *words, "--var", "a=1,2")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith("gradcli expr: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_a_file_of_options_holds_an_experiment(gradcli_json: Run) -> None:
    Path("expr.toml").write_text('var = ["a=2,3", "b=6,4"]\ngradient = "1,1"\n')
    assert gradcli_json("expr", TUTORIAL[1], "--config", "expr.toml")["grads"]["a"] == [36, 81]
