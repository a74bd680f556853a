"""Which gradients meet the conditions of --fail-on, and the error that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from gradcli.errors import CheckError
from gradcli.inspection.gradients.choices import Condition
from gradcli.inspection.gradients.conditions import Thresholds, check_gradients, failing_gradients

ARRAYS = {
    "sound": np.array([3.0, 4.0]),
    "zero": np.zeros(3),
    "tiny": np.array([1e-200, 0.0]),
    "small": np.array([6e-8, 6e-8]),
    "large": np.full(4, 5001.0),
    "infinite": np.array([np.inf, 1.0]),
    "nan": np.array([np.nan, 0.0]),
}


def test_the_conditions(gradients_of: Callable[..., Any]) -> None:
    gradients = gradients_of(ARRAYS, unreached=["unreached"])
    assert failing_gradients(gradients, get_args(Condition), Thresholds()) == {
        "nonfinite": ["infinite", "nan"],
        "vanishing": ["zero", "tiny", "small", "unreached"],
        "exploding": ["large", "infinite", "nan"],
        "zero": ["zero", "unreached"],
    }


def test_thresholds_are_norms_and_sharp(gradients_of: Callable[..., Any]) -> None:
    gradients = gradients_of({"five": np.array([3.0, 4.0])})
    for vanishing, exploding, expected in ((5.0, 5.0, [[], []]), (5.1, 4.9, [["five"], ["five"]])):
        thresholds = Thresholds(vanishing=vanishing, exploding=exploding)
        assert list(failing_gradients(gradients, ["vanishing", "exploding"], thresholds).values()) == expected


def test_only_what_is_asked_for_is_looked_at(gradients_of: Callable[..., Any]) -> None:
    assert failing_gradients(gradients_of(ARRAYS), [], Thresholds()) == {}
    assert list(failing_gradients(gradients_of(ARRAYS), ["zero"], Thresholds())) == ["zero"]


def test_the_error_names_the_first_by_condition() -> None:
    check_gradients({"zero": [], "exploding": []}, Thresholds(), 3)
    with pytest.raises(CheckError) as caught:
        check_gradients({"zero": ["a", "b"], "nonfinite": [], "exploding": ["c"]}, Thresholds(exploding=10), 3)
    assert str(caught.value) == (
        "--fail-on: 2 of 3 gradients are zero (zero): a, b; 1 of 3 gradients have a norm above 10 (exploding): c"
    )
    with pytest.raises(CheckError) as caught:
        check_gradients({"nonfinite": [f"p{index}" for index in range(60)], "zero": []}, Thresholds(), 62)
    assert str(caught.value) == (
        "--fail-on: 60 of 62 gradients have NaN or infinity (nonfinite): p0, p1, p2, p3, p4 and 55 more; "
        "`gradcli trace` finds where NaN or infinity begin"
    )
