"""The verdict over two sets of tensors: statuses, tolerances, counts, and what departs first."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import save_safetensors
from gradcli.errors import CheckError
from gradcli.inspection.differences.comparison import Comparison, compare
from gradcli.inspection.differences.named_arrays import NamedArrays, read_named_arrays

SHAPES = {"conv1.weight": (4, 3, 7, 7), "layer1.0.conv1.weight": (4, 4, 3, 3), "fc.weight": (5, 4), "fc.bias": (5,)}


def gradients(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def named(arrays: dict[str, Any], source: str = "x.npz") -> NamedArrays:
    return NamedArrays(source, "npz", dict(arrays), {name: array.dtype.name for name, array in arrays.items()})


def compared(a: dict[str, Any], b: dict[str, Any], **options: Any) -> Comparison:
    return compare(named(a, "a.npz"), named(b, "b.npz"), **options)


def statuses(comparison: Comparison) -> dict[str, str]:
    return {tensor.name: tensor.status for tensor in comparison.tensors}


def test_equal_sets_agree() -> None:
    comparison = compared(gradients(), gradients())
    comparison.check()
    assert set(statuses(comparison).values()) == {"equal"}
    assert comparison.first_to_depart is None
    assert (comparison.overall.relative, comparison.overall.cosine, comparison.overall.elements) == (0.0, 1.0, 757)
    assert comparison.describe() == "4 tensors compared: 4 equal, 0 different"


def test_integers_are_no_part_of_the_one_vector() -> None:
    steps = {"steps": np.array([1, 2])}
    comparison = compared(gradients() | steps, gradients() | {"steps": np.array([1, 3])})
    assert comparison.describe() == "5 tensors compared: 4 equal, 1 different"


def test_without_a_tolerance_one_bit_is_a_difference() -> None:
    a = gradients()
    a["fc.weight"][2, 3] = np.nextafter(a["fc.weight"][2, 3], np.float32(9))
    comparison = compared(a, gradients())
    first = comparison.first_to_depart
    assert first is not None
    assert (first.name, first.status, first.ulp_max, first.ulp_median) == ("fc.weight", "beyond", 1, 0)
    assert (first.position, first.differing) == ((2, 3), 1)
    with pytest.raises(CheckError, match=r"^a.npz and b.npz do not agree: 1 differ; the first .* is fc.weight \("):
        comparison.check()


def test_the_first_to_depart_is_the_one_that_backward_reaches_first() -> None:
    a = gradients()
    a["conv1.weight"] += 1
    a["layer1.0.conv1.weight"] *= np.float32(1.001)
    a["fc.weight"] *= np.float32(1.00001)
    comparison = compared(a, gradients(), tolerance=1e-4)
    assert statuses(comparison) == {
        "fc.bias": "equal",
        "fc.weight": "within",
        "layer1.0.conv1.weight": "beyond",
        "conv1.weight": "beyond",
    }
    first = comparison.first_to_depart
    assert first is not None
    assert first.name == "layer1.0.conv1.weight"
    assert first.relative == pytest.approx(1e-3, rel=1e-3)
    assert comparison.counts == {"equal": 1, "within": 1, "beyond": 2, "shape": 0, "only-a": 0, "only-b": 0}
    with pytest.raises(
        CheckError, match=r"2 beyond relative 0.0001; the first in backward order is layer1.0.conv1.weight \(relative "
    ):
        comparison.check()


@pytest.mark.parametrize(
    ("options", "agrees"),
    [
        ({"tolerance": 0.011}, True),
        ({"tolerance": 0.009}, False),
        ({"atol": 0.021}, True),
        ({"atol": 0.019}, False),
        ({"tolerance": 0.009, "atol": 0.021}, True),
        ({"tolerance": 0.009, "atol": 0.019}, False),
        ({}, False),
    ],
)
def test_either_tolerance_is_enough(options: dict[str, float], agrees: bool) -> None:
    b = {"w": np.array([2.0, 0.0, 1.0])}
    a = {"w": b["w"] * 1.01}  # the difference is at most 0.02
    comparison = compared(a, b, **options)
    assert (comparison.agrees, statuses(comparison)) == (agrees, {"w": "within" if agrees else "beyond"})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_tolerance_covers_a_nan_or_infinity_of_one_side(value: float) -> None:
    a = gradients()
    a["fc.bias"][1] = value
    comparison = compared(a, gradients(), tolerance=1e9, atol=1e9)
    assert statuses(comparison)["fc.bias"] == "beyond"
    assert not comparison.overall.max_abs < 1e300
    assert compared(a, {**gradients(), "fc.bias": a["fc.bias"]}).agrees


def test_a_difference_too_small_for_its_quotient_is_one_all_the_same() -> None:
    comparison = compared({"w": np.array([1e300, 1e-300])}, {"w": np.array([1e300, 0.0])})
    assert comparison.tensors[0].relative == 0
    assert not comparison.agrees
    assert compared({"w": np.array([1e300, 1e-300])}, {"w": np.array([1e300, 0.0])}, tolerance=1e-9).agrees


def test_other_names_and_shapes_do_not_agree() -> None:
    a, b = gradients(), gradients()
    del a["fc.bias"]
    b["fc.weight"] = b["fc.weight"].T
    a["extra"] = np.zeros(2, np.float16)
    comparison = compared(a, b)
    assert statuses(comparison) == {
        "extra": "only-a",
        "fc.bias": "only-b",
        "fc.weight": "shape",
        "layer1.0.conv1.weight": "equal",
        "conv1.weight": "equal",
    }
    by_name = {tensor.name: tensor for tensor in comparison.tensors}
    assert (by_name["fc.weight"].shape, by_name["fc.weight"].shape_b) == ((5, 4), (4, 5))
    assert (by_name["extra"].shape, by_name["extra"].dtype, by_name["extra"].max_abs) == ((2,), "float16", None)
    assert comparison.first_to_depart is by_name["fc.weight"]
    with pytest.raises(CheckError) as caught:
        comparison.check()
    assert str(caught.value) == (
        "a.npz and b.npz do not agree: 1 of other shapes: fc.weight; 1 only in a.npz: extra; 1 only in b.npz: fc.bias"
    )


def test_a_first_tensor_of_another_shape_is_named_before_those_beyond() -> None:
    a = gradients()
    a["fc.bias"] = a["fc.bias"][:4]
    a["conv1.weight"] += 1
    with pytest.raises(
        CheckError,
        match=r": 1 beyond relative 0.1 and absolute 0.5; the first in backward order is fc.bias; 1 of other ",
    ):
        compared(a, gradients(), tolerance=0.1, atol=0.5).check()


def test_other_dtypes_are_named_and_may_agree() -> None:
    a = {name: array.astype(np.float64) for name, array in gradients().items()}
    a["fc.bias"] = gradients()["fc.bias"]
    comparison = compared(a, gradients())
    assert comparison.agrees
    assert comparison.other_dtypes == ("fc.weight", "layer1.0.conv1.weight", "conv1.weight")
    assert (comparison.tensors[1].dtype, comparison.tensors[1].dtype_b) == ("float64", "float32")


def test_all_floating_point_tensors_are_one_vector() -> None:
    a, b = gradients(1), gradients(2)
    a["fc.bias"][3] = b["fc.bias"][3]
    comparison = compared({**a, "steps": np.array(10**9)}, {**b, "steps": np.array(1)})
    flat_a, flat_b = (np.concatenate([array.ravel() for array in each.values()]).astype(np.float64) for each in (a, b))
    difference = flat_a - flat_b
    overall = comparison.overall
    assert overall.relative == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(flat_b), rel=1e-12)
    cosine = flat_a @ flat_b / np.linalg.norm(flat_a) / np.linalg.norm(flat_b)
    assert overall.cosine == pytest.approx(cosine, abs=1e-14)
    assert (overall.max_abs, overall.elements, overall.differing) == (np.abs(difference).max(), 757, 756)


MEASURE = """
import pathlib, sys
from gradcli.inspection.differences.comparison import compare
from gradcli.inspection.differences.named_arrays import read_named_arrays
def status(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024
small, *sides = sys.argv[1:]
compare(read_named_arrays(small), read_named_arrays(small))
before = status("VmRSS")
compare(*map(read_named_arrays, sides))
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system doesn't tell a process's peak memory")
def test_memory_is_that_of_one_pair_however_many_there_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    tensors = {f"w{number}": generator.random(1 << 18, np.float32) for number in range(24)}
    paths = [tmp_path / f"{name}.safetensors" for name in ("small", "a", "b")]
    save_safetensors(paths[0], {"w0": tensors["w0"]})
    save_safetensors(paths[1], tensors)
    save_safetensors(paths[2], {name: array + np.float32(1e-3) for name, array in tensors.items()})
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(run.stdout) < 12 << 20  # both files are 24 MB


def test_two_files_of_different_containers(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "a.safetensors", gradients())
    np.savez(tmp_path / "b.npz", **gradients())
    comparison = compare(*(read_named_arrays(str(tmp_path / name)) for name in ("a.safetensors", "b.npz")))
    assert comparison.agrees
    assert (comparison.a.container, comparison.b.container, comparison.a.tensors) == ("safetensors", "npz", 4)
