"""Strict JSON and the text of a field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.cli.options import Loss, Shape
from gradcli.cli.plain_values import field_text, plain, strict_json


@dataclass(frozen=True)
class Statistics:
    """A record as a workflow returns it."""

    name: str
    norm: np.float32
    shape: tuple[int, ...]


PLAIN = [
    (np.float32(0.1), 0.10000000149011612),
    (np.float64("nan"), "nan"),
    (float("inf"), "inf"),
    (-np.float32("inf"), "-inf"),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.array([1.5, np.nan]), [1.5, "nan"]),
    (Loss.CROSS_ENTROPY, "cross-entropy"),
    (Path("a") / "b", "a/b"),
    (Shape(1, 3, 8, 8), [1, 3, 8, 8]),
    (Statistics("fc.bias", np.float32(0.5), (10,)), {"name": "fc.bias", "norm": 0.5, "shape": [10]}),
    ({"a": [{"b": float("nan")}]}, {"a": [{"b": "nan"}]}),
    (None, None),
    ("ä\n", "ä\n"),
    ("caf\udce9", r"caf\udce9"),
    (Path("caf\udce9"), r"caf\udce9"),
]


@pytest.mark.parametrize(("value", "parsed"), PLAIN, ids=repr)
def test_json_is_strict_and_one_line(value: Any, parsed: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = strict_json({"value": value})
    assert json.loads(text, parse_constant=refuse) == {"value": parsed}
    assert "\n" not in text
    assert text.isascii()


def test_floats_keep_every_bit() -> None:
    for value in np.random.default_rng(0).standard_normal(100) * 10.0 ** np.arange(-50, 50):
        assert json.loads(strict_json(value)) == value
        assert float(field_text(value)) == value


def test_a_value_without_a_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="can't write a object as data"):
        plain(object())


FIELDS = [
    (None, ""),
    (True, "true"),
    (np.bool_(False), "false"),
    (1 / 3, "0.3333333333333333"),
    (float("nan"), "nan"),
    (1e-30, "1e-30"),
    (12, "12"),
    ((64, 3, 7, 7), "64x3x7x7"),
    ((), ""),
    (["a", 1.5], '["a", 1.5]'),
    ([True], "[true]"),
    ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
]


@pytest.mark.parametrize(("value", "text"), FIELDS, ids=repr)
def test_the_text_of_a_field(value: Any, text: str) -> None:
    assert field_text(value) == text
