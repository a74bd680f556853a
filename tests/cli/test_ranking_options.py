"""The options that order records, as every command that lists some has them."""

from __future__ import annotations

import math
import types
import typing

import pytest

from gradcli.checkpoints.description import TensorDescription
from gradcli.cli import check, diff, gradient_views, grads, weights
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError
from gradcli.inspection.differences.comparison import TensorComparison
from gradcli.inspection.gradients.lost import LostGradient
from gradcli.inspection.gradients.noise import GradientNoise
from gradcli.inspection.gradients.per_sample import SampleGradient
from gradcli.inspection.gradients.statistics import GradientRecord, GroupRecord
from gradcli.inspection.numerical_check.model_check import ParameterCheck

RECORDS = [{"name": "a", "norm": 2.0}, {"name": "b", "norm": math.nan}, {"name": "c", "norm": 3.0}]


@pytest.mark.parametrize(
    ("options", "otherwise", "expected"),
    [
        (RankingOptions(), None, "abc"),
        (RankingOptions(), 2, "ab"),
        (RankingOptions(top=1), 2, "a"),
        (RankingOptions(sort="norm"), None, "bca"),
        (RankingOptions(sort="norm", smallest_first=True, top=2), None, "ba"),
    ],
)
def test_order_and_number(options: RankingOptions, otherwise: int | None, expected: str) -> None:
    assert [record["name"] for record in options.ranked(RECORDS, otherwise=otherwise)] == list(expected)


def test_smallest_first_needs_a_field() -> None:
    with pytest.raises(UsageError, match=r"^--smallest-first goes with --sort FIELD; add it$"):
        RankingOptions(smallest_first=True)


@pytest.mark.parametrize(
    ("columns", "record"),
    [
        (check.COLUMNS, ParameterCheck),
        (diff.COLUMNS, TensorComparison),
        (grads.COLUMNS, GradientRecord),
        (grads.GROUP_COLUMNS, GroupRecord),
        (grads.LOST_COLUMNS, LostGradient),
        (gradient_views.SAMPLE_COLUMNS, SampleGradient),
        (gradient_views.NOISE_COLUMNS, GradientNoise),
        (weights.TENSOR_COLUMNS, TensorDescription),
    ],
)
def test_all_columns_but_those_of_lists_are_ordered(columns: list[Column], record: type) -> None:
    kinds = typing.get_type_hints(record)
    for column in columns:
        kind = kinds[column.field]
        alternatives = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        lists = [each for each in alternatives if typing.get_origin(each) in (list, tuple)]
        assert column.ordered == (not lists), column.field
